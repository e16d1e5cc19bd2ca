//! Floods: what one UID may write, and what is left for the others.

use super::*;

/// Enough for a few whole records, and then little.
const TIGHT: Settings = Settings {
    budget: Budget {
        bytes: 40_000,
        per_second: 100,
    },
    ..SETTINGS
};

/// A create as the gateway records it, which Docker then refuses with 409.
fn create(uid: u32) -> Intent {
    Intent {
        operation: "container.create",
        arguments: json!({
            "name": format!("tenant-{uid}-web"),
            "image": "docker.io/library/redis:7",
            "binds": vec!["/mnt/data/etc/redis:/etc/redis:ro"; 60],
            "env": vec!["A_LONG_NAME_OF_A_VARIABLE"; 40],
        }),
        ..intent(uid)
    }
}

fn conflict() -> Outcome {
    Outcome::Failed(format!("Docker answered 409: {}", "in use ".repeat(100)))
}

fn length(dir: &Path) -> u64 {
    std::fs::metadata(log_of(dir)).unwrap().len()
}

#[tokio::test]
async fn a_flood_of_creates_that_fail_fills_its_own_budget_and_nobody_elses() {
    let dir = tempfile::tempdir().unwrap();
    let audit = Audit::open(dir.path(), "helper", TIGHT).unwrap();
    let started = Instant::now();
    let (mut done, mut refused) = (0, Vec::new());
    for _ in 0..1000 {
        match audit.intent(create(1001)).await {
            Ok(open) => {
                open.finish(conflict()).await.unwrap();
                done += 1;
            }
            Err(AuditError::OverBudget(over)) => refused.push(over),
            Err(other) => panic!("{other}"),
        }
    }
    assert!(done > 10, "only {done} operations were recorded");
    assert!(refused.len() > 800, "{} were refused", refused.len());
    let text = refused[0].to_string();
    for part in [
        "39 KiB",
        "100 bytes come back each second",
        "nothing was done",
        "again in ",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // One more record is a debt, and one refusal is listed; the rest came back while this ran.
    let most = TIGHT.budget.bytes + 5000 + 100 * (started.elapsed().as_secs() + 1);
    let length = length(dir.path());
    assert!(length < most, "{length} of {most} bytes");
    // Every operation that was done is there, with its end.
    let records = records(dir.path());
    let count = |event: &str| records.iter().filter(|r| r["event"] == event).count();
    assert_eq!((count("intent"), count("outcome")), (done, done));
    assert_eq!(count("refused"), 1, "the first refusal is listed");
    // What failed again and again is small, and still says what it was about.
    let intents: Vec<&Value> = records.iter().filter(|r| r["event"] == "intent").collect();
    let (first, last) = (intents[0], intents[intents.len() - 1]);
    assert!(first.to_string().len() > 2000, "{first}");
    assert!(last.to_string().len() < 750, "{last}");
    assert_eq!(last["arguments"]["name"], "tenant-1001-web");
    assert!(last["arguments"]["sha256"].is_string());
    // Others have their own.
    for uid in [1002, 1003] {
        let open = audit.intent(create(uid)).await.unwrap();
        open.finish(Outcome::Done).await.unwrap();
    }
    audit.stop().await.unwrap();
    verify(&log_of(dir.path())).unwrap();
}

#[tokio::test]
async fn a_budget_outlives_its_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let audit = Audit::open(dir.path(), "helper", TIGHT).unwrap();
    let mut done = 0;
    while let Ok(open) = audit.intent(create(1001)).await {
        open.finish(conflict()).await.unwrap();
        done += 1;
        assert!(done < 1000, "the budget never ended");
    }
    audit.stop().await.unwrap();
    let next = copy_of(dir.path());
    let audit = Audit::open(next.path(), "helper", TIGHT).unwrap();
    let refused = audit.intent(create(1001)).await;
    // A slow machine gives back a record or two in between, not the whole budget.
    let mut more = 0;
    if let Ok(open) = refused {
        open.finish(conflict()).await.unwrap();
        while let Ok(open) = audit.intent(create(1001)).await {
            open.finish(conflict()).await.unwrap();
            more += 1;
            assert!(more < 10, "the budget started over");
        }
    }
    assert!(audit.intent(create(1002)).await.is_ok());
}

