//! What `--purge` removes besides: everything in the tenant's volume, and its place in the host.

use std::io;
use std::path::Path;

use aistack_proto::v1::{DirectoryKind, DirectoryOwner, ServiceDirectory};

use super::emptying;
use crate::run::{Session, backups, reserve, service_files, store};

/// Empties the tenant's directories; returns what could not be removed. The directories of the
/// services stand in directories of root's and stay, empty. The manifest goes last, and only when
/// nothing else is left: it holds the secrets of the data.
pub(super) async fn contents(session: &Session) -> Vec<String> {
    let mut left = Vec::new();
    let invalid = session.invalid.iter().map(|invalid| invalid.name.as_str());
    for name in session.catalog.names().into_iter().chain(invalid) {
        left.extend(service(session, name).await);
    }
    if !left.is_empty() {
        return left;
    }
    let profiles = session.base_dir().join("apparmor");
    match clear(&profiles).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return vec![format!("{}: {error}", profiles.display())];
        }
        _ => {}
    }
    let config = session.base_dir().join("config");
    for path in [
        service_files::directory(session.base_dir()),
        store::manifest_path(session.base_dir()),
        backups::directory(session.base_dir()),
        reserve::path(session.base_dir()),
        config.join("images.lock"),
        config.join(".lock"),
    ] {
        if let Err(error) = remove_any(&path) {
            left.push(format!("{}: {error}", path.display()));
        }
    }
    left
}

/// Empties the directories of one service; returns what could not be removed.
pub(in crate::verbs) async fn service(session: &Session, service: &str) -> Vec<String> {
    let mut left = Vec::new();
    for (tree, kind) in [
        ("data", DirectoryKind::Data),
        ("logs", DirectoryKind::Logs),
        ("etc", DirectoryKind::Etc),
    ] {
        let path = session.base_dir().join(tree).join(service);
        if let Err(problem) = empty(session, &path, service, kind).await {
            left.push(format!("{}: {problem}", path.display()));
        }
    }
    left
}

/// Takes the tenant's profiles out of the kernel, which must not keep what nobody runs under;
/// returns why not.
pub(super) async fn profiles(session: &Session) -> Option<String> {
    let unloaded = session.helper.unload_apparmor().await;
    let problem = unloaded.err()?;
    Some(format!("your AppArmor profiles in the kernel: {problem}"))
}

/// Takes the volume off its place; returns why not.
pub(super) async fn unmount(session: &Session) -> Option<String> {
    let unmounted = session.helper.unmount_volume().await;
    let base = session.base_dir().display();
    unmounted
        .err()
        .map(|error| format!("the mount of your volume at {base}: {error}; leave its directories"))
}

/// What a service UID made, only its owner may remove: where that is so, everything is given to
/// the tenant first.
async fn empty(
    session: &Session,
    path: &Path,
    service: &str,
    kind: DirectoryKind,
) -> Result<(), String> {
    match clear(path).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
        done => return done.map_err(|error| error.to_string()),
    }
    let directory = ServiceDirectory {
        service: service.to_owned(),
        kind: kind.into(),
        owner: DirectoryOwner::Tenant.into(),
    };
    let given = session.helper.chown(directory).await;
    given.map_err(|error| error.to_string())?;
    clear(path).await.map_err(|error| error.to_string())
}

/// Removes what is in a directory, on a thread of its own: it may take long, and signals are to
/// be heard meanwhile.
async fn clear(path: &Path) -> io::Result<()> {
    let path = path.to_owned();
    let cleared = tokio::task::spawn_blocking(move || emptying::empty(&path));
    cleared.await.map_err(io::Error::other)?
}

/// Removes a file, a link (not what it leads to) or a whole directory; nothing there is fine.
fn remove_any(path: &Path) -> io::Result<()> {
    let removed = match path.symlink_metadata() {
        Ok(found) if found.is_dir() => emptying::remove(path),
        Ok(_) => std::fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_removed_and_what_it_leads_to_stays() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("target");
        std::fs::create_dir(&target).unwrap();
        std::fs::write(target.join("file"), "kept").unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&target, &link).unwrap();
        remove_any(&link).unwrap();
        assert!(target.join("file").exists());
        remove_any(&target).unwrap();
        assert!(!target.exists());
        remove_any(&target).unwrap();
    }
}
