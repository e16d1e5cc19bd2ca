//! Real files below a directory of root's; without root there is none to be had.

use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

/// A directory that only root can lead to.
fn roots_dir() -> tempfile::TempDir {
    tempfile::tempdir_in("/run").unwrap()
}

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
#[ignore = "needs root"]
fn only_a_regular_file_of_roots_alone_is_read() {
    let dir = roots_dir();
    let path = dir.path().join("policy.toml");
    let read = || read_text(&path).map_err(|error| error.to_string());
    assert!(read().unwrap_err().contains("does not exist"));
    std::fs::write(&path, "version = 1\n").unwrap();
    chmod(&path, 0o644);
    assert_eq!(read().unwrap(), "version = 1\n");
    for mode in [0o664, 0o646] {
        chmod(&path, mode);
        assert!(read().unwrap_err().contains("writable by root only"));
    }
    chmod(&path, 0o644);
    std::os::unix::fs::chown(&path, Some(1001), None).unwrap();
    assert!(read().unwrap_err().contains("writable by root only"));
    std::os::unix::fs::chown(&path, Some(0), None).unwrap();
    chmod(dir.path(), 0o777);
    assert!(read().unwrap_err().contains("writable by root only"));
    chmod(dir.path(), 0o755);
    assert!(read().is_ok());
}

#[test]
#[ignore = "needs root"]
fn what_is_no_text_file_is_refused_at_once() {
    let dir = roots_dir();
    let refused = |path: &Path| read_text(path).unwrap_err().to_string();
    let path = |name: &str| dir.path().join(name);
    std::fs::create_dir(path("dir")).unwrap();
    assert!(refused(&path("dir")).contains("not a regular file"));
    symlink("/etc/passwd", path("link")).unwrap();
    assert!(refused(&path("link")).contains("symbolic link"));
    rustix::fs::mknodat(
        rustix::fs::CWD,
        path("fifo"),
        FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    assert!(refused(&path("fifo")).contains("not a regular file"));
    std::fs::write(path("binary"), [0xff, 0xfe]).unwrap();
    assert!(refused(&path("binary")).contains("not UTF-8"));
    let long = std::fs::File::create(path("long")).unwrap();
    long.set_len(MAX_POLICY + 1).unwrap();
    assert!(refused(&path("long")).contains("larger than"));
}
