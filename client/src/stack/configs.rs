//! Rendered configuration: `BASE_DIR/etc/<service>/<file>`, which containers see read-only.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::desired::ConfigFile;
use crate::error::CliError;
use crate::fs::atomic;

/// What stood in a service's files before they were written: path and content, `None` for a file
/// that was not there.
pub type Previous = BTreeMap<String, Vec<(PathBuf, Option<Vec<u8>>)>>;

/// Writes the files that differ; returns what was there before, by service.
///
/// # Errors
/// What the kernel said. Files that were written before stay written: the next run goes on.
pub fn write_all(base_dir: &Path, files: &[ConfigFile]) -> Result<Previous, CliError> {
    let mut previous = Previous::new();
    for file in files {
        let directory = base_dir.join("etc").join(&file.service);
        let path = directory.join(&file.name);
        let before = read(&path).map_err(|error| CliError::io("read", &path, &error))?;
        if before.as_deref() == Some(file.content.as_bytes()) {
            continue;
        }
        write(&directory, &file.name, file.content.as_bytes())
            .map_err(|error| CliError::io("write", &path, &error))?;
        let changed = previous.entry(file.service.clone()).or_default();
        changed.push((path, before));
    }
    Ok(previous)
}

/// Puts back what stood in one service's files.
///
/// # Errors
/// What the kernel said.
pub fn put_back(files: &[(PathBuf, Option<Vec<u8>>)]) -> Result<(), CliError> {
    for (path, content) in files {
        let done = match content {
            Some(content) => rewrite(path, content),
            None => std::fs::remove_file(path),
        };
        done.map_err(|error| CliError::io("restore", path, &error))?;
    }
    Ok(())
}

/// Writes a file that was written before, under the mode that it has.
fn rewrite(path: &Path, content: &[u8]) -> io::Result<()> {
    let mode = std::fs::metadata(path).map_or(0o640, |file| file.mode() & 0o777);
    atomic::write(path, content, mode)
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes the folders of a file's name in the service's directory, and writes it.
fn write(directory: &Path, name: &str, content: &[u8]) -> io::Result<()> {
    let (folder_mode, file_mode) = modes(directory)?;
    let mut path = directory.to_owned();
    let mut parts = name.split('/').peekable();
    while let Some(part) = parts.next() {
        path.push(part);
        if parts.peek().is_none() {
            break;
        }
        match std::fs::create_dir(&path) {
            // Whatever the umask is.
            Ok(()) => std::fs::set_permissions(&path, Permissions::from_mode(folder_mode))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    atomic::write(&path, content, file_mode)
}

/// Modes of folders and of files. The service's directory lets in its owner and its group only.
/// Where that group is a service UID's, which the tenant is not a member of and cannot give files to,
/// what is in it must be open to it.
fn modes(directory: &Path) -> io::Result<(u32, u32)> {
    let group = std::fs::metadata(directory)?.gid();
    let own = rustix::process::getegid().as_raw();
    Ok(if group == own {
        (0o750, 0o640)
    } else {
        (0o755, 0o644)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &str) -> ConfigFile {
        ConfigFile {
            service: "caddy".to_owned(),
            name: "Caddyfile".to_owned(),
            content: content.to_owned(),
        }
    }

    #[test]
    fn only_what_differs_is_written_and_can_be_put_back() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("etc/caddy")).unwrap();
        let path = dir.path().join("etc/caddy/Caddyfile");

        let first = write_all(dir.path(), &[file("one")]).unwrap();
        assert_eq!(first["caddy"], [(path.clone(), None)]);
        assert!(write_all(dir.path(), &[file("one")]).unwrap().is_empty());

        let second = write_all(dir.path(), &[file("two")]).unwrap();
        put_back(&second["caddy"]).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        put_back(&first["caddy"]).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn folders_of_a_name_are_as_open_as_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let directory = dir.path().join("etc/grafana");
        std::fs::create_dir_all(&directory).unwrap();
        let mode = |path: &str| std::fs::metadata(directory.join(path)).unwrap().mode() & 0o777;
        let nested = |content: &str| ConfigFile {
            service: "grafana".to_owned(),
            name: "a/b/c.yaml".to_owned(),
            ..file(content)
        };
        let first = write_all(dir.path(), &[nested("one")]).unwrap();
        assert_eq!(
            (mode("a"), mode("a/b"), mode("a/b/c.yaml")),
            (0o750, 0o750, 0o640)
        );
        let second = write_all(dir.path(), &[nested("two")]).unwrap();
        put_back(&second["grafana"]).unwrap();
        assert_eq!(std::fs::read(directory.join("a/b/c.yaml")).unwrap(), b"one");
        put_back(&first["grafana"]).unwrap();
        assert!(!directory.join("a/b/c.yaml").exists());
        // The directory of a service UID, which only root can make.
        if std::os::unix::fs::chown(&directory, None, Some(12345)).is_ok() {
            std::fs::remove_dir_all(directory.join("a")).unwrap();
            write_all(dir.path(), &[nested("one")]).unwrap();
            assert_eq!(
                (mode("a"), mode("a/b"), mode("a/b/c.yaml")),
                (0o755, 0o755, 0o644)
            );
        }
    }
}
