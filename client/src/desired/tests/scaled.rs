//! What `TIME_SCALE` comes to in every service.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::words::observed;
use super::{everything_with, grant, manifest_file, render, settings};
use crate::catalog::tests::ENTRY;
use crate::catalog::{Catalog, Span};
use crate::desired::{Check, DesiredError, DesiredService, TimeScale, stack};
use crate::env_file::{EnvFile, Settings};
use crate::keys::TIME_SCALE;
use crate::plan::{Action, diff};

/// The bounds of a probe's interval in the gateway, nanoseconds; those of its other times are wider
/// (`helper/src/engine/vet/create/lifetime.rs`).
const GATEWAY_TAKES: std::ops::RangeInclusive<i64> = 500_000_000..=86_400_000_000_000;

/// Interval, timeout and start period, nanoseconds.
fn times(service: &DesiredService) -> [i64; 3] {
    let health = service.body.healthcheck.as_ref().unwrap();
    [health.interval, health.timeout, health.start_period].map(Option::unwrap)
}

/// How long the steps of all checks are repeated.
fn within(service: &DesiredService) -> Vec<Option<Duration>> {
    let steps = service.checks.iter().flat_map(|check| match check {
        Check::Http { steps, .. } => steps.as_slice(),
        Check::Exec { .. } => &[],
    });
    steps.map(|step| step.within).collect()
}

#[test]
fn every_time_of_every_service_is_multiplied_and_nothing_else_changes() {
    let usual = everything_with("milvus", &[]);
    for factor in [2, 20] {
        let slow = everything_with("milvus", &[(TIME_SCALE, &factor.to_string())]);
        assert_eq!(usual.files, slow.files);
        for (usual, slow) in usual.services.iter().zip(&slow.services) {
            let name = &usual.name;
            let expected = times(usual).map(|time| time * i64::from(factor));
            assert_eq!(times(slow), expected, "{name}");
            let timeout = usual.start_limits.timeout * factor;
            assert_eq!(slow.start_limits.timeout, timeout, "{name}");
            assert_eq!(slow.start_limits.exits, usual.start_limits.exits, "{name}");
            let expected = within(usual).into_iter();
            let expected: Vec<_> = expected
                .map(|time| time.map(|time| time * factor))
                .collect();
            assert_eq!(within(slow), expected, "{name}");
            assert_eq!(slow.body.stop_timeout, usual.body.stop_timeout, "{name}");
            let mut body = slow.body.clone();
            body.healthcheck.clone_from(&usual.body.healthcheck);
            body.labels.clone_from(&usual.body.labels);
            assert_eq!(body, usual.body, "{name}");
            let retries = |service: &DesiredService| {
                let health = service.body.healthcheck.as_ref().unwrap();
                (health.test.clone(), health.retries, health.start_interval)
            };
            assert_eq!(retries(slow), retries(usual), "{name}");
        }
    }
}

#[test]
fn a_service_on_a_slow_machine() {
    let stack = render(&[(TIME_SCALE, "4")]).unwrap();
    let redis = stack
        .services
        .iter()
        .find(|service| service.name == "redis");
    let redis = redis.unwrap();
    insta::with_settings!({sort_maps => true}, {
        insta::assert_json_snapshot!("redis-on-a-slow-machine", serde_json::json!({
            "start_timeout": redis.start_limits.timeout.as_secs(),
            "body": redis.body,
        }));
    });
}

#[test]
fn without_the_key_everything_is_as_with_1() {
    let catalog = Catalog::embedded();
    let mut file = manifest_file(&BTreeMap::new());
    assert_eq!(file.get(TIME_SCALE), Some("1"));
    file.remove(TIME_SCALE);
    let none = Settings::resolve(&file, &BTreeMap::new(), |_| false).unwrap();
    let none = stack(&none, &catalog, &grant()).unwrap();
    let one = render(&[]).unwrap();
    assert_eq!(none.time_scale, TimeScale::default());
    for (none, one) in none.services.iter().zip(&one.services) {
        assert_eq!(none.fingerprint, one.fingerprint);
        assert_eq!(none.body, one.body);
        assert_eq!(none.start_limits, one.start_limits);
        assert_eq!(none.checks, one.checks);
    }
}

