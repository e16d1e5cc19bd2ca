//! The command as a script sees it: exit codes, streams, help texts. Needs no daemon.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on has failed, in its helper functions too"
)]

mod doctor;

use std::fmt::Write as _;
use std::io::Read;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use aistack::args::Cli;
use clap::CommandFactory;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

fn aistack(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aistack"));
    command
        .args(arguments)
        .env_clear()
        .env("AISTACK_HELPER_SOCKET", "/nonexistent/helper.sock")
        .env("AISTACK_ENGINE_SOCKET", "/nonexistent/engine.sock")
        .stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    aistack(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn without_a_helper_every_verb_says_so_with_its_code() {
    for verb in [
        "init", "whoami", "plan", "deploy", "status", "restart", "validate", "destroy", "chown",
    ] {
        let output = run(&[verb]);
        assert_eq!(output.status.code(), Some(9), "{verb}");
        assert!(output.stdout.is_empty(), "{verb}: data on a failure");
        let said = text(&output.stderr);
        assert!(said.contains("/nonexistent/helper.sock"), "{verb}: {said}");
        assert!(said.contains("next: "), "{verb}: {said}");
    }
    for verb in [
        &["logs"][..],
        &["start"],
        &["stop"],
        &["exec", "redis", "--", "true"],
        &["shell", "redis"],
        &["url"],
        &["open", "n8n"],
        &["config", "list"],
        &["config", "set", "N8N_PORT", "5190"],
        &["secrets", "list"],
        &["images", "list"],
        &["images", "lock"],
        &["images", "unlock"],
        &["lock", "status"],
        &["volume", "status"],
        &["volume", "mount"],
        &["volume", "grow"],
        &["volume", "unmount", "--stop"],
        &["apparmor", "check"],
        &["apparmor", "load"],
        &["apparmor", "diff"],
        &["apparmor", "reset"],
    ] {
        assert_eq!(run(verb).status.code(), Some(9), "{verb:?}");
    }
}

#[test]
fn a_failure_is_one_document_with_a_schema() {
    let output = run(&["status", "--json"]);
    assert_eq!(output.status.code(), Some(9));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["schema"], 1);
    assert_eq!(document["error"]["exit"], 9);
}

#[test]
fn every_verb_answers_with_one_document() {
    for arguments in [
        &["init"][..],
        &["whoami"],
        &["plan"],
        &["deploy"],
        &["status"],
        &["logs"],
        &["restart"],
        &["validate"],
        &["destroy"],
        &["completion", "bash"],
        &["man"],
        &["version"],
        &["doctor"],
        &["start"],
        &["url"],
        &["exec", "redis", "--", "true"],
        &["config", "get", "N8N_PORT"],
        &["secrets", "show", "REDIS_PASSWORD"],
        &["images", "list"],
        &["lock", "status"],
        &["volume", "status"],
        &["help"],
        &["help", "exit-codes"],
        &["help", "deploy"],
        &["help", "nosuch"],
        &["logs", "--grep", "("],
        &["deploy", "--nosuch"],
        &["nosuch"],
        &[],
    ] {
        let output = aistack(&["--json"]).args(arguments).output().unwrap();
        let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(document["schema"], 1, "{arguments:?}");
        let code = output.status.code();
        // What a doctor finds is its answer, not its failure.
        if code != Some(0) && arguments != ["doctor"] {
            assert_eq!(document["error"]["exit"].as_i64(), code.map(i64::from));
            assert_ne!(document["error"]["what"], "", "{arguments:?}");
        }
    }
}

/// A socket on which nobody ever answers. The client talks to root's sockets only.
fn mute_helper(directory: &Path) -> UnixListener {
    assert!(nix::unistd::geteuid().is_root(), "this needs root");
    UnixListener::bind(directory.join("helper.sock")).unwrap()
}

#[test]
#[ignore = "needs root"]
fn a_signal_and_a_timeout_have_codes_and_documents_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let _listener = mute_helper(dir.path());
    let deploy = |arguments: &[&str]| {
        let mut command = aistack(arguments);
        command.env("AISTACK_HELPER_SOCKET", dir.path().join("helper.sock"));
        // Something is there, and it refuses to be connected to.
        command.env("AISTACK_ENGINE_SOCKET", "/dev/null");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let child = deploy(&["deploy", "--json"]).spawn().unwrap();
        let pid = Pid::from_raw(child.id().try_into().unwrap());
        wait_for_handler(pid, signal);
        nix::sys::signal::kill(pid, signal).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code));
        let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(document["error"]["exit"], code);
        let said = text(&output.stderr);
        assert!(said.contains("containers are left as they are"), "{said}");
    }
    let output = deploy(&["status", "--timeout", "300ms"]).output().unwrap();
    assert_eq!(output.status.code(), Some(124));
}

