//! Execs: who they run as, and what reaches Docker.

use aistack_policy::Policy;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const API: ApiVersion = ApiVersion::NEWEST_SPOKEN;

fn grant() -> Grant {
    let text = include_str!("../../../../tests/corpus/policy.toml");
    Policy::parse(text).unwrap().grant(1001).unwrap()
}

/// A container that can write its root file system, and has a bind at `/data`.
fn layout() -> Layout<'static> {
    Layout {
        mounts: vec!["/data"],
        read_only: false,
        own: "/app/own",
    }
}

fn decide(container_user: &str, body: &Value) -> Result<CanonicalExec, Refusal> {
    let body = body.to_string();
    CanonicalExec::decide(&grant(), container_user, &layout(), body.as_bytes(), API)
}

#[test]
fn an_exec_is_rendered_in_full() {
    let exec = decide(
        "1001:1001",
        &json!({"Cmd": ["sh", "-c", "id"], "AttachStdout": true}),
    );
    let expected = r#"{"User":"1001:1001","Privileged":false,"Tty":false,"AttachStdin":false,"AttachStdout":true,"AttachStderr":false,"Env":[],"WorkingDir":"","Cmd":["sh","-c","id"]}"#;
    assert_eq!(
        String::from_utf8(exec.unwrap().render(API)).unwrap(),
        expected
    );
}

#[test]
fn the_user_is_the_containers_or_another_of_the_grant() {
    for (container, requested, user) in [
        ("1001:1001", "", "1001:1001"),
        ("2001:2001", "", "2001:2001"),
        ("2001:2001", "1001", "1001:1001"),
        ("1001:1001", "2001:2001", "2001:2001"),
    ] {
        let exec = decide(container, &json!({"User": requested, "Cmd": ["id"]})).unwrap();
        assert_eq!(exec.audit()["user"], user);
    }
}

#[test]
fn a_container_of_nobody_of_the_grant_is_not_entered() {
    for user in [
        "",
        "0",
        "0:0",
        "root",
        "1001",
        "1002:1002",
        "1001:0",
        "01001:1001",
    ] {
        let refusal = decide(user, &json!({"Cmd": ["id"], "User": "1001:1001"})).unwrap_err();
        assert_eq!(refusal.reason, "USER_REFUSED", "{user:?}");
    }
}

#[test]
fn bodies_are_refused_by_their_field() {
    let mut cases = vec![
        (
            json!({"Cmd": ["id"], "Privileged": true}),
            "PRIVILEGED_REFUSED",
        ),
        (json!({"Cmd": ["id"], "privileged": true}), "UNKNOWN_FIELD"),
        (json!({"Cmd": ["id"], "HostConfig": {}}), "UNKNOWN_FIELD"),
        (json!({"Cmd": []}), "EXEC_REFUSED"),
        (json!({"Cmd": [""]}), "EXEC_REFUSED"),
        (json!({"Cmd": null}), "EXEC_REFUSED"),
        (json!({}), "EXEC_REFUSED"),
        (json!(null), "EXEC_REFUSED"),
        (json!([]), "BAD_JSON"),
        (json!({"Cmd": ["a\0"]}), "COMMAND_REFUSED"),
        (json!({"Cmd": ["id"], "Env": ["=x"]}), "ENV_REFUSED"),
        (
            json!({"Cmd": ["id"], "WorkingDir": "/proc/self/fd/7"}),
            "WORKING_DIR_REFUSED",
        ),
        (
            json!({"Cmd": ["id"], "WorkingDir": "/x/../proc"}),
            "WORKING_DIR_REFUSED",
        ),
        (
            json!({"Cmd": ["id"], "DetachKeys": "x".repeat(300)}),
            "EXEC_REFUSED",
        ),
        (
            json!({"Cmd": ["id"], "Container": "x".repeat(300)}),
            "EXEC_REFUSED",
        ),
        (
            json!({"Cmd": ["id"], "ConsoleSize": [1]}),
            "CONSOLE_SIZE_REFUSED",
        ),
    ];
    for user in [
        "0",
        "0:0",
        "root",
        "00",
        "+0",
        ":0",
        "1001:0",
        "1001:",
        "1002",
        "1001:1001:0",
        " 1001",
    ] {
        cases.push((json!({"Cmd": ["id"], "User": user}), "USER_REFUSED"));
    }
    for (body, reason) in cases {
        let refusal = decide("1001:1001", &body).unwrap_err();
        assert_eq!(refusal.reason, reason, "{body}");
    }
}

#[test]
fn an_exec_starts_where_nobody_in_the_container_can_put_a_link() {
    let exec = |path: &str| decide("1001:1001", &json!({"Cmd": ["id"], "WorkingDir": path}));
    for path in ["", "/", "/data", "/app", "/app/own", "/usr/src/app", "/tmp"] {
        assert!(exec(path).is_ok(), "{path}");
    }
    for path in ["/data/x", "/tmp/x", "/run/lock/x", "/app/x", "/var/lock/x"] {
        let refusal = exec(path).unwrap_err();
        assert_eq!(refusal.reason, "WORKING_DIR_REFUSED", "{path}");
        assert_eq!(refusal.rule.key, "builtin.working-directory");
    }
    // The container's own directory holds for an exec that names none.
    let below = Layout {
        own: "/data/x",
        ..layout()
    };
    let body = br#"{"Cmd": ["id"]}"#;
    assert!(CanonicalExec::decide(&grant(), "1001:1001", &below, body, API).is_err());
}

