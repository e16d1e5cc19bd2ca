//! What the client reads and writes below the base directory, as the tenant and nobody else.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use aistack_proto::v1::{DirectoryKind, ServiceDirectory};

use crate::desired::Locks;
use crate::env_file::EnvFile;
use crate::error::CliError;
use crate::exit::Exit;
use crate::fs::atomic;
use crate::run::backups;

/// A manifest larger than this is none.
const MAX_MANIFEST: u64 = 1024 * 1024;

/// Where the manifest is.
#[must_use]
pub fn manifest_path(base_dir: &Path) -> PathBuf {
    base_dir.join("config/.env")
}

/// The manifest; `None` when there is none.
///
/// # Errors
/// When it cannot be read or has errors.
pub fn read_manifest(base_dir: &Path) -> Result<Option<EnvFile>, CliError> {
    let path = manifest_path(base_dir);
    match read_bytes(&path)? {
        Some(bytes) => EnvFile::parse_bytes(&bytes)
            .map(Some)
            .map_err(|errors| CliError::manifest(&errors)),
        None => Ok(None),
    }
}

/// A text file of ours; `None` when there is none.
fn read_text(path: &Path) -> Result<Option<String>, CliError> {
    let text = read_bytes(path)?.map(String::from_utf8).transpose();
    text.map_err(|error| CliError::io("read", path, &io::Error::other(error.utf8_error())))
}

/// A file of ours; `None` when there is none.
fn read_bytes(path: &Path) -> Result<Option<Vec<u8>>, CliError> {
    let mut bytes = Vec::new();
    let read =
        File::open(path).and_then(|file| file.take(MAX_MANIFEST + 1).read_to_end(&mut bytes));
    match read {
        Ok(length) if length as u64 > MAX_MANIFEST => {
            let error = io::Error::other("it is larger than 1 MiB");
            Err(CliError::io("read", path, &error))
        }
        Ok(_) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(CliError::io("read", path, &error)),
    }
}

/// A sentence when others may read the manifest, which holds every secret.
#[must_use]
pub fn manifest_warning(base_dir: &Path) -> Option<String> {
    let path = manifest_path(base_dir);
    others_may_read(&path)
        .then(|| format!("others can read {}: run `chmod 600` on it", path.display()))
}

/// Whether a file is open to anybody but its owner.
#[must_use]
pub fn others_may_read(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o077 != 0)
}

/// Whether a file was written later than now; a minute of difference is nothing.
#[must_use]
pub fn is_from_the_future(path: &Path) -> bool {
    let soon = std::time::SystemTime::now() + std::time::Duration::from_mins(1);
    let written = std::fs::metadata(path).and_then(|found| found.modified());
    written.is_ok_and(|written| written > soon)
}

/// Writes the manifest, 0600, and keeps the one of before. Verbs do it by [`super::guard::write`].
///
/// # Errors
/// What the kernel said; the manifest is as it was then.
pub(super) fn write_manifest(base_dir: &Path, file: &EnvFile) -> Result<(), CliError> {
    let path = manifest_path(base_dir);
    let text = file.render();
    match std::fs::read(&path) {
        Ok(before) if before == text.as_bytes() => {}
        Ok(before) => {
            let kept = backups::keep(base_dir, &before);
            kept.map_err(|error| {
                CliError::io("keep a copy in", &backups::directory(base_dir), &error)
            })?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(CliError::io("read", &path, &error)),
    }
    atomic::write(&path, text.as_bytes(), 0o600)
        .map_err(|error| CliError::io("write", &path, &error))
}

/// Where the locked images are.
#[must_use]
pub fn locks_path(base_dir: &Path) -> PathBuf {
    base_dir.join("config/images.lock")
}

/// The locked images; none when there is no file.
///
/// # Errors
/// When it cannot be read or has an error: to run other images than those that were locked is not
/// for us to choose.
pub fn read_locks(base_dir: &Path) -> Result<Locks, CliError> {
    let path = locks_path(base_dir);
    let Some(text) = read_text(&path)? else {
        return Ok(Locks::default());
    };
    Locks::parse(&text).map_err(|why| {
        why.lines()
            .fold(
                CliError::new(Exit::Config, format!("{} has an error", path.display())),
                CliError::because,
            )
            .next("fix it, or remove it and run `aistack images lock`")
    })
}

/// Writes the locked images, or removes the file when there are none.
///
/// # Errors
/// What the kernel said.
pub fn write_locks(base_dir: &Path, locks: &Locks) -> Result<(), CliError> {
    let path = locks_path(base_dir);
    if locks.is_empty() {
        return match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(CliError::io("remove", &path, &error))
            }
            _ => Ok(()),
        };
    }
    let text = locks
        .render()
        .map_err(|why| CliError::new(Exit::Failed, "the locks cannot be written").because(why))?;
    atomic::write(&path, text.as_bytes(), 0o600)
        .map_err(|error| CliError::io("write", &path, &error))
}

