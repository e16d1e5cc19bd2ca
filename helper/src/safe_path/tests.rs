//! Lexical tables, and walks raced by another thread that exchanges names.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::*;

fn place(path: &Path) -> OwnedFd {
    rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap()
}

#[test]
fn only_plain_absolute_paths_are_taken_apart() {
    let plain = |text: &str| plain_components(Path::new(text)).map(|parts| parts.len());
    assert_eq!(plain("/").unwrap(), 0);
    assert_eq!(plain("/a").unwrap(), 1);
    assert_eq!(plain("/a/b.c/..d/e..").unwrap(), 4);
    let too_deep = "/a".repeat(MAX_COMPONENTS + 1);
    for text in [
        "", ".", "a", "a/b", "//", "//a", "/a/", "/a//b", "/./a", "/a/.", "/..", "/a/../b",
        "/a/..", "/a\0b", &too_deep,
    ] {
        let error = plain(text).unwrap_err();
        assert_eq!(error.problem, ComponentError::NotPlain, "{text:?}");
    }
}

#[test]
fn a_step_takes_one_real_directory_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("real")).unwrap();
    std::fs::write(dir.path().join("file"), "").unwrap();
    symlink("real", dir.path().join("inside")).unwrap();
    symlink("/etc", dir.path().join("outside")).unwrap();
    let base = place(dir.path());
    let open = |name: &str| open_dir(&base, OsStr::new(name), Cross::Nothing).map(drop);
    assert_eq!(open("real"), Ok(()));
    assert_eq!(open("file"), Err(ComponentError::NotDirectory));
    assert_eq!(open("missing"), Err(ComponentError::Missing));
    assert_eq!(open("inside"), Err(ComponentError::Link));
    assert_eq!(open("outside"), Err(ComponentError::Link));
    for name in ["", ".", "..", "real/..", "/etc", "a\0"] {
        assert_eq!(open(name), Err(ComponentError::NotPlain), "{name:?}");
    }
}

#[test]
fn a_step_never_enters_another_file_system_unless_it_may() {
    let root = place(Path::new("/"));
    let proc = OsStr::new("proc");
    assert!(open_dir(&root, proc, Cross::Mounts).is_ok());
    let refused = open_dir(&root, proc, Cross::Nothing).unwrap_err();
    assert_eq!(refused, ComponentError::OtherFileSystem);
}

#[test]
fn a_walk_names_the_first_component_that_others_could_replace() {
    let error = open_root_owned(Path::new("/tmp/x"), Missing::Refuse).unwrap_err();
    assert_eq!(error.path, PathBuf::from("/tmp"));
    assert!(matches!(
        error.problem,
        ComponentError::NotRoots { mode: 0o1777, .. }
    ));
    assert!(open_root_owned(Path::new("/usr/bin"), Missing::Refuse).is_ok());
    let (_, name) =
        open_root_owned_parent(Path::new("/usr/not-looked-at"), Missing::Refuse).unwrap();
    assert_eq!(name, "not-looked-at");
    assert!(open_root_owned_parent(Path::new("/"), Missing::Refuse).is_err());
}

#[test]
fn roots_means_root_and_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let set = |mode| {
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        require_roots(place(dir.path())).is_ok()
    };
    let am_root = rustix::process::geteuid().is_root();
    assert_eq!(set(0o755), am_root);
    assert_eq!(set(0o711), am_root);
    assert!(!set(0o775));
    assert!(!set(0o757));
    assert!(!set(0o1777));
}

/// A tenant that exchanges a directory for a link as quickly as it can.
fn exchanging<T>(dir: &Path, race: impl FnOnce() -> T) -> T {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (here, there) = (dir.join("victim"), dir.join("link"));
            while !stop.load(Ordering::Relaxed) {
                renameat_with(CWD, &here, CWD, &there, RenameFlags::EXCHANGE).unwrap();
            }
        });
        let result = race();
        stop.store(true, Ordering::Relaxed);
        result
    })
}

#[test]
fn a_raced_step_gets_the_directory_or_a_refusal_never_the_links_target() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("victim")).unwrap();
    symlink("/etc", dir.path().join("link")).unwrap();
    let base = place(dir.path());
    let real = rustix::fs::stat(dir.path().join("victim")).unwrap().st_ino;
    let (mut taken, mut refused) = (0, 0);
    exchanging(dir.path(), || {
        for _ in 0..200_000 {
            match open_dir(&base, OsStr::new("victim"), Cross::Nothing) {
                Ok(fd) => {
                    assert_eq!(rustix::fs::fstat(fd).unwrap().st_ino, real);
                    taken += 1;
                }
                Err(problem) => {
                    assert!(
                        matches!(problem, ComponentError::Link | ComponentError::NotDirectory),
                        "{problem}"
                    );
                    refused += 1;
                }
            }
            if taken > 500 && refused > 500 {
                break;
            }
        }
    });
    assert!(taken > 0 && refused > 0, "the race never happened");
}

#[test]
fn a_bind_source_needs_a_mounted_volume() {
    let error = verify_bind(Path::new("/usr"), &["bin"], &[0]).unwrap_err();
    assert!(matches!(error, BindError::NotMounted(_)), "{error}");
    let error = verify_bind(Path::new("/usr"), &[], &[0]).unwrap_err();
    assert!(matches!(error, BindError::WholeVolume), "{error}");
}

#[test]
fn a_bind_source_is_never_named_by_dots_or_slashes() {
    // /proc is a mount whose parents are root's, as a volume's are.
    for name in ["", ".", "..", "sys/kernel", "../etc"] {
        let error = verify_bind(Path::new("/proc"), &[name], &[0]).unwrap_err();
        let plain =
            matches!(&error, BindError::Path(path) if path.problem == ComponentError::NotPlain);
        assert!(plain, "{name:?}: {error}");
    }
    let magic = verify_bind(Path::new("/proc"), &["self"], &[0]).unwrap_err();
    assert!(matches!(&magic, BindError::Path(path) if path.problem == ComponentError::Link));
}
