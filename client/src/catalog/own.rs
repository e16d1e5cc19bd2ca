//! The tenant's own service files in `BASE_DIR/config/services`: the same words as the embedded ones.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::{Catalog, CatalogError};

/// A service file larger than this is none, bytes.
pub const MAX_FILE: u64 = 64 * 1024;
/// A tenant has at most this many of them.
const MAX_FILES: usize = 64;

/// One service file: the service's name and the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnFile {
    /// Name of the service, which is that of the file without `.toml`.
    pub name: String,
    /// What it says.
    pub text: String,
}

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

/// Reads one file. What it says is not looked at yet.
///
/// # Errors
/// When it cannot be read, is no text, is too large, or its name is none of a `.toml` file.
pub fn read(path: &Path) -> io::Result<OwnFile> {
    let other = |text: &str| io::Error::other(text.to_owned());
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .and_then(|name| name.strip_suffix(".toml"))
        .filter(|name| !name.is_empty())
        .ok_or_else(|| other("its name must be SERVICE.toml"))?;
    let file = File::open(path)?;
    if !file.metadata()?.is_file() {
        return Err(other("it is no regular file"));
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

/// Every own file of a tenant, by name; none when there is no such directory. Files that cannot be
/// read are mistakes like any other.
#[must_use]
pub fn all(base_dir: &Path) -> (Vec<OwnFile>, Vec<CatalogError>) {
    let mut files = Vec::new();
    let mut mistakes = Vec::new();
    let Ok(entries) = std::fs::read_dir(directory(base_dir)) else {
        return (files, mistakes);
    };
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|kind| kind == "toml"))
        .collect();
    paths.sort();
    if let Some(path) = paths.get(MAX_FILES) {
        let message = format!("a tenant has at most {MAX_FILES} service files");
        mistakes.push(whole_file(path, message));
        paths.truncate(MAX_FILES);
    }
    for path in paths {
        match read(&path) {
            Ok(file) => files.push(file),
            Err(error) => mistakes.push(whole_file(&path, error.to_string())),
        }
    }
    (files, mistakes)
}

/// The embedded catalog with the tenant's own files, and every mistake in those. A file with a
/// mistake is left out, so that the rest of the stack can still be looked at.
#[must_use]
pub fn with_files(files: &[OwnFile]) -> (Catalog, Vec<CatalogError>) {
    let mut sound: Vec<OwnFile> = Vec::new();
    let mut mistakes = Vec::new();
    for file in files {
        let mut tried = sound.clone();
        tried.push(file.clone());
        match Catalog::with_own(&tried) {
            Ok(_) => sound = tried,
            Err(more) => mistakes.extend(more),
        }
    }
    let catalog = Catalog::with_own(&sound).unwrap_or_else(|_| Catalog::embedded());
    (catalog, mistakes)
}

fn whole_file(path: &Path, message: String) -> CatalogError {
    CatalogError {
        file: path.display().to_string(),
        line: 1,
        column: 1,
        message,
    }
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
    fn an_own_file_stands_beside_the_embedded_ones() {
        let (catalog, mistakes) = with_files(&[own("fake-model", SMALL)]);
        assert_eq!(mistakes, []);
        assert!(catalog.get("fake-model").unwrap().own);
        assert!(!catalog.get("redis").unwrap().own);
    }

    #[test]
    fn a_broken_file_is_told_with_its_place_and_the_others_stay() {
        let broken = SMALL.replace("offset = 40", "offset = \"forty\"");
        let (catalog, mistakes) = with_files(&[own("broken", &broken), own("fake-model", SMALL)]);
        assert!(catalog.get("fake-model").is_some());
        assert!(catalog.get("broken").is_none());
        assert_eq!(mistakes.len(), 1, "{mistakes:?}");
        let line = SMALL
            .lines()
            .position(|line| line == "offset = 40")
            .unwrap()
            + 1;
        let mistake = mistakes.first().unwrap();
        assert_eq!((mistake.file.as_str(), mistake.line), ("broken.toml", line));
    }

    #[test]
    fn an_own_file_cannot_take_the_place_of_an_embedded_one_nor_its_keys() {
        let (_, mistakes) = with_files(&[own("redis", SMALL)]);
        assert!(
            mistakes
                .iter()
                .any(|mistake| mistake.message.contains("catalog"))
        );
        let taken = SMALL.replace("FAKE_MODEL_PORT", "REDIS_PORT");
        let (_, mistakes) = with_files(&[own("fake-model", &taken)]);
        assert!(
            mistakes
                .iter()
                .any(|mistake| mistake.message.contains("REDIS_PORT"))
        );
    }

    #[test]
    fn files_are_found_by_their_ending_and_links_to_directories_are_mistakes() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(all(dir.path()), (Vec::new(), Vec::new()));
        let services = directory(dir.path());
        std::fs::create_dir_all(services.join("folder.toml")).unwrap();
        std::fs::write(services.join("fake-model.toml"), SMALL).unwrap();
        std::fs::write(services.join("notes.txt"), "x").unwrap();
        std::fs::write(services.join("large.toml"), "#".repeat(70_000)).unwrap();
        let (files, mistakes) = all(dir.path());
        assert_eq!(files, [own("fake-model", SMALL)]);
        assert_eq!(mistakes.len(), 2, "{mistakes:?}");
    }
}
