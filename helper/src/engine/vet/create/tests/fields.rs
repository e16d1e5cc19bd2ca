//! Every key of every table, with every type of JSON.

use serde_json::{Value, json};

use super::{Host, host, with};
use crate::engine::vet::create::body::{
    BindOptions, Body, CONVERTED, Endpoint, Healthcheck, HostConfig, Mount, TmpfsOptions,
};

/// How a table's object is put into a body.
type Place = fn(&str, &Value) -> Value;

fn mount(fields: &Value) -> Value {
    let mut mount = json!({
        "Type": "bind", "Source": "/mnt/data-tenant-1001/data/x", "Target": "/x",
    });
    let mount_fields = mount.as_object_mut().unwrap();
    mount_fields.extend(fields.as_object().unwrap().clone());
    host(&json!({"Mounts": [mount]}))
}

fn endpoint(key: &str, value: &Value) -> Value {
    let endpoints = json!({"EndpointsConfig": {"default": {key: value}}});
    with("NetworkingConfig", &endpoints)
}

/// Every table that has keys of either kind, where it stands, and a body with nothing set.
fn tables() -> [([&'static [&'static str]; 2], Place, Value); 7] {
    let plain = json!({"Image": "redis"});
    let bind = mount(&json!({}));
    [
        ([Body::READ, Body::UNSET], with, plain.clone()),
        (
            [HostConfig::READ, HostConfig::UNSET],
            |key, value| host(&json!({key: value})),
            plain.clone(),
        ),
        (
            [Healthcheck::READ, Healthcheck::UNSET],
            |key, value| with("Healthcheck", &json!({key: value})),
            with("Healthcheck", &json!({})),
        ),
        ([Endpoint::READ, Endpoint::UNSET], endpoint, plain),
        (
            [Mount::READ, Mount::UNSET],
            |key, value| mount(&json!({key: value})),
            bind.clone(),
        ),
        (
            [BindOptions::READ, BindOptions::UNSET],
            |key, value| mount(&json!({"BindOptions": {key: value}})),
            bind.clone(),
        ),
        (
            [TmpfsOptions::READ, TmpfsOptions::UNSET],
            |key, value| mount(&json!({"TmpfsOptions": {key: value}})),
            bind,
        ),
    ]
}

#[test]
fn what_must_be_unset_is_refused_by_name_in_every_type() {
    let mut count = 0;
    for ([_, unset], place, _) in tables() {
        for key in unset {
            for value in [
                json!(true),
                json!(1),
                json!(-1),
                json!(0.5),
                json!("x"),
                json!(["x"]),
                json!({"a": 0}),
            ] {
                let refusal = Host::default().vet(&place(key, &value)).unwrap_err();
                assert!(refusal.message.contains(key), "{key} {value}: {refusal}");
                assert!(
                    refusal.reason.ends_with("_REFUSED"),
                    "{key} {value}: {refusal}"
                );
            }
            count += 1;
        }
    }
    assert!(count > 70, "only {count} fields");
}

#[test]
fn what_must_be_unset_may_have_its_zero_value() {
    for ([_, unset], place, plain) in tables() {
        let plain = Host::default().vet(&plain).unwrap();
        for key in unset {
            for value in [
                json!(null),
                json!(false),
                json!(0),
                json!(""),
                json!([]),
                json!({}),
            ] {
                let vetted = Host::default().vet(&place(key, &value));
                assert_eq!(vetted.as_ref(), Ok(&plain), "{key} {value}");
            }
        }
    }
}

#[test]
fn what_is_read_may_be_null_and_has_one_type() {
    let values = [
        json!(true),
        json!(1),
        json!("x"),
        json!([[]]),
        json!({"a": {"b": []}}),
    ];
    for ([read, _], place, plain) in tables() {
        let plain = Host::default().vet(&plain).unwrap();
        for key in read {
            // A body without an image, and a mount without its three parts, is nothing at all.
            if !matches!(*key, "Image" | "Type" | "Source" | "Target") {
                let vetted = Host::default().vet(&place(key, &Value::Null));
                let same = vetted.as_ref() == Ok(&plain);
                assert!(same || *key == "Healthcheck", "{key}: {vetted:?}");
            }
            let wrong = values.iter().filter(|value| {
                let vetted = Host::default().vet(&place(key, value));
                vetted.is_err_and(|refusal| refusal.reason == "BAD_JSON")
            });
            assert!(wrong.count() >= 3, "{key} is read from several types");
        }
    }
}

/// A field that is read and does not reach Docker would be promised and not held.
#[test]
fn what_is_read_reaches_docker_or_is_converted() {
    let mut body = host(&json!({"Init": true, "ConsoleSize": [24, 80]}));
    let more = json!({
        "Tty": true, "StopSignal": "SIGINT", "StopTimeout": 9, "Healthcheck": {"Test": ["NONE"]},
    });
    let fields = body.as_object_mut().unwrap();
    fields.extend(more.as_object().unwrap().clone());
    let rendered = Host::default().rendered(&body);
    // The paths of the image's volumes become tmpfs mounts.
    for (object, read, converted) in [
        (&rendered, Body::READ, ["Volumes"].as_slice()),
        (
            &rendered["HostConfig"],
            HostConfig::READ,
            CONVERTED.as_slice(),
        ),
    ] {
        let missing = read.iter().filter(|key| {
            object
                .get(**key)
                .is_none_or(|value| **key == "Binds" && value == &json!([]))
        });
        let missing: Vec<_> = missing.copied().collect();
        assert_eq!(missing, converted);
    }
}

#[test]
fn no_key_is_known_in_another_spelling() {
    for ([read, unset], place, _) in tables() {
        for key in read.iter().chain(unset) {
            let lower = key.to_lowercase();
            let spelled = [
                lower.clone(),
                key.to_uppercase(),
                lower.replace('s', "\u{17f}"),
                lower.replace('k', "\u{212a}"),
                format!("{key} "),
                format!("{key}\0"),
            ];
            for spelling in spelled.iter().filter(|spelling| spelling != key) {
                let reason = Host::default().reason(&place(spelling, &Value::Null));
                // In a body or mount that has the right key too, the other spelling is a duplicate.
                assert!(
                    matches!(reason, "UNKNOWN_FIELD" | "BAD_JSON"),
                    "{spelling}: {reason}"
                );
            }
        }
    }
}
