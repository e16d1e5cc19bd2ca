//! Rendered configuration: `BASE_DIR/etc/<service>/<file>`, which containers see read-only.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::desired::ConfigFile;
use crate::failure::Failure;
use crate::run::atomic;

/// What stood in a service's files before they were written: path and content, `None` for a file
/// that was not there.
pub type Previous = BTreeMap<String, Vec<(PathBuf, Option<Vec<u8>>)>>;

/// Writes the files that differ; returns what was there before, by service.
///
/// # Errors
/// What the kernel said. Files that were written before stay written: the next run goes on.
pub fn write_all(base_dir: &Path, files: &[ConfigFile]) -> Result<Previous, Failure> {
    let mut previous = Previous::new();
    for file in files {
        let path = base_dir.join("etc").join(&file.service).join(&file.name);
        let before = read(&path).map_err(|error| Failure::io("read", &path, &error))?;
        if before.as_deref() == Some(file.content.as_bytes()) {
            continue;
        }
        write(&path, file.content.as_bytes())
            .map_err(|error| Failure::io("write", &path, &error))?;
        let changed = previous.entry(file.service.clone()).or_default();
        changed.push((path, before));
    }
    Ok(previous)
}

/// Puts back what stood in one service's files.
///
/// # Errors
/// What the kernel said.
pub fn put_back(files: &[(PathBuf, Option<Vec<u8>>)]) -> Result<(), Failure> {
    for (path, content) in files {
        let done = match content {
            Some(content) => write(path, content),
            None => std::fs::remove_file(path),
        };
        done.map_err(|error| Failure::io("put back", path, &error))?;
    }
    Ok(())
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The directory lets in its owner and its group only. Where that group is a service UID's, which
/// the tenant is no member of and cannot give files to, the file itself must be open to it.
fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let directory = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let group = std::fs::metadata(directory)?.gid();
    let own = rustix::process::getegid().as_raw();
    let mode = if group == own { 0o640 } else { 0o644 };
    atomic::write(path, content, mode)
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
}
