//! What a daemon can no longer do, tried for real: each attempt runs in a process of its own that
//! enters the same restrictions as the daemon, and comes back as an exit status.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking; helpers outside of #[test] functions are not known as such"
)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use aistack_helper::sandbox::{self, FileAccess, Work};
use rustix::fs::{CWD, FileType, Mode};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};
use rustix::process::{Pid, Signal};
use rustix::thread::UnshareFlags;

const ATTEMPT: &str = "AISTACK_TEST_ATTEMPT";
const PLACE: &str = "AISTACK_TEST_PLACE";
/// The attempt succeeded; any other status is the errno.
const DONE: i32 = 0;

/// Runs one attempt and returns its errno, or [`DONE`].
fn attempt(sandbox: &str, what: &str, place: &Path) -> i32 {
    let status = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "in_a_process_of_its_own",
            "--ignored",
            "--nocapture",
        ])
        .env(ATTEMPT, format!("{sandbox} {what}"))
        .env(PLACE, place)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    status
        .code()
        .unwrap_or_else(|| panic!("{sandbox} {what}: {status}"))
}

/// Not a test: what [`attempt`] runs.
#[test]
#[ignore = "the other tests run it, each in a process of its own"]
fn in_a_process_of_its_own() {
    let wanted = std::env::var(ATTEMPT).expect("started by another test");
    let (sandbox, what) = wanted.split_once(' ').unwrap();
    let place = PathBuf::from(std::env::var_os(PLACE).unwrap());
    match sandbox {
        "serve" => sandbox::allow_only(Work::Serve).unwrap(),
        "change" => sandbox::allow_only(Work::ServeAndChange).unwrap(),
        "places" | "places-without-programs" => FileAccess {
            writable: [place.join("own")].into(),
            programs: sandbox == "places",
        }
        .restrict_self()
        .unwrap(),
        other => panic!("no sandbox {other}"),
    }
    let errno = match try_to(what, &place) {
        Ok(()) => DONE,
        Err(error) => error.raw_os_error().unwrap(),
    };
    std::process::exit(errno);
}

#[expect(
    deprecated,
    reason = "unshare of descriptors is what makes it unsafe; this one is of users"
)]
fn try_to(what: &str, place: &Path) -> std::io::Result<()> {
    let file = |name: &str| place.join(name);
    match what {
        "mount" => rustix::mount::mount("none", place, "tmpfs", MountFlags::empty(), None)?,
        "unmount" => rustix::mount::unmount(place, UnmountFlags::empty())?,
        "open-a-tree" => drop(rustix::mount::open_tree(
            CWD,
            place,
            rustix::mount::OpenTreeFlags::OPEN_TREE_CLONE,
        )?),
        "new-user-namespace" => rustix::thread::unshare(UnshareFlags::NEWUSER)?,
        "internet" => drop(std::net::TcpListener::bind("127.0.0.1:0")?),
        "device" => rustix::fs::mknodat(
            CWD,
            file("device"),
            FileType::CharacterDevice,
            Mode::RUSR,
            259,
        )?,
        "link" => std::fs::hard_link(file("file"), file("link"))?,
        "symlink" => std::os::unix::fs::symlink("/etc", file("symlink"))?,
        "chroot" => rustix::process::chroot(place)?,
        "set-uid" => rustix::fs::fchmod(
            std::fs::File::open(file("file"))?,
            Mode::from_raw_mode(0o4755),
        )?,
        "mode" => rustix::fs::fchmod(
            std::fs::File::open(file("file"))?,
            Mode::from_raw_mode(0o750),
        )?,
        "own-nothing" => rustix::fs::fchown(std::fs::File::open(file("file"))?, None, None)?,
        "program" => return run(&mut Command::new("/bin/true")),
        "compiler" => {
            let mut parser = Command::new("apparmor_parser");
            return run(parser.args(["-Q", "-K"]).arg(file("profile")));
        }
        "thread" => std::thread::spawn(|| ()).join().unwrap(),
        "runtime" => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async {
                tokio::task::spawn_blocking(|| ()).await.unwrap();
                drop(tokio::net::UnixStream::pair().unwrap());
                tokio::time::sleep(Duration::from_millis(1)).await;
            });
        }
        "signal-a-stranger" => rustix::process::test_kill_process(Pid::from_raw(1).unwrap())?,
        "signal-a-child" => {
            let mut child = Command::new("sleep").arg("60").spawn()?;
            rustix::process::kill_process(Pid::from_child(&child), Signal::KILL)?;
            child.wait()?;
        }
        "write-own" => std::fs::write(file("own/new"), "")?,
        "remove-own" => std::fs::remove_file(file("own/old"))?,
        "write-other" => std::fs::write(file("file"), "changed")?,
        "make-other" => std::fs::create_dir(file("new"))?,
        "remove-other" => std::fs::remove_file(file("file"))?,
        "read-other" => drop(std::fs::read(file("file"))?),
        "empty-the-null-device" => std::fs::write("/dev/null", "x")?,
        "keyring" | "trace" | "bpf" | "module" | "io_uring" => raw(what)?,
        other => panic!("nobody knows how to {other}"),
    }
    Ok(())
}

