//! The tenant's volume, its directories, and the one file that everything is made of.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use aistack_proto::v1::{DirectoryKind, DirectoryOwner, Grant, ServiceDirectory, WhoAmIResponse};

use super::daemons::from_error;
use super::{Finding, Level};
use crate::desired::Stack;
use crate::engine::Container;
use crate::env_file::EnvFile;
use crate::run::{backups, store};
use crate::ui::size;

/// Less free space than this part of a volume is worth a warning, per cent.
const LITTLE: u64 = 10;
/// With less than this databases stop soon, per cent.
const NONE: u64 = 2;

/// The volume: mounted, seen from here, and not full.
pub(super) fn volume(
    base_dir: &Path,
    who: Option<&WhoAmIResponse>,
    containers: Option<&[Container]>,
) -> Vec<Finding> {
    let base = base_dir.display();
    let Some(state) = who.and_then(|who| who.volume) else {
        return vec![match space_of(base_dir) {
            Ok((free, total)) if is_mount(base_dir) => space(free, total),
            Ok(_) => Finding::problem("volume", format!("nothing is mounted at {base}"))
                .next("aistack volume mount"),
            Err(error) => Finding::problem("volume", format!("cannot look at {base}: {error}")),
        }];
    };
    if !state.mounted {
        let found = format!("your volume is not mounted at {base}");
        let used = containers.is_some_and(|containers| !containers.is_empty());
        return vec![if used {
            Finding::problem("volume", found)
                .means("your containers do not see their data")
                .next("aistack volume mount, then aistack deploy")
        } else {
            Finding::warning("volume", found).next("aistack init, or aistack volume mount")
        }];
    }
    if !is_mount(base_dir) {
        return vec![
            Finding::problem(
                "volume",
                format!("it is mounted, but not visible at {base}"),
            )
            .means("this shell runs in its own mount namespace")
            .next("log in again"),
        ];
    }
    vec![space(state.available_bytes, state.total_bytes)]
}

fn space(free: u64, total: u64) -> Finding {
    let found = format!("mounted, {} of {} free", size(free), size(total));
    let percent = free.saturating_mul(100) / total.max(1);
    let level = match percent {
        0..NONE => Level::Error,
        NONE..LITTLE => Level::Warning,
        _ => return Finding::ok("volume", found),
    };
    Finding {
        level,
        ..Finding::ok("volume", found)
    }
    .means("databases stop when it is full")
    .next(
        "remove what you do not need, or have the administrator enlarge it and run `aistack volume grow`",
    )
}

/// Bytes that the caller may still use, and all.
fn space_of(path: &Path) -> std::io::Result<(u64, u64)> {
    let found = rustix::fs::statvfs(path)?;
    Ok((
        found.f_bavail.saturating_mul(found.f_frsize),
        found.f_blocks.saturating_mul(found.f_frsize),
    ))
}

/// Whether another file system begins here than the parent's.
fn is_mount(path: &Path) -> bool {
    let device = |path: &Path| path.symlink_metadata().map(|found| found.dev());
    match (device(path), path.parent().map(device)) {
        (Ok(own), Some(Ok(parent))) => own != parent,
        _ => false,
    }
}

/// A directory that should be there: path below the base directory, owner, permission bits.
#[derive(Debug, PartialEq, Eq)]
struct Expected {
    path: PathBuf,
    uid: u32,
    mode: u32,
    /// Whose directory it is, where it is a service's.
    service: Option<String>,
}

/// The fixed directories and those of the services: there, with the right owner and mode.
pub(super) fn directories(
    base_dir: &Path,
    grant: Option<&Grant>,
    stack: Option<&Stack>,
) -> Vec<Finding> {
    let Some(grant) = grant else {
        return vec![Finding::unchecked(
            "directories",
            "their owners come from the policy, and the helper does not answer",
        )];
    };
    if !is_mount(base_dir) {
        return vec![Finding::unchecked("directories", "they are on the volume")];
    }
    let expected = expected(
        grant,
        stack.map_or(&[], |stack| stack.directories.as_slice()),
    );
    let findings: Vec<Finding> = expected
        .iter()
        .filter_map(|expected| directory(base_dir, expected))
        .collect();
    if findings.is_empty() {
        let found = format!("{} directories with the right owners", expected.len());
        return vec![Finding::ok("directories", found)];
    }
    findings
}

