//! What a tenant may have put where its source should be.

use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode};

use crate::test_host::{A, PLATFORM, TestHost, plain};

const REFUSED: &str = "APPARMOR_SOURCE_REFUSED";

#[tokio::test]
#[ignore = "needs root and apparmor_parser"]
async fn everything_but_a_plain_file_of_the_tenants_is_refused() {
    let host = TestHost::start();
    let path = host.sources().join(PLATFORM);
    let secret = host.base().join("secret");
    fs::write(&secret, "root's own\n").unwrap();

    symlink("/etc/shadow", &path).unwrap();
    assert_eq!(host.refused().await, expected("is a symbolic link"));
    fs::remove_file(&path).unwrap();

    fs::create_dir(&path).unwrap();
    assert_eq!(host.refused().await, expected("is not a regular file"));
    fs::remove_dir(&path).unwrap();

    fs::hard_link(&secret, &path).unwrap();
    assert_eq!(
        host.refused().await,
        expected("has other names (hard links)")
    );
    fs::remove_file(&path).unwrap();

    host.tenant_writes(PLATFORM, plain(PLATFORM));
    chown(&path, Some(A + 1), Some(A + 1)).unwrap();
    assert_eq!(host.refused().await, expected("belongs to another user"));
    fs::remove_file(&path).unwrap();

    rustix::fs::mknodat(
        CWD,
        &path,
        FileType::CharacterDevice,
        Mode::RUSR,
        (1 << 8) | 5,
    )
    .unwrap();
    assert_eq!(host.refused().await, expected("is not a regular file"));
    fs::remove_file(&path).unwrap();

    let listener = UnixListener::bind(&path).unwrap();
    assert_eq!(host.refused().await.0, "IO_FAILED");
    drop(listener);
    fs::remove_file(&path).unwrap();

    // A FIFO without a writer: no open may wait for one.
    rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::RUSR, 0).unwrap();
    let began = Instant::now();
    assert_eq!(host.refused().await, expected("is not a regular file"));
    assert!(began.elapsed() < Duration::from_secs(10));
    fs::remove_file(&path).unwrap();

    assert!(host.loads().is_empty());
    assert!(host.load().await.unwrap(), "no source is the default");
}

#[tokio::test]
#[ignore = "needs root and apparmor_parser"]
async fn the_directory_itself_must_be_a_plain_one_on_the_volume() {
    let host = TestHost::start();
    let dir = host.sources();
    fs::remove_dir(&dir).unwrap();

    symlink("/etc", &dir).unwrap();
    let (reason, text) = host.refused().await;
    assert_eq!(
        (reason, text.as_str()),
        (REFUSED, "apparmor is a symbolic link")
    );
    fs::remove_file(&dir).unwrap();

    fs::write(&dir, "").unwrap();
    assert_eq!(host.refused().await.1, "apparmor is not a directory");
    fs::remove_file(&dir).unwrap();

    fs::create_dir(&dir).unwrap();
    chown(&dir, Some(A + 1), None).unwrap();
    assert_eq!(host.refused().await.1, "apparmor belongs to another user");

    chown(&dir, Some(A), None).unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "aistack-dev-apparmor"])
        .arg(&dir)
        .status();
    assert!(mounted.unwrap().success());
    let refused = host.refused().await.1;
    rustix::mount::unmount(&dir, rustix::mount::UnmountFlags::empty()).unwrap();
    assert_eq!(refused, "apparmor is on another file system");

    fs::remove_dir(&dir).unwrap();
    assert!(host.load().await.unwrap(), "no directory is the default");
}

