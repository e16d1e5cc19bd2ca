//! What a load and an unload do, and what is said where there is no AppArmor.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::test_host::{A, ALL, BASE, OPENCLAW, PLATFORM, TestHost, plain};
use aistack_helper::ops;

#[tokio::test]
#[ignore = "needs root and apparmor_parser"]
async fn three_profiles_are_loaded_stored_and_published_and_then_left_alone() {
    let host = TestHost::start();
    host.tenant_writes(PLATFORM, plain(PLATFORM));
    host.write(&format!("cache/features.0/{PLATFORM}"), "stale");
    assert!(host.load().await.unwrap());
    assert_eq!(host.loads(), ALL.map(|name| format!("-r {name}")));
    for name in ALL {
        let kept = host.stored(name);
        assert!(kept.contains(&format!("profile {name} ")), "{kept}");
        assert_eq!(
            kept.trim_end(),
            host.read(&format!("in-kernel-{name}")).trim_end()
        );
        let mode = fs::metadata(host.path(&format!("kept/{name}"))).unwrap();
        assert_eq!(mode.permissions().mode() & 0o7777, 0o644);
        assert_eq!(host.published(name).trim_end().len(), 64);
    }
    assert!(!host.path(&format!("cache/features.0/{PLATFORM}")).exists());
    let mode = fs::metadata(host.path("published")).unwrap();
    assert_eq!(mode.permissions().mode() & 0o7777, 0o755);

    host.forget_loads();
    assert!(!host.load().await.unwrap());
    assert!(host.loads().is_empty(), "nothing was to be done");
    // A lost note for the gateway is written again without a load.
    fs::remove_file(host.path(&format!("published/{BASE}"))).unwrap();
    assert!(!host.load().await.unwrap());
    assert!(host.loads().is_empty());
    assert_eq!(host.published(BASE).trim_end().len(), 64);

    host.tenant_writes(PLATFORM, plain(PLATFORM).replace("/opt/", "/srv/"));
    assert!(host.load().await.unwrap());
    assert_eq!(host.loads(), [format!("-r {PLATFORM}")]);
    assert!(host.stored(PLATFORM).contains("/srv/"));
}

#[tokio::test]
#[ignore = "needs root and apparmor_parser"]
async fn what_the_administrator_took_out_of_the_kernel_is_loaded_again() {
    let host = TestHost::start();
    assert!(host.load().await.unwrap());
    host.forget_loads();
    host.write(
        "loaded",
        &format!("{BASE} (complain)\n{PLATFORM} (enforce)\n"),
    );
    assert!(host.load().await.unwrap());
    assert_eq!(
        host.loads(),
        [format!("-r {BASE}"), format!("-r {OPENCLAW}")]
    );
}

#[tokio::test]
#[ignore = "needs root and apparmor_parser"]
async fn a_refused_source_is_reported_by_file_line_code_and_sentence_and_nothing_changes() {
    let host = TestHost::start();
    let source = plain(PLATFORM).replace("  network", "  mount,\n  network");
    host.tenant_writes(PLATFORM, source);
    let error = host.load().await.unwrap_err();
    assert_eq!(error.reason(), "APPARMOR_REFUSED");
    assert_eq!(error.code(), tonic::Code::FailedPrecondition);
    let text = error.to_string();
    assert!(
        text.starts_with(&format!("{PLATFORM}:3: E_RULE: ")),
        "{text}"
    );
    assert!(error.hint().unwrap().contains(PLATFORM));
    assert!(host.loads().is_empty());
    assert!(ALL.iter().all(|name| host.stored(name).is_empty()));
}

#[tokio::test]
#[ignore = "needs root and apparmor_parser"]
async fn loads_of_one_tenant_do_not_come_close_together() {
    let host = TestHost::start();
    let (ops, grant) = (host.ops(), host.grant());
    let mut reasons = Vec::new();
    for round in 0..4 {
        let path = format!("/opt/{round}/");
        host.tenant_writes(PLATFORM, plain(PLATFORM).replace("/opt/", &path));
        let loaded = ops.load_apparmor(&grant).await;
        reasons.push(loaded.err().map(|error| error.reason()));
    }
    assert_eq!(reasons[..2], [None, None]);
    assert_eq!(reasons[3], Some("APPARMOR_TOO_OFTEN"), "{reasons:?}");
}

