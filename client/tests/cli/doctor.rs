//! `aistack doctor` and `aistack apparmor check` where no daemon answers.

use super::*;

/// Findings of `doctor --json`, as `check level`.
fn doctor(command: &mut Command) -> (Option<i32>, Vec<String>) {
    let output = command.output().unwrap();
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let checks = document["checks"].as_array().unwrap().iter();
    let found = checks.map(|check| {
        let word = |key: &str| check[key].as_str().unwrap().to_owned();
        assert!(!word("found").is_empty());
        format!("{} {}", word("check"), word("level"))
    });
    (output.status.code(), found.collect())
}

#[test]
fn profiles_are_checked_without_a_helper_and_the_refused_line_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().to_str().unwrap();
    let directory = dir.path().join("apparmor");
    std::fs::create_dir(&directory).unwrap();
    let name = format!("ai-platform-{}", nix::unistd::getuid());
    let apparmor = |verb: &str| run(&["apparmor", verb, "-C", base]);
    assert_eq!(apparmor("check").status.code(), Some(0));
    let refused = format!("profile {name} {{\n  file,\n  mount,\n}}\n");
    std::fs::write(directory.join(&name), refused).unwrap();
    let check = apparmor("check");
    assert_eq!(check.status.code(), Some(5));
    let said = text(&check.stdout);
    assert!(said.contains(&format!("{name}:3")), "{said}");
    assert!(said.contains("   3 |   mount,"), "{said}");
    assert!(said.contains("E_RULE"), "{said}");
    assert!(text(&apparmor("diff").stdout).contains("+  mount,"));
    assert_eq!(apparmor("reset").status.code(), Some(0));
    let backup = std::fs::read_to_string(directory.join(format!("{name}.bak"))).unwrap();
    assert!(backup.contains("mount,"));
    assert_eq!(apparmor("check").status.code(), Some(0));
    assert_eq!(text(&apparmor("diff").stdout), "");
    let unknown = run(&["apparmor", "reset", "-C", base, "docker-default"]);
    assert_eq!(unknown.status.code(), Some(4));
}

#[test]
fn the_doctor_works_when_everything_is_broken() {
    let (code, found) = doctor(&mut aistack(&["doctor", "--json"]));
    assert_eq!(code, Some(5));
    assert!(found.contains(&"helper problem".to_owned()), "{found:?}");
    assert!(found.contains(&"gateway problem".to_owned()), "{found:?}");
    assert!(found.contains(&"files unchecked".to_owned()), "{found:?}");
    let said = text(&run(&["doctor"]).stdout);
    assert!(
        said.contains("ask the administrator to start aistack-helper"),
        "{said}"
    );
}

#[test]
fn the_doctor_looks_at_the_files_also_without_a_helper() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("config");
    std::fs::create_dir(&config).unwrap();
    std::fs::write(config.join(".env"), "not a line\n").unwrap();
    let base = dir.path().to_str().unwrap();
    let (code, found) = doctor(&mut aistack(&["doctor", "--json", "-C", base]));
    assert_eq!(code, Some(5));
    assert!(found.contains(&".env problem".to_owned()), "{found:?}");
    assert!(found.contains(&"volume problem".to_owned()), "{found:?}");
    assert!(
        found.contains(&"directories unchecked".to_owned()),
        "{found:?}"
    );
    let named = doctor(aistack(&["doctor", "--json"]).env("BASE_DIR", base));
    assert_eq!(named, (code, found));
}

#[test]
fn the_doctor_of_a_busy_host_waits_for_the_gateway_and_says_that_it_was_late() {
    let answers_late = |listener: UnixListener| {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut stream = stream;
                let mut request = [0; 1 << 12];
                let count = std::io::Read::read(&mut stream, &mut request).unwrap_or_default();
                // The first that it asks for, and what looks at nothing else.
                if text(&request[..count]).contains("/containers/json") {
                    std::thread::sleep(std::time::Duration::from_secs(4));
                }
                let _ = std::io::Write::write_all(
                    &mut stream,
                    b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Type: application/json\r\n\
                      Content-Length: 2\r\nConnection: close\r\n\r\n[]",
                );
            });
        }
    };
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("engine.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || answers_late(listener));
    let mut command = aistack(&["doctor", "--json"]);
    command.env("AISTACK_ENGINE_SOCKET", &socket);
    let (_, found) = doctor(&mut command);
    for expected in ["gateway ok", "host warning"] {
        assert!(
            found.iter().any(|finding| finding == expected),
            "{expected}: {found:?}"
        );
    }
}
