//! The tenant's own service files on disk, in `BASE_DIR/config/services`.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::catalog::own::{InvalidEntry, OwnFile};
use crate::error::CliError;
use crate::fs::atomic;

/// A service file larger than this is none, bytes.
const MAX_FILE: u64 = 64 * 1024;
/// A tenant has at most this many of them.
const MAX_FILES: usize = 64;

/// Where a tenant's own files are.
#[must_use]
pub fn directory(base_dir: &Path) -> PathBuf {
    base_dir.join("config/services")
}

/// Where the file of one service is, or would be.
#[must_use]
pub fn path_of(base_dir: &Path, service: &str) -> PathBuf {
    directory(base_dir).join(format!("{service}.toml"))
}

/// Reads a file that the caller names, wherever it is. What it says is not looked at yet.
///
/// # Errors
/// When it cannot be read, is not text, is too large, or its name is none of a `.toml` file.
pub fn read(path: &Path) -> io::Result<OwnFile> {
    open(path, OFlags::empty(), None)
}

/// Every own file of a tenant, by name; none when there is no such directory. One that cannot be
/// read, or that somebody else could have written, is invalid.
#[must_use]
pub fn all(base_dir: &Path, uid: u32) -> (Vec<OwnFile>, Vec<InvalidEntry>) {
    let mut files = Vec::new();
    let mut invalid = Vec::new();
    let directory = directory(base_dir);
    let entries = match std::fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return (files, invalid),
        Err(error) => {
            return (
                files,
                vec![InvalidEntry::unreadable(&directory, &error.to_string())],
            );
        }
    };
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|kind| kind == "toml"))
        .collect();
    paths.sort();
    for (at, path) in paths.iter().enumerate() {
        let read = if at < MAX_FILES {
            open(path, OFlags::NOFOLLOW, Some(uid))
        } else {
            let text = format!("a tenant has at most {MAX_FILES} service files");
            Err(io::Error::other(text))
        };
        match read {
            Ok(file) => files.push(file),
            Err(error) => invalid.push(InvalidEntry::unreadable(path, &error.to_string())),
        }
    }
    (files, invalid)
}

/// Without waiting: a pipe in place of the file must not hold every command up.
fn open(path: &Path, flags: OFlags, owner: Option<u32>) -> io::Result<OwnFile> {
    let other = |text: &str| io::Error::other(text.to_owned());
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .and_then(|name| name.strip_suffix(".toml"))
        .filter(|name| !name.is_empty())
        .ok_or_else(|| other("its name must be SERVICE.toml"))?;
    let flags = flags | OFlags::NONBLOCK;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(i32::try_from(flags.bits()).unwrap_or_default())
        .open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(other("it is not a regular file"));
    }
    if let Some(uid) = owner {
        if found.uid() != uid {
            let text = format!("it belongs to UID {}, not to you", found.uid());
            return Err(io::Error::other(text));
        }
        if found.permissions().mode() & 0o022 != 0 {
            return Err(other("others can write it: run `chmod 600` on it"));
        }
    }
    let mut text = String::new();
    file.take(MAX_FILE + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE {
        return Err(other("it is larger than 64 KiB"));
    }
    Ok(OwnFile {
        name: name.to_owned(),
        text,
    })
}

/// Writes the file of a service, 0600 in a directory of 0700, unless it is there as it is.
///
/// # Errors
/// What the kernel said.
pub fn write(base_dir: &Path, file: &OwnFile, uid: u32) -> Result<(), CliError> {
    let path = path_of(base_dir, &file.name);
    if open(&path, OFlags::NOFOLLOW, Some(uid)).is_ok_and(|there| there == *file) {
        return Ok(());
    }
    let directory = directory(base_dir);
    match DirBuilder::new().mode(0o700).create(&directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(CliError::io("make", &directory, &error));
        }
        _ => {}
    }
    atomic::write(&path, file.text.as_bytes(), 0o600)
        .map_err(|error| CliError::io("write", &path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = include_str!("../../../tests/services/fake-model.toml");

    fn own(name: &str, text: &str) -> OwnFile {
        OwnFile {
            name: name.to_owned(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn what_is_written_is_private_and_only_what_is_the_tenants_own_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let uid = rustix::process::getuid().as_raw();
        assert_eq!(all(dir.path(), uid), (Vec::new(), Vec::new()));
        std::fs::create_dir(dir.path().join("config")).unwrap();
        write(dir.path(), &own("fake-model", SMALL), uid).unwrap();
        let services = directory(dir.path());
        let at = |name: &str| services.join(name);
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&services), 0o700);
        assert_eq!(mode(&at("fake-model.toml")), 0o600);

        std::fs::create_dir(at("folder.toml")).unwrap();
        std::fs::write(at("notes.txt"), "x").unwrap();
        std::fs::write(at("large.toml"), "#".repeat(70_000)).unwrap();
        std::os::unix::fs::symlink("fake-model.toml", at("link.toml")).unwrap();
        std::fs::write(at("open.toml"), SMALL).unwrap();
        std::fs::set_permissions(at("open.toml"), PermissionsExt::from_mode(0o666)).unwrap();
        let pipe = at("pipe.toml");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        let (files, invalid) = all(dir.path(), uid);
        assert_eq!(files, [own("fake-model", SMALL)]);
        let messages: Vec<String> = invalid.iter().map(ToString::to_string).collect();
        for (messages, why) in messages.iter().zip([
            "not a regular file",
            "larger than 64 KiB",
            "link.toml: ",
            "others can write it",
            "not a regular file",
        ]) {
            assert!(messages.contains(why), "{messages}: {why}");
        }
        assert_eq!(messages.len(), 5, "{messages:?}");
        let (files, invalid) = all(dir.path(), uid + 1);
        assert!(files.is_empty());
        assert!(
            invalid
                .iter()
                .any(|one| one.to_string().contains("not to you"))
        );
    }
}