#[tokio::test]
#[ignore = "needs root and apparmor_parser"]
async fn no_more_is_read_than_the_bound_whatever_the_file_is() {
    let host = TestHost::start();
    let path = host.sources().join(PLATFORM);
    let long = expected("is longer than 32 KiB");

    let padded = |length: usize| {
        let mut text = plain(PLATFORM);
        while text.len() < length {
            text.push('\n');
        }
        text
    };
    host.tenant_writes(PLATFORM, padded((32 << 10) + 1));
    assert_eq!(host.refused().await, long);

    // Nothing is read of these holes.
    host.tenant_writes(PLATFORM, "");
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_len(1 << 40).unwrap();
    let began = Instant::now();
    assert_eq!(host.refused().await, long);
    assert!(began.elapsed() < Duration::from_secs(10));
    file.set_len(0).unwrap();

    // It grows all the time: it is read within the bound, or refused for its length. Each line is whole for
    // a reader, since none lies across two pages.
    let whole_lines = plain(PLATFORM).len().next_multiple_of(64);
    host.tenant_writes(PLATFORM, padded(whole_lines));
    let growing = path.clone();
    let grower = std::thread::spawn(move || {
        use std::io::Write;
        let mut file = fs::File::options().append(true).open(growing).unwrap();
        for _ in 0..2_000 {
            file.write_all(format!("{:63}\n", "").as_bytes()).unwrap();
        }
    });
    while !grower.is_finished() {
        if let Err(error) = host.load().await {
            assert_eq!(error.reason(), REFUSED, "{error}");
        }
    }
    grower.join().unwrap();
    assert_eq!(host.refused().await, long);
}

#[tokio::test]
#[ignore = "needs root and apparmor_parser"]
async fn other_names_in_the_directory_do_not_matter() {
    let host = TestHost::start();
    for index in 0..100_000 {
        let name = format!("{index:06}");
        rustix::fs::mknodat(
            CWD,
            host.sources().join(name),
            FileType::RegularFile,
            Mode::RUSR,
            0,
        )
        .unwrap();
    }
    for name in [
        "-R",
        "..x",
        ".hidden",
        "ai-platform-1\nprofile **",
        "#include",
    ] {
        fs::write(host.sources().join(name), "profile ** { file, }\n").unwrap();
    }
    let began = Instant::now();
    assert!(host.load().await.unwrap());
    assert!(began.elapsed() < Duration::from_secs(20));
    assert_eq!(host.read("loaded").lines().count(), 4);
}

/// The source is exchanged with a link, a FIFO and a file of root's, all the time. What is loaded is
/// always the tenant's text or the refusal's nothing. It goes on until both have been seen.
#[tokio::test]
#[ignore = "needs root and apparmor_parser"]
async fn a_source_that_is_exchanged_all_the_time_is_read_once_or_refused() {
    let host = TestHost::start();
    let (dir, path) = (host.sources(), host.sources().join(PLATFORM));
    host.tenant_writes(PLATFORM, plain(PLATFORM));
    let others = ["link", "fifo", "roots"].map(|name| dir.join(name));
    symlink("/etc/shadow", &others[0]).unwrap();
    rustix::fs::mknodat(CWD, &others[1], FileType::Fifo, Mode::RUSR, 0).unwrap();
    fs::hard_link(&path, dir.join("again")).unwrap();
    fs::write(&others[2], "profile ** { file, }\n").unwrap();
    chown(&others[2], Some(A + 1), None).unwrap();
    fs::remove_file(dir.join("again")).unwrap();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopped = std::sync::Arc::clone(&stop);
    let swapper = std::thread::spawn(move || {
        let mut rounds = 0_u32;
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            for other in &others {
                let flags = rustix::fs::RenameFlags::EXCHANGE;
                rustix::fs::renameat_with(CWD, &path, CWD, other, flags).unwrap();
                rustix::fs::renameat_with(CWD, &path, CWD, other, flags).unwrap();
                rounds += 1;
            }
        }
        rounds
    });
    let until = Instant::now() + Duration::from_mins(1);
    let (mut loaded, mut refused) = (0, 0);
    while loaded + refused < 200 || loaded == 0 || refused == 0 {
        assert!(Instant::now() < until, "{loaded} loads, {refused} refusals");
        match host.load().await {
            Ok(_) => loaded += 1,
            Err(error) => {
                assert_eq!(error.reason(), REFUSED, "{error}");
                refused += 1;
            }
        }
        let kept = host.stored(PLATFORM);
        assert!(kept.is_empty() || kept.contains("/opt/"), "{kept}");
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let rounds = swapper.join().unwrap();
    assert!(rounds > 0);
    let profiles = host.read("loaded");
    assert!(
        profiles.contains(PLATFORM) && !profiles.contains("**"),
        "{profiles}"
    );
}

fn expected(problem: &str) -> (&'static str, String) {
    (REFUSED, format!("apparmor/{PLATFORM} {problem}"))
}