#[test]
fn what_changes_nothing_is_dropped() {
    let plain = decide("1001:1001", &json!({"Cmd": ["id"]})).unwrap();
    let full = json!({
        "Cmd": "id", "User": null, "Privileged": false, "Detach": true, "DetachKeys": "ctrl-a",
        "Container": "tenant-1001-x", "ConsoleSize": [0, 0], "Env": null, "WorkingDir": "",
    });
    assert_eq!(decide("1001:1001", &full).unwrap(), plain);
}

#[test]
fn arguments_and_values_are_neither_audited_nor_shown() {
    let body = json!({"Cmd": ["psql", "hunter2"], "Env": ["PGPASSWORD=hunter2"]});
    let exec = decide("1001:1001", &body).unwrap();
    let audit = exec.audit();
    let expected = json!({
        "user": "1001:1001", "program": "psql", "arguments": 1, "env": ["PGPASSWORD"], "env_count": 1,
    });
    assert_eq!(audit, expected);
    assert!(!format!("{exec:?}").contains("hunter2"));
    let line = decide("1001:1001", &json!({"Cmd": "psql hunter2"})).unwrap();
    assert_eq!(line.audit()["program"], "psql");
}

#[test]
fn a_start_is_two_flags() {
    for (body, detach, tty) in [
        (r#"{"Detach":true,"Tty":false}"#, true, false),
        (
            r#"{"Tty":true,"ConsoleSize":[10,20],"OutputCapacity":null}"#,
            false,
            true,
        ),
        ("{}", false, false),
    ] {
        let start = ExecStart::parse(body.as_bytes(), API).unwrap();
        assert_eq!((start.detach, start.tty), (detach, tty));
        let again = ExecStart::parse(&start.render(API), API).unwrap();
        assert_eq!(again, start);
    }
    for body in [
        "",
        "[]",
        r#"{"detach":true}"#,
        r#"{"Detach":1}"#,
        r#"{"Detach":true,"Detach":false}"#,
    ] {
        assert!(ExecStart::parse(body.as_bytes(), API).is_err(), "{body}");
    }
}

proptest! {
    #[test]
    fn an_exec_is_never_root_nor_privileged(user in "[0-9:+root -]{0,9}", cmd in ".{1,8}") {
        if let Ok(exec) = decide("1001:1001", &json!({"User": user, "Cmd": [cmd]})) {
            let rendered: Value = serde_json::from_slice(&exec.render(API)).unwrap();
            prop_assert!(rendered["User"] == "1001:1001" || rendered["User"] == "2001:2001");
            prop_assert_eq!(&rendered["Privileged"], false);
        }
    }

    #[test]
    fn any_bytes_are_answered(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
        let _ = CanonicalExec::decide(&grant(), "1001:1001", &layout(), &bytes, API);
        let _ = ExecStart::parse(&bytes, API);
    }
}

#[test]
fn an_exec_of_the_administrators_is_not_started() {
    let exec = |user: Value, privileged: Value| {
        let exec = json!({"ProcessConfig": {"user": user, "privileged": privileged}});
        check_existing(&grant(), &exec).map_err(|refusal| refusal.reason)
    };
    for user in ["1001:1001", "2001:2001"] {
        assert_eq!(exec(json!(user), json!(false)), Ok(()));
    }
    for user in [
        json!(""),
        json!("0"),
        json!("root"),
        json!("1002:1002"),
        json!(null),
        json!(1001),
    ] {
        assert_eq!(
            exec(user.clone(), json!(false)),
            Err("USER_REFUSED"),
            "{user}"
        );
    }
    for privileged in [json!(true), json!(1), json!("false")] {
        let refused = exec(json!("1001:1001"), privileged.clone());
        assert_eq!(refused, Err("PRIVILEGED_REFUSED"), "{privileged}");
    }
    assert!(check_existing(&grant(), &json!({})).is_err());
}

#[test]
fn execs_that_docker_keeps_have_a_bound() {
    let with = |count: usize| json!({"ExecIDs": vec!["a"; count]});
    for some in [json!({"ExecIDs": null}), with(0), with(MAX_EXECS - 1)] {
        assert!(check_count(&some).is_ok());
    }
    assert_eq!(
        check_count(&with(MAX_EXECS)).unwrap_err().reason,
        "EXEC_REFUSED"
    );
}

#[test]
fn the_size_of_a_terminal_reaches_an_engine_that_uses_it() {
    let shown = |body: &[u8], path: &str| {
        let body: Value = serde_json::from_slice(body).unwrap();
        body[path].clone()
    };
    let body = json!({"Cmd": ["sh"], "Tty": true, "ConsoleSize": [24, 80]}).to_string();
    let start = br#"{"Tty":true,"ConsoleSize":[24,80]}"#;
    for (requested, spoken, size) in [
        (41, 41, Value::Null),
        (41, 56, Value::Null),
        (42, 41, Value::Null),
        (42, 42, json!([24, 80])),
        (56, 56, json!([24, 80])),
    ] {
        let (requested, spoken) = (ApiVersion::v1(requested), ApiVersion::v1(spoken));
        let exec =
            CanonicalExec::decide(&grant(), "1001:1001", &layout(), body.as_bytes(), requested);
        let rendered = exec.unwrap().render(spoken);
        assert_eq!(
            shown(&rendered, "ConsoleSize"),
            size,
            "{requested} {spoken}"
        );
        let rendered = ExecStart::parse(start, requested).unwrap().render(spoken);
        assert_eq!(
            shown(&rendered, "ConsoleSize"),
            size,
            "{requested} {spoken}"
        );
    }
    let without = br#"{"ConsoleSize":[24,80]}"#;
    let rendered = ExecStart::parse(without, API).unwrap().render(API);
    assert_eq!(shown(&rendered, "ConsoleSize"), Value::Null);
}
