//! A parser that fails in every way that was seen, or could be.

use std::fs;
use std::time::{Duration, Instant};

use crate::test_host::{ALL, BASE, PLATFORM, TestHost, plain};

const FAILED: &str = "APPARMOR_NOT_COMPILED";

#[tokio::test]
#[ignore = "needs root and apparmor_parser"]
async fn a_parser_that_fails_is_an_error_and_its_text_is_not_shown() {
    let host = TestHost::start();
    let noisy = "echo 'root:$6$secret:19000:0' >&2";
    for script in [
        format!("#!/bin/sh\n{noisy}\nexit 1\n"),
        // Some versions say so and exit with 0.
        format!("#!/bin/sh\n{noisy}\necho 'AppArmor parser error for stdin: secret'\nexit 0\n"),
        format!("#!/bin/sh\n{noisy}\necho 'APPARMOR PARSER ERROR secret' >&2\nexit 0\n"),
        "#!/bin/sh\necho ai-base-62401\necho docker-default\n".to_owned(),
        "#!/bin/sh\necho ' ai-base-62401'\n".to_owned(),
        "#!/bin/sh\nexit 0\n".to_owned(),
        "#!/nonexistent\n".to_owned(),
        "#!/bin/sh\nkill -SEGV $$\n".to_owned(),
        "#!/bin/sh\nkill -KILL $$\n".to_owned(),
    ] {
        host.install_parser(&script);
        let (reason, text) = host.refused().await;
        assert_eq!(reason, FAILED, "{script}");
        assert!(!text.contains("secret"), "{text}");
        assert!(ALL.iter().all(|name| host.stored(name).is_empty()));
        assert!(ALL.iter().all(|name| host.published(name).is_empty()));
    }
}

#[tokio::test]
#[ignore = "needs root and apparmor_parser"]
async fn megabytes_of_output_are_taken_and_dropped() {
    let host = TestHost::start();
    host.install_parser("#!/bin/sh\nhead -c 50000000 /dev/zero\nhead -c 50000000 /dev/zero >&2\n");
    assert_eq!(host.refused().await.0, FAILED);
    // Without reading its input, which is larger than a pipe.
    let rule = |index| format!("  /opt/{index}/{} r,\n", "x".repeat(140));
    let rules: String = (0..190).map(rule).collect();
    let long = format!("profile {PLATFORM} {{\n{rules}}}\n");
    host.tenant_writes(PLATFORM, long);
    host.install_parser("#!/bin/sh\nexec <&-\nexit 1\n");
    assert_eq!(host.refused().await.0, FAILED);
    host.install_parser(&host.stand_in(""));
    assert!(host.load().await.unwrap());
}

#[tokio::test]
#[ignore = "needs root and apparmor_parser"]
async fn a_parser_that_hangs_is_ended_with_everything_it_started() {
    let host = TestHost::start();
    let pids = host.path("pids");
    let file = pids.display();
    host.install_parser(&format!(
        "#!/bin/sh\nsleep 600 & echo $! > {file}\n(sleep 600; true) & echo $! >> {file}\nsleep 600\n"
    ));
    let began = Instant::now();
    let (reason, text) = host.refused().await;
    assert_eq!(reason, FAILED);
    assert!(text.contains("used too much time"), "{text}");
    let took = began.elapsed();
    assert!(
        took > Duration::from_secs(15) && took < Duration::from_mins(1),
        "{took:?}"
    );
    assert_gone(&host);
}

#[tokio::test]
#[ignore = "needs root and apparmor_parser"]
async fn what_a_parser_leaves_behind_is_ended_when_it_ends() {
    let host = TestHost::start();
    let file = host.path("pids").display().to_string();
    // Its outputs stay open in the child.
    host.install_parser(&format!(
        "#!/bin/sh\nsleep 600 & echo $! > {file}\nexit 1\n"
    ));
    let began = Instant::now();
    assert_eq!(host.refused().await.0, FAILED);
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_gone(&host);
}

/// The limits are the child's from before its first byte of input.
#[tokio::test]
#[ignore = "needs root and apparmor_parser"]
async fn processor_time_memory_and_core_files_are_limited() {
    let host = TestHost::start();
    let limits = host.path("limits");
    let script = host.stand_in("").replacen(
        '\n',
        &format!(
            "\ncat /proc/$$/limits > {0}; env > {0}.env; ls -l /proc/$$/fd > {0}.fd; \
             cut -d' ' -f5 /proc/$$/stat > {0}.pgrp; echo $$ > {0}.pid; pwd > {0}.cwd\n",
            limits.display()
        ),
        1,
    );
    host.install_parser(&script);
    assert!(host.load().await.unwrap());
    let limits = host.read("limits");
    let of = |name: &str| {
        let line = limits.lines().find(|line| line.starts_with(name)).unwrap();
        let rest = line.get(name.len()..).unwrap();
        rest.split_whitespace()
            .take(2)
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(of("Max cpu time"), "3 3");
    assert_eq!(of("Max address space"), "536870912 536870912");
    assert_eq!(of("Max core file size"), "0 0");
    let env = host.read("limits.env");
    assert!(
        env.contains("LC_ALL=C\n") && !env.contains("HOME="),
        "{env}"
    );
    assert!(!env.contains("CARGO"), "{env}");
    assert_eq!(host.read("limits.pgrp"), host.read("limits.pid"));
    assert_eq!(host.read("limits.cwd"), "/\n");
    // Nothing of the daemon's: its directories, its epoll, sockets.
    let open = host.read("limits.fd");
    for own in ["/kept", "/mnt", "anon_inode", "socket:"] {
        assert!(!open.contains(own), "{open}");
    }
}

/// The text is refused by the real compiler although the vetter let it pass: as if the vetter had
/// a hole. Here a broken abi file does it.
#[tokio::test]
#[ignore = "needs root and apparmor_parser"]
async fn the_compiler_has_the_last_word() {
    let host = TestHost::start();
    assert!(host.load().await.unwrap());
    host.forget_loads();
    let refuses = host.stand_in("").replacen(
        "*) exec",
        "-Q) echo 'AppArmor parser error' >&2; exit 1 ;;\n*) exec",
        1,
    );
    host.install_parser(&refuses);
    let before = host.stored(PLATFORM);
    host.tenant_writes(PLATFORM, plain(PLATFORM));
    assert_eq!(host.refused().await.0, FAILED);
    assert!(host.loads().is_empty());
    assert_eq!(host.stored(PLATFORM), before);
    assert!(!host.published(BASE).is_empty() && !host.published(PLATFORM).is_empty());
}

fn assert_gone(host: &TestHost) {
    let pids = host.read("pids");
    assert!(!pids.is_empty());
    let until = Instant::now() + Duration::from_secs(5);
    for pid in pids.lines() {
        // A killed process of a gone parent is init's to be waited for.
        while let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) {
            if stat.contains(") Z ") {
                break;
            }
            assert!(Instant::now() < until, "{stat}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