#[test]
fn another_value_makes_every_container_anew_because_of_its_health_check() {
    let usual = render(&[]).unwrap();
    let slow = render(&[(TIME_SCALE, "4")]).unwrap();
    for step in diff(&slow, &observed(&usual)).steps {
        let because = vec!["health".to_owned()];
        assert_eq!(step.action, Action::Replace { because }, "{}", step.service);
    }
    let same = render(&[(TIME_SCALE, "1")]).unwrap();
    assert!(diff(&same, &observed(&usual)).is_empty());
}

#[test]
fn the_gateway_takes_the_times_of_the_whole_catalog_on_the_slowest_machine() {
    let most = TimeScale::parse(&TimeScale::MOST.to_string()).unwrap();
    for entry in Catalog::embedded().entries() {
        let health = &entry.health;
        for Span(time) in [health.interval, health.timeout, health.start_period] {
            let slow = most.stretch(time);
            let nanoseconds = i64::try_from(slow.as_nanos()).unwrap();
            assert!(GATEWAY_TAKES.contains(&nanoseconds), "{}", entry.name);
            // None of them needs the bound.
            assert_eq!(most.stretch_probe(time), slow, "{}", entry.name);
        }
    }
}

#[test]
fn a_long_time_of_an_own_service_grows_up_to_what_the_gateway_takes() {
    let entry = ENTRY
        .replace("start_period = \"5s\"", "start_period = \"80000s\"")
        .replace("timeout = \"5s\"", "timeout = \"86401s\"");
    let catalog = Catalog::load(&[("thing", &entry)]).unwrap();
    let mut file = manifest_file(&BTreeMap::new());
    for (key, value) in [
        ("SERVICES", "thing"),
        ("VECTOR_DB", "none"),
        ("THING_PORT", "5140"),
        ("THING_PASSWORD", "x"),
        (TIME_SCALE, "2"),
    ] {
        file.set(key, value, None);
    }
    let settings = Settings::resolve(&file, &BTreeMap::new(), |_| false).unwrap();
    let stack = stack(&settings, &catalog, &grant()).unwrap();
    let [_, timeout, start_period] = times(&stack.services[0]);
    assert_eq!(start_period, *GATEWAY_TAKES.end());
    // The gateway refuses this one with its rule, as it does on any machine.
    assert_eq!(timeout, 86_401_000_000_000);
}

#[test]
fn a_wrong_value_is_reported_with_its_place_and_what_is_right() {
    let catalog = Catalog::embedded();
    let written = manifest_file(&BTreeMap::new()).render();
    let line = written
        .lines()
        .position(|line| line == "TIME_SCALE=1")
        .unwrap()
        + 1;
    for value in ["0", "21", "-1", "1.5", "many", "\"\"", "'2 '"] {
        let text = written.replace("TIME_SCALE=1", &format!("TIME_SCALE={value}"));
        let file = EnvFile::parse(&text).unwrap();
        let settings = Settings::resolve(&file, &BTreeMap::new(), |_| false).unwrap();
        let errors = stack(&settings, &catalog, &grant()).unwrap_err();
        assert_eq!(
            messages(&errors),
            [wrong(&format!(".env:{line}"))],
            "{value}"
        );
    }
    let environment = render(&[(TIME_SCALE, "0")]).unwrap_err();
    assert_eq!(messages(&environment), [wrong("the environment")]);
    let both = render(&[(TIME_SCALE, "0"), ("N8N_PORT", "0")]).unwrap_err();
    assert_eq!(both.len(), 2, "{both:?}");
}

fn wrong(place: &str) -> String {
    format!("TIME_SCALE: is not a whole number from 1 to 20 ({place})")
}

fn messages(errors: &[DesiredError]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_value_gives_a_stack_or_exactly_one_error(value in "[0-9]{0,3}|[ -~]{0,4}") {
        let settings = settings(&[(TIME_SCALE, &value)]);
        let made = stack(&settings, &Catalog::embedded(), &grant());
        if let Some(scale) = TimeScale::parse(&value) {
            prop_assert_eq!(made.unwrap().time_scale, scale);
        } else {
            prop_assert_eq!(messages(&made.unwrap_err()), [wrong("the environment")]);
        }
    }
}
