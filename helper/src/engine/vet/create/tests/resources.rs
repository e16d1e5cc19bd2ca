//! Limits of one container, and their sum.

use aistack_policy::WritableLayer;
use serde_json::{Value, json};

use super::{Host, host};
use crate::engine::vet::create::Usage;

fn rendered(fields: &Value) -> Value {
    Host::default().rendered(&host(fields))["HostConfig"].clone()
}

#[test]
fn every_container_has_limits() {
    let host = rendered(&json!({}));
    assert_eq!(host["Memory"], 512 << 20);
    assert_eq!(host["MemorySwap"], host["Memory"]);
    assert_eq!(host["NanoCpus"], 1_000_000_000);
    assert_eq!(host["PidsLimit"], 256);
    assert_eq!(host["ShmSize"], 64 << 20);
    assert_eq!(
        host["LogConfig"]["Config"],
        json!({"max-file": "3", "max-size": "10485760"})
    );
}

#[test]
fn a_caller_may_ask_for_other_limits() {
    for (requested, key, value) in [
        (json!({"Memory": 6 << 20}), "Memory", json!(6 << 20)),
        (json!({"Memory": 6 << 20}), "ShmSize", json!(6 << 20)),
        (
            json!({"Memory": 1 << 30, "MemorySwap": 1 << 30}),
            "MemorySwap",
            json!(1 << 30),
        ),
        (
            json!({"MemoryReservation": 512 << 20}),
            "MemoryReservation",
            json!(512 << 20),
        ),
        (
            json!({"NanoCpus": 10_000_000}),
            "NanoCpus",
            json!(10_000_000),
        ),
        (json!({"CpuQuota": 50_000}), "NanoCpus", json!(500_000_000)),
        (
            json!({"CpuQuota": 1_500, "CpuPeriod": 1_000}),
            "NanoCpus",
            json!(1_500_000_000),
        ),
        (
            json!({"CpuPeriod": 1_000}),
            "NanoCpus",
            json!(1_000_000_000),
        ),
        (json!({"PidsLimit": 1}), "PidsLimit", json!(1)),
        (json!({"ShmSize": 256 << 20}), "ShmSize", json!(256 << 20)),
        (json!({"MemorySwappiness": 0}), "Memory", json!(512 << 20)),
        (
            json!({"Ulimits": [{"Name": "nproc", "Soft": 1, "Hard": 2}, {"Name": "core"}]}),
            "Ulimits",
            json!([{"Name": "core", "Soft": 0, "Hard": 0}, {"Name": "nproc", "Soft": 1, "Hard": 2}]),
        ),
        (
            json!({"LogConfig": {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "1"}}}),
            "LogConfig",
            json!({"Type": "json-file", "Config": {"max-file": "1", "max-size": "1048576"}}),
        ),
    ] {
        assert_eq!(rendered(&requested)[key], value, "{requested}");
    }
}

#[test]
fn a_small_grant_gives_less_than_one_cpu() {
    let mut context = Host::default();
    context.grant.limits.cpu_millis = 250;
    let host = &context.rendered(&json!({"Image": "redis"}))["HostConfig"];
    assert_eq!(host["NanoCpus"], 250_000_000);
}

#[test]
fn the_sum_of_all_containers_is_within_the_grant_to_the_last_unit() {
    let body = host(&json!({"Memory": 10 << 20, "NanoCpus": 1_500_000, "PidsLimit": 7}));
    let mut context = Host::default();
    // 1.5 thousandths of a CPU is below Docker's own bound, so it is requested in hundredths.
    assert_eq!(context.reason(&body), "RESOURCE_REFUSED");
    let body = host(&json!({"Memory": 10 << 20, "NanoCpus": 10_500_000, "PidsLimit": 7}));
    let requested = context.vet(&body).unwrap().usage();
    let expected = Usage {
        memory: 10 << 20,
        cpu_millis: 11,
        pids: 7,
        containers: 1,
    };
    assert_eq!(requested, expected);
    let limits = context.grant.limits;
    let full = Usage {
        memory: limits.memory - requested.memory,
        cpu_millis: limits.cpu_millis - requested.cpu_millis,
        pids: limits.pids - requested.pids,
        containers: limits.containers - requested.containers,
    };
    context.in_use = full;
    assert!(context.vet(&body).is_ok());
    let one_more: [fn(&mut Usage); 4] = [
        |usage| usage.memory += 1,
        |usage| usage.cpu_millis += 1,
        |usage| usage.pids += 1,
        |usage| usage.containers += 1,
    ];
    for add in one_more {
        context.in_use = full;
        add(&mut context.in_use);
        let refusal = context.vet(&body).unwrap_err();
        assert_eq!(refusal.reason, "LIMITS_REFUSED");
        assert_eq!(refusal.rule, context.grant.rules.limits);
        assert!(refusal.message.contains("the limit is"), "{refusal}");
    }
    context.in_use.memory = u64::MAX;
    assert_eq!(context.reason(&body), "LIMITS_REFUSED");
}

#[test]
fn without_a_writable_layer_the_root_file_system_is_read_only() {
    let mut context = Host::default();
    context.grant.writable_layer = WritableLayer::Never;
    let read_only = |value: bool| host(&json!({"ReadonlyRootfs": value}));
    let rendered = context.rendered(&read_only(true));
    assert_eq!(rendered["HostConfig"]["ReadonlyRootfs"], true);
    for body in [read_only(false), json!({"Image": "redis"})] {
        let refusal = context.vet(&body).unwrap_err();
        assert_eq!(refusal.reason, "WRITABLE_LAYER_REFUSED");
        assert!(refusal.hint.unwrap().contains("--read-only"));
    }
}