#[tokio::test]
#[ignore = "needs root and apparmor_parser"]
async fn without_apparmor_the_policy_decides() {
    let host = TestHost::start();
    host.write("enabled", "N\n");
    let error = host.load().await.unwrap_err();
    assert_eq!(error.reason(), "APPARMOR_OFF");
    assert_eq!(error.code(), tonic::Code::FailedPrecondition);
    let rule = error.refusal().unwrap().rule.to_string();
    assert!(rule.starts_with("tenants.apparmor (policy.toml:"), "{rule}");
    assert!(error.to_string().contains("does not enforce AppArmor"));

    let lax = host.policy("if-available").grant(A).unwrap();
    let (answer, without) = host.ops().load_apparmor(&lax).await.unwrap();
    assert!(answer.profiles.is_empty() && !answer.changed);
    assert!(without.unwrap().contains("does not enforce AppArmor"));
    let state = host.ops().apparmor().state(&lax);
    assert!(!state.kernel_enabled && !state.profiles_loaded);
    assert!(state.summary.contains("does not enforce AppArmor"));

    // On, but nobody can load anything.
    host.write("enabled", "Y\n");
    fs::remove_file(host.path("parser")).unwrap();
    let (_, without) = host.ops().load_apparmor(&lax).await.unwrap();
    assert!(
        without
            .unwrap()
            .contains("apparmor_parser is not installed")
    );
    assert_eq!(host.refused().await.0, "APPARMOR_OFF");
}

#[tokio::test]
#[ignore = "needs root and apparmor_parser"]
async fn the_state_tells_what_the_kernel_has() {
    let host = TestHost::start();
    let state = || host.ops().apparmor().state(&host.grant());
    assert!(state().kernel_enabled && !state().profiles_loaded);
    assert!(host.load().await.unwrap());
    assert!(state().profiles_loaded, "{}", state().summary);
    host.write(
        "loaded",
        &format!("{BASE} (enforce)\n{PLATFORM} (enforce)\n"),
    );
    assert!(!state().profiles_loaded);
}

#[tokio::test]
#[ignore = "needs root and apparmor_parser"]
async fn profiles_stay_while_a_task_runs_under_one_and_leave_nothing_afterwards() {
    let host = TestHost::start();
    assert!(host.load().await.unwrap());
    let label = format!("{BASE}//&{OPENCLAW} (enforce)\n");
    host.write("proc/1/task/1/attr/current", &label);
    host.forget_loads();
    let (ops, grant) = (host.ops(), host.grant());
    let error = ops.unload_apparmor(&grant).await.unwrap_err();
    assert_eq!(error.reason(), "APPARMOR_IN_USE");
    assert_eq!(error.code(), tonic::Code::FailedPrecondition);
    assert!(
        host.loads().is_empty(),
        "-R would leave the task unconfined"
    );
    for name in ALL {
        assert!(!host.stored(name).is_empty() && !host.published(name).is_empty());
    }
    host.write("proc/1/task/1/attr/current", "unconfined\n");
    assert!(ops.unload_apparmor(&grant).await.unwrap().changed);
    assert_eq!(host.read("loaded"), "docker-default (enforce)\n");
    for name in ALL {
        assert!(host.stored(name).is_empty() && host.published(name).is_empty());
    }
    assert!(!ops.unload_apparmor(&grant).await.unwrap().changed);
}

#[tokio::test]
#[ignore = "needs root and apparmor_parser"]
async fn nothing_is_loaded_before_the_volume_is_there() {
    let host = TestHost::start();
    rustix::mount::unmount(host.base(), rustix::mount::UnmountFlags::empty()).unwrap();
    let error = host.load().await.unwrap_err();
    assert!(
        matches!(error, ops::Error::VolumeNotMounted { .. }),
        "{error:?}"
    );
}
