//! The `.env` files of before: `BASE_DIR/config/.env.d/NUMBER-TIME`, the last 20, for the tenant alone.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::fs::atomic;

/// So many are kept.
const MOST: usize = 20;

/// Where they are.
#[must_use]
pub fn directory(base_dir: &Path) -> PathBuf {
    base_dir.join("config/.env.d")
}

/// Keeps what the `.env` was, unless it is what was kept last; the oldest goes when there are too
/// many.
///
/// # Errors
/// What the kernel said.
pub fn keep(base_dir: &Path, content: &[u8]) -> io::Result<()> {
    let directory = directory(base_dir);
    match std::fs::DirBuilder::new().mode(0o700).create(&directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let there = numbered(&directory)?;
    if let Some((_, last)) = there.last()
        && std::fs::read(last).is_ok_and(|last| last == content)
    {
        return Ok(());
    }
    // Numbers, because a clock may be set back.
    let number = there
        .last()
        .map_or(1, |(number, _)| number.saturating_add(1));
    let time = Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
    let name = format!("{number:06}-{time}");
    atomic::write(&directory.join(name), content, 0o600)?;
    let surplus = (there.len() + 1).saturating_sub(MOST);
    for (_, path) in there.iter().take(surplus) {
        std::fs::remove_file(path)?;
    }
    Ok(())
}

/// What in the folder, or the folder itself, others than its owner may get at.
#[must_use]
pub fn open_to_others(base_dir: &Path) -> Vec<PathBuf> {
    let directory = directory(base_dir);
    let inside = std::fs::read_dir(&directory).into_iter().flatten();
    let inside = inside.filter_map(|entry| Some(entry.ok()?.path()));
    let open = |path: &PathBuf| {
        let found = path.symlink_metadata();
        found.is_ok_and(|found| !found.is_symlink() && found.permissions().mode() & 0o077 != 0)
    };
    let mut all: Vec<PathBuf> = inside.filter(open).collect();
    all.sort();
    all.extend(open(&directory).then_some(directory));
    all
}

/// Those that are there, the oldest first. Other names are none of ours and stay.
fn numbered(directory: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let regular = entry
            .metadata()
            .is_ok_and(|found| found.is_file() && found.nlink() == 1);
        if let (Some(number), true) = (number(&entry.file_name()), regular) {
            found.push((number, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

fn number(name: &OsString) -> Option<u64> {
    let (number, _) = name.to_str()?.split_once('-')?;
    number.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(base_dir: &Path) -> Vec<String> {
        let there = numbered(&directory(base_dir)).unwrap();
        let text = |(_, path): &(u64, PathBuf)| std::fs::read_to_string(path).unwrap();
        there.iter().map(text).collect()
    }

    #[test]
    fn the_last_twenty_stay_in_order_for_the_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("config")).unwrap();
        for number in 0..25 {
            keep(dir.path(), format!("N={number}\n").as_bytes()).unwrap();
        }
        // The same again is not another one.
        keep(dir.path(), b"N=24\n").unwrap();
        let wanted: Vec<String> = (5..25).map(|number| format!("N={number}\n")).collect();
        assert_eq!(contents(dir.path()), wanted);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        let folder = directory(dir.path());
        assert_eq!(mode(&folder), 0o700);
        for (_, path) in numbered(&folder).unwrap() {
            assert_eq!(mode(&path), 0o600, "{}", path.display());
        }
        assert_eq!(open_to_others(dir.path()), [] as [PathBuf; 0]);
        let (_, first) = numbered(&folder).unwrap().remove(0);
        std::fs::set_permissions(&first, PermissionsExt::from_mode(0o640)).unwrap();
        std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o750)).unwrap();
        assert_eq!(open_to_others(dir.path()), [first, folder]);
    }

    #[test]
    fn what_somebody_else_put_there_stays() {
        let dir = tempfile::tempdir().unwrap();
        let folder = directory(dir.path());
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("good-one"), "N=1\n").unwrap();
        for number in 0..22 {
            keep(dir.path(), format!("N={number}\n").as_bytes()).unwrap();
        }
        assert!(folder.join("good-one").exists());
        assert_eq!(contents(dir.path()).len(), MOST);
    }
}
