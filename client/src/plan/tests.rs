use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{Action, Observed, ObservedService, State, diff};
use crate::desired::tests::render;
use crate::desired::{Fingerprint, Stack};

/// What is there once the stack runs.
fn produced(stack: &Stack) -> Observed {
    let services = stack
        .services
        .iter()
        .map(|service| {
            let observed = ObservedService {
                id: "0".repeat(64),
                container: service.container.clone(),
                image: service.image.clone(),
                image_id: String::new(),
                fingerprint: Fingerprint::from_label(&service.fingerprint.to_label()),
                state: State::Healthy,
            };
            (service.name.clone(), observed)
        })
        .collect();
    Observed { services }
}

fn actions(stack: &Stack, observed: &Observed) -> Vec<(String, Action)> {
    let steps = diff(stack, observed).steps;
    steps
        .into_iter()
        .map(|step| (step.service, step.action))
        .collect()
}

fn changes(stack: &Stack, observed: &Observed) -> Vec<(String, Action)> {
    let mut changes = actions(stack, observed);
    changes.retain(|(_, action)| *action != Action::Keep);
    changes
}

fn replace(service: &str, because: &[&str]) -> (String, Action) {
    let because = because.iter().map(|part| (*part).to_owned()).collect();
    (service.to_owned(), Action::Replace { because })
}

#[test]
fn an_empty_host_gets_everything_in_catalog_order() {
    let stack = render(&[]).unwrap();
    let plan = actions(&stack, &Observed::default());
    let names: Vec<&str> = plan.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "pgvector",
            "postgres",
            "redis",
            "litellm",
            "n8n",
            "prometheus",
            "caddy"
        ]
    );
    assert!(plan.iter().all(|(_, action)| *action == Action::Create));
}

#[test]
fn every_state_has_its_action() {
    let stack = render(&[]).unwrap();
    for (state, expected) in [
        (State::Healthy, Action::Keep),
        (State::Starting, Action::Wait),
        (State::Unhealthy, Action::Wait),
        (State::Created, Action::Start),
        (State::Stopped, Action::Start),
    ] {
        let mut observed = produced(&stack);
        observed.services.get_mut("redis").unwrap().state = state;
        let plan = diff(&stack, &observed);
        assert_eq!(plan.is_empty(), expected == Action::Keep);
        let redis = plan
            .steps
            .iter()
            .find(|step| step.service == "redis")
            .unwrap();
        assert_eq!(redis.action, expected);
    }
}

#[test]
fn a_change_replaces_what_depends_on_it_and_says_why() {
    let before = produced(&render(&[]).unwrap());
    for (environment, expected) in [
        (
            ("PROMETHEUS_PORT", "5190"),
            vec![replace("prometheus", &["ports"])],
        ),
        (
            ("REDIS_PASSWORD", "other"),
            vec![
                replace("redis", &["config.redis.conf", "environment.REDISCLI_AUTH"]),
                replace("litellm", &["environment.REDIS_PASSWORD"]),
            ],
        ),
        (
            ("N8N_IMAGE", "docker.io/n8nio/n8n:2.42.0"),
            vec![replace("n8n", &["image"])],
        ),
        (
            ("VECTOR_DB", "none"),
            vec![
                ("pgvector".to_owned(), Action::Remove),
                replace(
                    "n8n",
                    &[
                        "environment.CREDENTIALS_OVERWRITE_DATA",
                        "environment.N8N_SKIP_CREDENTIAL_OVERWRITE",
                        "environment.VECTORDB_HOST",
                        "environment.VECTORDB_PORT",
                        "environment.VECTORDB_URL",
                    ],
                ),
            ],
        ),
    ] {
        let after = render(&[environment]).unwrap();
        assert_eq!(changes(&after, &before), expected, "{environment:?}");
    }
}

#[test]
fn a_replacement_does_not_depend_on_the_state() {
    let mut observed = produced(&render(&[]).unwrap());
    observed.services.get_mut("prometheus").unwrap().state = State::Stopped;
    let stack = render(&[("PROMETHEUS_PORT", "5190")]).unwrap();
    assert_eq!(
        changes(&stack, &observed),
        [replace("prometheus", &["ports"])]
    );
}

#[test]
fn what_is_not_ours_is_made_anew() {
    let stack = render(&[]).unwrap();
    let mut observed = produced(&stack);
    observed.services.get_mut("redis").unwrap().fingerprint = None;
    observed.services.get_mut("n8n").unwrap().container = "tenant-1001-mine".to_owned();
    assert_eq!(
        changes(&stack, &observed),
        [
            replace("redis", &["fingerprint"]),
            replace("n8n", &["name"])
        ]
    );
}

#[test]
fn removals_come_first() {
    let stack = render(&[]).unwrap();
    let mut observed = produced(&stack);
    let old = observed.services["redis"].clone();
    observed.services.insert("zookeeper".to_owned(), old);
    observed.services.remove("caddy");
    assert_eq!(
        changes(&stack, &observed),
        [
            ("zookeeper".to_owned(), Action::Remove),
            ("caddy".to_owned(), Action::Create)
        ]
    );
    assert_eq!(actions(&stack, &observed)[0].0, "zookeeper");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever the values are, a stack that runs as desired has nothing to do.
    #[test]
    fn what_a_deploy_produces_needs_no_deploy(
        password in "(?s).{1,20}",
        port in 5120_u16..5200,
        vector_db in prop_oneof![Just("pgvector"), Just("none")],
    ) {
        let port = port.to_string();
        let environment = [("REDIS_PASSWORD", password.as_str()), ("N8N_PORT", &port), ("VECTOR_DB", vector_db)];
        let (one, two) = (render(&environment).unwrap(), render(&environment).unwrap());
        prop_assert!(diff(&two, &produced(&one)).is_empty());
        let nothing = Observed { services: BTreeMap::new() };
        prop_assert_eq!(diff(&two, &nothing).steps.len(), two.services.len());
    }
}

#[test]
fn what_runs_the_locked_image_already_is_left_alone() {
    let settings = crate::desired::tests::settings(&[]);
    let catalog = crate::catalog::Catalog::embedded();
    let grant = crate::desired::tests::grant();
    let before = render(&[]).unwrap();
    let reference = |stack: &Stack| {
        let mut services = stack.services.iter();
        let redis = services.find(|service| service.name == "redis").unwrap();
        (redis.reference.clone(), redis.image.clone())
    };
    let (tag, image) = reference(&before);
    assert_eq!(tag, image);
    let locked = crate::desired::locks::tests::locked(&tag);
    let mut locks = crate::desired::Locks::default();
    locks.set("redis", locked.clone());
    let after = crate::desired::stack_of(&settings, &catalog, &grant, &locks).unwrap();
    let digest = format!("docker.io/library/redis@{}", locked.digest);
    assert_eq!(reference(&after), (tag, digest));
    let action = |id: &str| {
        let mut observed = produced(&before);
        let redis = observed.services.get_mut("redis").unwrap();
        redis.image_id = id.to_owned();
        let steps = diff(&after, &observed).steps.into_iter();
        let mut steps = steps.filter(|step| step.service == "redis");
        steps.next().unwrap().action
    };
    assert_eq!(action(&locked.id), Action::Keep);
    let because = vec!["image".to_owned()];
    assert_eq!(action("sha256:other"), Action::Replace { because });
}