/// Which of `services` have something in their data directory. A directory that the tenant cannot
/// read is a service UID's and may hold anything, so it counts as holding data.
///
/// # Errors
/// What the kernel said.
pub fn services_with_data<'a>(
    base_dir: &Path,
    services: impl IntoIterator<Item = &'a str>,
) -> Result<BTreeSet<String>, CliError> {
    let mut holding = BTreeSet::new();
    for service in services {
        let path = base_dir.join("data").join(service);
        let holds = match std::fs::read_dir(&path) {
            Ok(mut entries) => entries.next().is_some(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => true,
            Err(error) => return Err(CliError::io("read", &path, &error)),
        };
        if holds {
            holding.insert(service.to_owned());
        }
    }
    Ok(holding)
}

/// Where a service directory is.
#[must_use]
pub fn directory_path(base_dir: &Path, directory: &ServiceDirectory) -> PathBuf {
    let tree = match directory.kind() {
        DirectoryKind::Etc => "etc",
        DirectoryKind::Data | DirectoryKind::Unspecified => "data",
        DirectoryKind::Logs => "logs",
    };
    base_dir.join(tree).join(&directory.service)
}

/// Those of `directories` that do not exist yet, and the fixed ones as well when `config` is
/// missing.
#[must_use]
pub fn directories_are_missing(base_dir: &Path, directories: &[ServiceDirectory]) -> bool {
    let exists = |path: &Path| path.symlink_metadata().is_ok_and(|found| found.is_dir());
    !exists(&base_dir.join("config"))
        || !directories
            .iter()
            .all(|directory| exists(&directory_path(base_dir, directory)))
}

/// Owner of a file or directory, not following a link.
///
/// # Errors
/// What the kernel said.
pub fn owner(path: &Path) -> io::Result<u32> {
    Ok(path.symlink_metadata()?.uid())
}

/// True when nothing listens on this loopback port.
#[must_use]
pub fn port_is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// Fills `bytes` from the kernel's random number generator.
///
/// # Errors
/// When the kernel has none.
pub fn random(bytes: &mut [u8]) -> Result<(), CliError> {
    getrandom::fill(bytes).map_err(|error| {
        CliError::new(
            crate::exit::Exit::Failed,
            "the kernel does not provide random numbers",
        )
        .because(error.to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_manifest_is_none_and_a_written_one_is_private() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read_manifest(dir.path()).unwrap().is_none());
        std::fs::create_dir(dir.path().join("config")).unwrap();
        let file = EnvFile::parse("# kept\nN8N_PORT=5102\n").unwrap();
        write_manifest(dir.path(), &file).unwrap();
        assert_eq!(read_manifest(dir.path()).unwrap(), Some(file));
        assert_eq!(manifest_warning(dir.path()), None);
        let path = manifest_path(dir.path());
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        assert!(manifest_warning(dir.path()).is_some());
    }

    #[test]
    fn only_filled_data_directories_hold_data() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        std::fs::create_dir_all(data.join("empty")).unwrap();
        std::fs::create_dir_all(data.join("postgres/base")).unwrap();
        let holding = services_with_data(dir.path(), ["absent", "empty", "postgres"]).unwrap();
        assert_eq!(holding.into_iter().collect::<Vec<_>>(), ["postgres"]);
    }

    #[test]
    fn a_port_that_listens_is_not_free() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(!port_is_free(port));
        drop(listener);
        assert!(port_is_free(port));
    }
}