#[tokio::test]
async fn what_upholds_the_policy_is_done_whatever_its_tenant_has_used_up() {
    let dir = tempfile::tempdir().unwrap();
    let audit = Audit::open(dir.path(), "helper", TIGHT).unwrap();
    let kill = || Intent {
        operation: "container.confine",
        ..create(1001)
    };
    let mut done = 0;
    while let Ok(open) = audit.intent(create(1001)).await {
        open.finish(conflict()).await.unwrap();
        done += 1;
        assert!(done < 1000, "the budget never ended");
    }
    for _ in 0..20 {
        let open = audit.enforcement(kill()).await.unwrap();
        open.finish(Outcome::Done).await.unwrap();
    }
    // It is charged: the tenant has not got anything back for it.
    assert!(audit.intent(create(1001)).await.is_err());
    audit.stop().await.unwrap();
    let log = std::fs::read_to_string(log_of(dir.path())).unwrap();
    assert!(log.matches("container.confine").count() >= 20);
}

#[tokio::test]
async fn strangers_in_numbers_hide_no_attempt_of_a_tenant() {
    let dir = tempfile::tempdir().unwrap();
    let audit = begin(dir.path()).unwrap();
    for uid in 5000..5025 {
        for _ in 0..25 {
            let no = "NO_GRANT: no";
            audit
                .denied(intent(uid), Denied::Stranger, no)
                .await
                .unwrap();
        }
    }
    for _ in 0..25 {
        let often = "TOO_MANY_REQUESTS: too many requests";
        audit
            .denied(intent(1001), Denied::Tenant, often)
            .await
            .unwrap();
    }
    let no = "PRIVILEGED_REFUSED: HostConfig.Privileged is true";
    for _ in 0..30 {
        audit
            .denied(create(1001), Denied::Reaching, no)
            .await
            .unwrap();
    }
    let records = records(dir.path());
    let attempts = records.iter().filter(|r| r["reason"] == no).count();
    assert_eq!(attempts, 30, "each is listed");
    let of = |uid: u32| records.iter().filter(|r| r["uid"] == uid).count() as u64;
    assert_eq!(of(5000), LISTED_PER_STRANGER);
    assert_eq!(of(1001), 30 + LISTED_PER_TENANT);
}

#[tokio::test]
async fn a_flood_of_refusals_stays_within_the_tenants_budget_and_tells_of_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let audit = Audit::open(dir.path(), "helper", TIGHT).unwrap();
    let no = "PRIVILEGED_REFUSED: HostConfig.Privileged is true";
    for _ in 0..2000 {
        audit
            .denied(create(1001), Denied::Reaching, no)
            .await
            .unwrap();
    }
    let length = length(dir.path());
    assert!(length < TIGHT.budget.bytes + 20_000, "{length} bytes");
    assert!(audit.intent(create(1002)).await.is_ok());
    drop(audit);
    drop(reopen(dir.path()));
    let records = records(dir.path());
    let listed = records.iter().filter(|r| r["reason"].is_string()).count() as u64;
    let counted = records
        .iter()
        .find(|r| r["event"] == "refusals-counted")
        .unwrap();
    assert_eq!(counted["of"], "tenants");
    assert_eq!(counted["reaching"].as_u64().unwrap() + listed, 2000);
}

#[tokio::test]
async fn strangers_fill_less_than_a_tenants_share_in_a_minute() {
    let dir = tempfile::tempdir().unwrap();
    let audit = begin(dir.path()).unwrap();
    let before = length(dir.path());
    for uid in 100_000..102_000 {
        let mut long = intent(uid);
        long.arguments = json!({"path": "/x".repeat(2000)});
        audit
            .denied(long, Denied::Stranger, &"n".repeat(900))
            .await
            .unwrap();
    }
    drop(audit);
    drop(reopen(dir.path()));
    let written = length(dir.path()) - before;
    assert!(written < 60 * Budget::TENANT.per_second, "{written} bytes");
}