fn run(command: &mut Command) -> std::io::Result<()> {
    let status: ExitStatus = command.stdin(Stdio::null()).status()?;
    assert!(status.success(), "{status}");
    Ok(())
}

/// Calls that no safe wrapper makes: a small program asks for them.
fn raw(what: &str) -> std::io::Result<()> {
    // The parent of an attempt under "serve" could not start it, so it is run under "change" only.
    let number = match what {
        "keyring" => libc::SYS_keyctl,
        "trace" => libc::SYS_ptrace,
        "bpf" => libc::SYS_bpf,
        "module" => libc::SYS_finit_module,
        _ => libc::SYS_io_uring_setup,
    };
    let script = format!(
        "import ctypes, sys; c = ctypes.CDLL(None, use_errno=True); c.syscall({number}, 0, 0, 0, 0); sys.exit(ctypes.get_errno())"
    );
    let status = Command::new("python3").args(["-c", &script]).status()?;
    match status.code() {
        Some(0) => Ok(()),
        Some(errno) => Err(std::io::Error::from_raw_os_error(errno)),
        None => panic!("{status}"),
    }
}

fn place() -> tempfile::TempDir {
    let place = tempfile::Builder::new()
        .prefix("aistack-dev-sandbox-")
        .tempdir()
        .unwrap();
    std::fs::create_dir(place.path().join("own")).unwrap();
    std::fs::write(place.path().join("own/old"), "").unwrap();
    std::fs::write(place.path().join("file"), "unchanged").unwrap();
    std::fs::write(
        place.path().join("profile"),
        "profile aistack-dev-sandbox { /x r, }\n",
    )
    .unwrap();
    place
}

#[test]
fn calls_that_no_daemon_needs_fail() {
    let place = place();
    let refused = Errno::PERM.raw_os_error();
    let never = [
        "mount",
        "unmount",
        "open-a-tree",
        "new-user-namespace",
        "internet",
        "device",
        "link",
        "symlink",
        "chroot",
        "set-uid",
    ];
    for sandbox in ["serve", "change"] {
        for what in never {
            assert_eq!(
                attempt(sandbox, what, place.path()),
                refused,
                "{sandbox}: {what}"
            );
        }
    }
    for what in ["keyring", "trace", "bpf", "module", "io_uring"] {
        assert_eq!(attempt("change", what, place.path()), refused, "{what}");
    }
}

#[test]
fn the_gateway_neither_runs_programs_nor_changes_owners_nor_sends_signals() {
    let place = place();
    for what in ["program", "mode", "own-nothing", "signal-a-stranger"] {
        let refused = Errno::PERM.raw_os_error();
        assert_eq!(attempt("serve", what, place.path()), refused, "{what}");
    }
}

#[test]
fn what_the_daemons_do_goes_on() {
    let place = place();
    for sandbox in ["serve", "change"] {
        for what in ["thread", "runtime", "read-other", "write-own", "remove-own"] {
            std::fs::write(place.path().join("own/old"), "").unwrap();
            assert_eq!(
                attempt(sandbox, what, place.path()),
                DONE,
                "{sandbox}: {what}"
            );
        }
    }
    for what in ["mode", "own-nothing", "program", "signal-a-child"] {
        assert_eq!(attempt("change", what, place.path()), DONE, "{what}");
    }
}