/// Until the process catches the signal, it would die of it.
fn wait_for_handler(pid: Pid, signal: Signal) {
    let bit = 1_u64 << (signal as i32 - 1);
    for _ in 0..500 {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let caught = status
            .lines()
            .find_map(|line| line.strip_prefix("SigCgt:"))
            .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        if caught.is_some_and(|mask| mask & bit != 0) {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("{pid} does not catch {signal}");
}

#[test]
fn completions_and_manual_pages_have_every_verb() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().to_str().unwrap();
    assert_eq!(run(&["man", "--to", target]).status.code(), Some(0));
    let scripts = ["bash", "zsh", "fish"].map(|shell| (shell, run(&["completion", shell])));
    for verb in Cli::command().get_subcommands() {
        let name = verb.get_name();
        let page = dir.path().join(format!("aistack-{name}.1"));
        assert!(page.is_file(), "no page of {name}");
        for (shell, script) in &scripts {
            let script = text(&script.stdout);
            assert!(script.contains(name), "{shell} does not know {name}");
        }
    }
}

#[test]
fn completions_offer_the_services_of_the_catalog() {
    for shell in ["bash", "zsh", "fish"] {
        let script = text(&run(&["completion", shell]).stdout);
        for name in ["postgres", "n8n", "exit-codes", "POSTGRES_PASSWORD"] {
            assert!(script.contains(name), "{shell} does not offer {name}");
        }
    }
    // Only the shell gets it: a wrong name is still answered by the command itself.
    assert_eq!(run(&["restart", "nosuch"]).status.code(), Some(9));
}

#[test]
fn the_manual_page_tells_the_exit_codes() {
    let dir = tempfile::tempdir().unwrap();
    run(&["man", "--to", dir.path().to_str().unwrap()]);
    let written = std::fs::read_to_string(dir.path().join("aistack.1")).unwrap();
    assert_eq!(written, text(&run(&["man"]).stdout));
    assert!(written.contains("EXIT STATUS"), "{written}");
    assert!(written.contains("another run holds the lock"), "{written}");
}

#[test]
fn wrong_usage_is_two() {
    for arguments in [
        &["logs", "--grep", "("][..],
        &["logs", "--since", "yesterday"],
    ] {
        assert_eq!(run(arguments).status.code(), Some(2), "{arguments:?}");
    }
    for arguments in [
        &["nosuch"][..],
        &["deploy", "--nosuch"],
        &["init", "--set", "lower=1"],
        &["--timeout", "soon", "deploy"],
    ] {
        assert_eq!(run(arguments).status.code(), Some(2), "{arguments:?}");
    }
    let down = text(&run(&["down"]).stderr);
    assert!(down.contains("aistack destroy"), "{down}");
}

#[test]
fn alone_it_tells_the_state_and_the_next_command() {
    let output = run(&[]);
    assert_eq!(output.status.code(), Some(0));
    let said = text(&output.stdout);
    assert!(said.contains("does not answer"), "{said}");
    assert!(said.contains("aistack deploy"), "{said}");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut child = aistack(&["completion", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The script is larger than a pipe, so the writer meets the closed end.
    drop(child.stdout.take());
    let mut said = String::new();
    let stderr = child.stderr.as_mut().unwrap();
    stderr.read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(said, "");
}

#[test]
fn colour_is_off_in_a_pipe_and_on_when_requested() {
    let escape = "\u{1b}[";
    assert!(!text(&run(&["help", "exit-codes"]).stdout).contains(escape));
    let forced = run(&["help", "exit-codes", "--color", "always"]);
    assert!(text(&forced.stdout).contains(escape));
    let mut forced = aistack(&["help", "exit-codes"]);
    let forced = forced.env("CLICOLOR_FORCE", "1").env("TERM", "dumb");
    assert!(text(&forced.output().unwrap().stdout).contains(escape));
    // What clap prints itself listens too.
    for (arguments, coloured) in [
        (&["deploy", "-h", "--color", "always"][..], true),
        (&["deploy", "-h", "--color", "never"], false),
        (&["--no-color", "deploy", "-h"], false),
    ] {
        let mut help = aistack(arguments);
        let help = help.env("CLICOLOR_FORCE", "1").output().unwrap();
        assert_eq!(
            text(&help.stdout).contains(escape),
            coloured,
            "{arguments:?}"
        );
    }
    let mut quiet = aistack(&["help", "exit-codes"]);
    let quiet = quiet.env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1");
    assert!(!text(&quiet.output().unwrap().stdout).contains(escape));
}

#[test]
fn versions_are_reported_also_when_the_helper_is_away() {
    let output = run(&["version"]);
    assert_eq!(output.status.code(), Some(0));
    let version = env!("CARGO_PKG_VERSION");
    assert!(text(&output.stdout).starts_with(&format!("aistack {version}\n")));
}

#[test]
fn help_texts() {
    let mut manual = String::new();
    for topic in [
        "exit-codes",
        "init",
        "whoami",
        "doctor",
        "plan",
        "deploy",
        "status",
        "logs",
        "start",
        "stop",
        "restart",
        "exec",
        "shell",
        "url",
        "open",
        "config",
        "secrets",
        "images",
        "lock",
        "validate",
        "destroy",
        "volume",
        "chown",
        "apparmor",
        "completion",
        "man",
        "version",
    ] {
        let output = run(&["help", topic]);
        assert_eq!(output.status.code(), Some(0), "{topic}");
        let help = text(&output.stdout);
        let own = help
            .split("Flags of all commands:")
            .next()
            .unwrap_or_default();
        writeln!(manual, "=== aistack help {topic}\n{}\n", own.trim_end()).unwrap();
    }
    let all = text(&run(&["help"]).stdout);
    write!(manual, "=== aistack help\n{all}").unwrap();
    insta::assert_snapshot!(manual);
}

/// Two daemons that do not work. The client talks to root's sockets only.
fn misbehaving_daemons(serve: fn(UnixListener)) -> tempfile::TempDir {
    assert!(nix::unistd::geteuid().is_root(), "this needs root");
    let dir = tempfile::tempdir().unwrap();
    for daemon in ["helper.sock", "engine.sock"] {
        let listener = UnixListener::bind(dir.path().join(daemon)).unwrap();
        std::thread::spawn(move || serve(listener));
    }
    dir
}

fn with_daemons(dir: &tempfile::TempDir, arguments: &[&str]) -> Output {
    let mut command = aistack(arguments);
    command.env("AISTACK_HELPER_SOCKET", dir.path().join("helper.sock"));
    command.env("AISTACK_ENGINE_SOCKET", dir.path().join("engine.sock"));
    command.output().unwrap()
}

#[test]
#[ignore = "needs root"]
fn a_helper_that_hangs_is_named_while_it_is_waited_for() {
    let hangs = |listener: UnixListener| {
        let mut streams = Vec::new();
        for stream in listener.incoming() {
            streams.push(stream);
        }
    };
    let dir = misbehaving_daemons(hangs);
    for verb in ["plan", "status", "whoami"] {
        let output = with_daemons(&dir, &[verb, "--timeout", "7s"]);
        assert_eq!(output.status.code(), Some(124), "{verb}");
        let said = text(&output.stderr);
        assert!(
            said.contains("waiting for the helper: no answer"),
            "{verb}: {said}"
        );
        assert!(said.contains("aistack doctor"), "{verb}: {said}");
    }
}

#[test]
#[ignore = "needs root"]
fn a_helper_that_is_gone_after_a_call_is_not_waited_for() {
    let ends = |listener: UnixListener| {
        // The connection on which the call comes, once it has come.
        let (mut stream, _) = listener.accept().unwrap();
        let _ = std::io::Read::read(&mut stream, &mut [0; 1 << 10]);
        drop(listener);
    };
    let dir = misbehaving_daemons(ends);
    let output = with_daemons(&dir, &["whoami"]);
    assert_eq!(output.status.code(), Some(9));
    let said = text(&output.stderr);
    assert!(!said.contains("too many open"), "{said}");
}

#[test]
#[ignore = "needs root"]
fn a_helper_that_hangs_up_is_not_said_to_be_stopped() {
    let hangs_up = |listener: UnixListener| listener.incoming().for_each(drop);
    let dir = misbehaving_daemons(hangs_up);
    let output = with_daemons(&dir, &["whoami"]);
    assert_eq!(output.status.code(), Some(9));
    let said = text(&output.stderr);
    assert!(said.contains("closed the connection"), "{said}");
    assert!(
        said.contains("your other commands") && !said.contains("to start"),
        "{said}"
    );
}

#[test]
#[ignore = "needs root"]
fn nobody_learns_that_it_can_be_no_tenant() {
    use std::os::unix::process::CommandExt as _;

    let dir = misbehaving_daemons(|listener| listener.incoming().for_each(drop));
    // The binary may lie where nobody cannot come.
    let copy = dir.path().join("aistack");
    std::fs::copy(env!("CARGO_BIN_EXE_aistack"), &copy).unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(dir.path(), open).unwrap();
    let mut command = Command::new(&copy);
    command.arg("status").env_clear().uid(65534).gid(65534);
    command.env("AISTACK_HELPER_SOCKET", dir.path().join("helper.sock"));
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(7));
    let said = text(&output.stderr);
    assert!(
        said.contains("UID 65534 (nobody)") && said.contains("next: "),
        "{said}"
    );
}