fn expected(grant: &Grant, services: &[ServiceDirectory]) -> Vec<Expected> {
    let fixed = [
        ("", 0, 0o711),
        ("apparmor", grant.uid, 0o700),
        ("config", grant.uid, 0o700),
        ("etc", 0, 0o711),
        ("data", 0, 0o711),
        ("logs", 0, 0o711),
        ("ssl", 0, 0o711),
        ("ssl/certs", grant.uid, 0o700),
    ];
    let service = |directory: &ServiceDirectory| {
        let (uid, mode) = match (directory.kind(), directory.owner()) {
            (DirectoryKind::Etc, _) => (grant.uid, 0o750),
            (_, DirectoryOwner::Service) => (*grant.service_uids.first()?, 0o700),
            _ => (grant.uid, 0o700),
        };
        let path = store::directory_path(Path::new(""), directory);
        Some(Expected {
            path,
            uid,
            mode,
            service: Some(directory.service.clone()),
        })
    };
    fixed
        .into_iter()
        .map(|(path, uid, mode)| Expected {
            path: path.into(),
            uid,
            mode,
            service: None,
        })
        .chain(services.iter().filter_map(service))
        .collect()
}

/// What is wrong with one directory; `None` when nothing is.
fn directory(base_dir: &Path, expected: &Expected) -> Option<Finding> {
    let path = base_dir.join(&expected.path);
    let shown = path.display();
    let found = match path.symlink_metadata() {
        Ok(found) => found,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let found = format!("{shown} is not there");
            return Some(Finding::warning("directories", found).next("aistack deploy creates it"));
        }
        Err(error) => {
            let found = format!("cannot look at {shown}: {error}");
            return Some(Finding::problem("directories", found));
        }
    };
    if !found.is_dir() {
        let found = format!("{shown} is not a directory");
        return Some(
            Finding::problem("directories", found)
                .means("the helper does not replace it")
                .next("move it away, then aistack deploy"),
        );
    }
    if found.uid() != expected.uid {
        let found = format!(
            "{shown} belongs to UID {}, not {}",
            found.uid(),
            expected.uid
        );
        return Some(
            Finding::problem("directories", found)
                .means("its service cannot use it")
                .next(match &expected.service {
                    Some(service) => format!("aistack chown {service}"),
                    None => "ask the administrator to correct its owner".to_owned(),
                }),
        );
    }
    let mode = found.mode() & 0o7777;
    let too_open = mode & !expected.mode;
    let too_closed = expected.mode & !mode;
    if too_open == 0 && too_closed == 0 {
        return None;
    }
    let found = format!("{shown} has mode {mode:04o}, not {:04o}", expected.mode);
    let means = if too_open == 0 {
        "its service may not be able to use it"
    } else {
        "others may have more access than they should"
    };
    let own = expected.uid == rustix::process::geteuid().as_raw();
    let next = if own {
        format!("chmod {:o} {shown}", expected.mode)
    } else {
        "ask the administrator to look at it".to_owned()
    };
    Some(
        Finding::warning("directories", found)
            .means(means)
            .next(next),
    )
}