#[test]
#[ignore = "needs apparmor_parser"]
fn the_compiler_of_profiles_runs_under_seccomp() {
    assert_eq!(attempt("change", "compiler", place().path()), DONE);
}

#[test]
fn nothing_is_written_outside_of_the_allowed_paths() {
    let place = place();
    for sandbox in ["places", "places-without-programs"] {
        for what in ["write-other", "make-other", "remove-other"] {
            let denied = Errno::ACCESS.raw_os_error();
            assert_eq!(
                attempt(sandbox, what, place.path()),
                denied,
                "{sandbox}: {what}"
            );
        }
        for what in [
            "write-own",
            "remove-own",
            "read-other",
            "empty-the-null-device",
            "thread",
        ] {
            std::fs::write(place.path().join("own/old"), "").unwrap();
            assert_eq!(
                attempt(sandbox, what, place.path()),
                DONE,
                "{sandbox}: {what}"
            );
        }
    }
    assert_eq!(
        std::fs::read(place.path().join("file")).unwrap(),
        b"unchanged"
    );
    assert_eq!(attempt("places", "program", place.path()), DONE);
    let denied = Errno::ACCESS.raw_os_error();
    assert_eq!(
        attempt("places-without-programs", "program", place.path()),
        denied
    );
}

/// The mount worker must stay without Landlock.
#[test]
#[ignore = "needs root"]
fn landlock_forbids_every_mount() {
    let refused = Errno::PERM.raw_os_error();
    assert_eq!(attempt("places", "mount", place().path()), refused);
}

#[test]
fn a_place_that_a_new_policy_names_is_distinguished() {
    let file_access = FileAccess {
        writable: ["/mnt".into(), "/srv/tenants".into()].into(),
        programs: true,
    };
    let wanted = ["/mnt", "/mnt/more", "/srv", "/srv/tenants", "/data"]
        .map(PathBuf::from)
        .into();
    let missing: Vec<&PathBuf> = file_access.missing(&wanted).collect();
    assert_eq!(missing, [Path::new("/data"), Path::new("/srv")]);
}

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The daemons themselves: every thread is under two filters and cannot gain a privilege.
#[test]
#[ignore = "needs root"]
fn the_daemons_sandbox_themselves_before_they_listen() {
    let dir = tempfile::Builder::new()
        .prefix("aistack-dev-sandbox-")
        .tempdir_in("/run")
        .unwrap();
    let path = |name: &str| dir.path().join(name);
    // Directories above a policy must be open to be looked through, and the policy root's alone.
    let own = std::fs::File::open(dir.path()).unwrap();
    rustix::fs::fchmod(&own, Mode::from_raw_mode(0o755)).unwrap();
    std::fs::write(path("policy.toml"), "version = 1\n").unwrap();
    for (program, options) in [
        (
            env!("CARGO_BIN_EXE_aistack-helper"),
            ["--state-dir", "state"].as_slice(),
        ),
        (
            env!("CARGO_BIN_EXE_aistack-engine"),
            &["--state-dir", "engine-state"],
        ),
    ] {
        let mut command = Command::new(program);
        command
            .arg("serve")
            .arg("--policy")
            .arg(path("policy.toml"));
        command
            .arg("--socket")
            .arg(path("d.sock"))
            .arg("--audit-dir")
            .arg(path("audit"));
        if let [option, name] = options {
            command.arg(option).arg(path(name));
        }
        let daemon = Ended(command.stderr(Stdio::null()).spawn().unwrap());
        let until = Instant::now() + Duration::from_secs(20);
        while std::os::unix::net::UnixStream::connect(path("d.sock")).is_err() {
            assert!(Instant::now() < until, "{program} does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        for thread in std::fs::read_dir(format!("/proc/{}/task", daemon.0.id())).unwrap() {
            let status = std::fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
            for line in ["NoNewPrivs:\t1", "Seccomp:\t2", "Seccomp_filters:\t2"] {
                assert!(
                    status.contains(line),
                    "{program}: {line} is not in\n{status}"
                );
            }
        }
        drop(daemon);
        std::fs::remove_file(path("d.sock")).unwrap();
    }
}