/// The `.env`: there, whole, and nobody else's to read.
pub(super) fn manifest(base_dir: &Path) -> (Option<EnvFile>, Vec<Finding>) {
    let path = store::manifest_path(base_dir);
    let shown = path.display();
    let file = match store::read_manifest(base_dir) {
        Ok(Some(file)) => file,
        Ok(None) => {
            let found = format!("there is no {shown} yet");
            return (
                None,
                vec![Finding::warning(".env", found).next("aistack init")],
            );
        }
        Err(failure) => return (None, vec![from_error(".env", &failure)]),
    };
    let mut findings = Vec::new();
    if store::others_may_read(&path) {
        findings.push(
            Finding::problem(".env", format!("others may read {shown}"))
                .means("it holds every secret of your stack")
                .next(format!("chmod 600 {shown}")),
        );
    }
    for open in backups::open_to_others(base_dir) {
        let mode = if open.is_dir() { "700" } else { "600" };
        let open = open.display();
        findings.push(
            Finding::problem(".env", format!("others may read {open}"))
                .means("your earlier .env files hold secrets")
                .next(format!("chmod {mode} {open}")),
        );
    }
    if store::is_from_the_future(&path) {
        findings.push(
            Finding::warning("clock", format!("{shown} was modified in the future"))
                .means("the clock was set back or is wrong")
                .next("ask the administrator to look at the host's clock"),
        );
    }
    (Some(file), findings)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn little_space_is_a_warning_and_none_a_problem() {
        for (free, level) in [
            (50, Level::Ok),
            (10, Level::Ok),
            (9, Level::Warning),
            (2, Level::Warning),
            (1, Level::Error),
            (0, Level::Error),
        ] {
            assert_eq!(space(free, 100).level, level, "{free} %");
        }
        assert_eq!(space(0, 0).level, Level::Error);
    }

    #[test]
    fn a_directory_is_judged_by_kind_owner_and_mode() {
        let dir = tempfile::tempdir().unwrap();
        let own = rustix::process::geteuid().as_raw();
        let expected = |uid, mode| Expected {
            path: "config".into(),
            uid,
            mode,
            service: None,
        };
        let look = |expected: &Expected| directory(dir.path(), expected).map(|found| found.level);
        assert_eq!(look(&expected(own, 0o700)), Some(Level::Warning));
        let path = dir.path().join("config");
        std::fs::write(&path, "").unwrap();
        assert_eq!(look(&expected(own, 0o700)), Some(Level::Error));
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o750)).unwrap();
        assert_eq!(look(&expected(own, 0o750)), None);
        assert_eq!(look(&expected(own, 0o700)), Some(Level::Warning));
        assert_eq!(look(&expected(own + 1, 0o750)), Some(Level::Error));
    }

    #[test]
    fn service_directories_have_the_owner_of_the_grant() {
        let grant = Grant {
            uid: 1001,
            service_uids: vec![2001],
            ..Grant::default()
        };
        let directory = |kind: DirectoryKind, owner: DirectoryOwner| ServiceDirectory {
            service: "x".to_owned(),
            kind: kind.into(),
            owner: owner.into(),
        };
        let expected = expected(
            &grant,
            &[
                directory(DirectoryKind::Data, DirectoryOwner::Service),
                directory(DirectoryKind::Etc, DirectoryOwner::Service),
                directory(DirectoryKind::Logs, DirectoryOwner::Tenant),
            ],
        );
        let last = expected.iter().skip(8);
        let last: Vec<_> = last.map(|e| (e.path.to_str(), e.uid, e.mode)).collect();
        assert_eq!(
            last,
            [
                (Some("data/x"), 2001, 0o700),
                (Some("etc/x"), 1001, 0o750),
                (Some("logs/x"), 1001, 0o700)
            ]
        );
    }

    #[test]
    fn a_manifest_that_others_may_read_is_a_problem_and_a_missing_one_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let (file, findings) = manifest(dir.path());
        assert!(file.is_none());
        assert_eq!(findings[0].level, Level::Warning);
        std::fs::create_dir(dir.path().join("config")).unwrap();
        let path = store::manifest_path(dir.path());
        std::fs::write(&path, "N8N_PORT=5102\n").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        let (file, findings) = manifest(dir.path());
        assert!(file.is_some());
        assert_eq!(findings[0].level, Level::Error);
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        backups::keep(dir.path(), b"N8N_PORT=5101\n").unwrap();
        assert!(manifest(dir.path()).1.is_empty());
        let folder = backups::directory(dir.path());
        std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o755)).unwrap();
        let (_, findings) = manifest(dir.path());
        assert_eq!(findings[0].level, Level::Error);
        let next = findings[0].next.clone().unwrap();
        assert_eq!(next, format!("chmod 700 {}", folder.display()));
    }

    #[test]
    fn without_a_mount_the_directories_are_not_judged() {
        let dir = tempfile::tempdir().unwrap();
        let found = directories(dir.path(), Some(&Grant::default()), None);
        assert_eq!(found[0].level, Level::Unchecked);
        let volume = volume(dir.path(), None, None);
        assert_eq!(volume[0].level, Level::Error);
    }
}
