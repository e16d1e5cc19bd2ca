//! Which images each tenant has pulled through the gateway. Docker does not know: its images are
//! everybody's, the host's own included, and a name says nothing of where an image came from.
//!
//! One small file for each UID, `<uid>.json`: the references in the order of their first pull. It is
//! replaced as a whole, so that a kill leaves the old one or the new one. A file that cannot be read
//! counts as empty, and the next pull rewrites it.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{AtFlags, Dir, Mode, OFlags};

use super::vet::image::ImageRef;
use crate::locks::Locks;
use crate::own_dir::{OwnDirError, open_own_dir};
use crate::seldom::Seldom;

static NOT_READ: Seldom = Seldom::new();

/// References that are kept for one tenant; the oldest goes first.
const MOST: usize = 256;
/// The longest file that is read, bytes: a reference has at most 255 bytes and a tag or digest.
const MAX_FILE: u64 = 256 << 10;
/// Time that one pull's note waits for another one of the same UID.
const TURN: Duration = Duration::from_secs(10);

/// The lists of all tenants. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Pulled {
    dir: Arc<OwnedFd>,
    locks: Arc<Locks>,
}

/// Why a pull could not be noted.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoteError {
    /// The file cannot be written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Another note of the same UID does not end.
    #[error("another pull of this UID did not end")]
    Busy,
}

impl Pulled {
    /// Opens the directory, which must be the daemon's own, and forgets whom `is_tenant` does not
    /// know: the UID may be given to somebody else.
    ///
    /// # Errors
    /// When the directory is not fit.
    pub fn open(dir: &Path, is_tenant: impl Fn(u32) -> bool) -> Result<Self, OwnDirError> {
        let pulled = Self {
            dir: Arc::new(open_own_dir(dir)?),
            locks: Arc::default(),
        };
        pulled.forget_others(is_tenant);
        Ok(pulled)
    }

    /// What this UID has pulled, as normalised references.
    pub(super) async fn of(&self, uid: u32) -> BTreeSet<String> {
        let dir = Arc::clone(&self.dir);
        let read = tokio::task::spawn_blocking(move || read(&dir, uid)).await;
        read.unwrap_or_default().into_iter().collect()
    }

    /// Notes that this UID has pulled `image`; on return it is on the disk.
    pub(super) async fn note(&self, uid: u32, image: &ImageRef) -> Result<(), NoteError> {
        let _turn = self.locks.turn_of(uid, TURN).await.ok_or(NoteError::Busy)?;
        let (dir, image) = (Arc::clone(&self.dir), image.to_string());
        let noted = tokio::task::spawn_blocking(move || {
            let mut list = read(&dir, uid);
            if list.contains(&image) {
                return Ok(());
            }
            list.push(image);
            let surplus = list.len().saturating_sub(MOST);
            list.drain(..surplus);
            write(&dir, uid, &list)
        });
        Ok(noted.await.map_err(std::io::Error::other)??)
    }

    pub(super) fn forget_others(&self, is_tenant: impl Fn(u32) -> bool) {
        let Ok(entries) = Dir::read_from(&self.dir) else {
            return;
        };
        for entry in entries.filter_map(Result::ok) {
            let Ok(name) = entry.file_name().to_str() else {
                continue;
            };
            let uid = name.strip_suffix(".json").and_then(|uid| uid.parse().ok());
            if uid.is_some_and(|uid| !is_tenant(uid)) {
                // What stays is forgotten by the next start.
                let _ = rustix::fs::unlinkat(&self.dir, name, AtFlags::empty());
            }
        }
    }
}

fn read(dir: &OwnedFd, uid: u32) -> Vec<String> {
    match try_read(dir, uid) {
        Ok(list) => list,
        Err(error) => {
            // Requested with every list of images.
            if let Some(unsaid) = NOT_READ.again() {
                tracing::error!(uid, %error, unsaid, "the list of pulled images cannot be read and counts as empty");
            }
            Vec::new()
        }
    }
}

fn try_read(dir: &OwnedFd, uid: u32) -> std::io::Result<Vec<String>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let fd = match rustix::fs::openat(dir, format!("{uid}.json"), flags, Mode::empty()) {
        Err(rustix::io::Errno::NOENT) => return Ok(Vec::new()),
        other => other?,
    };
    let mut text = Vec::new();
    let mut file = std::fs::File::from(fd).take(MAX_FILE + 1);
    file.read_to_end(&mut text)?;
    if text.len() as u64 > MAX_FILE {
        return Err(std::io::Error::other("it is too large"));
    }
    let mut list: Vec<String> = serde_json::from_slice(&text)?;
    list.truncate(MOST);
    Ok(list)
}

fn write(dir: &OwnedFd, uid: u32, list: &[String]) -> std::io::Result<()> {
    let (name, new) = (format!("{uid}.json"), format!("{uid}.new"));
    let flags =
        OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(dir, &new, flags, Mode::RUSR | Mode::WUSR)?;
    let mut file = std::fs::File::from(fd);
    file.write_all(&serde_json::to_vec(list)?)?;
    file.sync_all()?;
    rustix::fs::renameat(dir, &new, dir, &name)?;
    Ok(rustix::fs::fsync(dir)?)
}

/// The end of a pull that goes on: notes it, when Docker says that all went well.
#[derive(Debug)]
pub(super) struct Pulling {
    pulled: Pulled,
    uid: u32,
    image: ImageRef,
    said: Said,
}

/// What Docker's progress lines have said so far.
#[derive(Debug, Default)]
struct Said {
    line: Vec<u8>,
    lines: u64,
    failed: bool,
}

/// The longest progress line that is understood, bytes; an answer with a longer one is not a success.
const MAX_LINE: usize = 64 << 10;

impl Said {
    fn read(&mut self, data: &[u8]) {
        for part in data.split_inclusive(|byte| *byte == b'\n') {
            if self.line.len() + part.len() > MAX_LINE {
                self.failed = true;
                self.line.clear();
                continue;
            }
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                self.end_line();
            }
        }
    }

    /// Docker tells a failure after the head of its answer in a line of its own.
    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        if line.trim_ascii().is_empty() {
            return;
        }
        let read = serde_json::from_slice::<serde_json::Value>(&line);
        let has = |value: &serde_json::Value, key| value.get(key).is_some();
        let fine = read.is_ok_and(|line| {
            line.is_object() && !has(&line, "error") && !has(&line, "errorDetail")
        });
        self.failed |= !fine;
        self.lines = self.lines.saturating_add(1);
    }

    fn is_success(&mut self) -> bool {
        self.end_line();
        self.lines > 0 && !self.failed
    }
}

impl Pulling {
    pub(super) fn new(pulled: Pulled, uid: u32, image: ImageRef) -> Self {
        Self {
            pulled,
            uid,
            image,
            said: Said::default(),
        }
    }

    /// More of Docker's answer.
    pub(super) fn read(&mut self, data: &[u8]) {
        self.said.read(data);
    }

    /// Docker's answer has ended well. Returns what is still to be sent to the caller.
    pub(super) async fn end(&mut self) -> Option<Vec<u8>> {
        if !self.said.is_success() {
            return None;
        }
        let error = self.pulled.note(self.uid, &self.image).await.err()?;
        tracing::error!(uid = self.uid, %error, "a pull cannot be recorded");
        let text = "the image was pulled, but the gateway cannot record that; pull again";
        let line = serde_json::json!({"error": text, "errorDetail": {"message": text}});
        Some(format!("{line}\r\n").into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(text: &str) -> ImageRef {
        ImageRef::parse(text).unwrap()
    }

    #[tokio::test]
    async fn pulls_are_stored_for_each_tenant_and_survive_a_start() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("pulled");
        let pulled = Pulled::open(&place, |_| true).unwrap();
        for name in ["redis:8", "redis:8", "ghcr.io/a/b"] {
            pulled.note(1001, &image(name)).await.unwrap();
        }
        pulled.note(1002, &image("postgres")).await.unwrap();
        let own = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        let first: BTreeSet<String> = own(&["docker.io/library/redis:8", "ghcr.io/a/b:latest"]);
        assert_eq!(pulled.of(1001).await, first);
        assert_eq!(pulled.of(1003).await, BTreeSet::new());
        // A half-written file of a killed daemon is in nobody's way.
        std::fs::write(place.join("1001.new"), "[\"do").unwrap();

        let pulled = Pulled::open(&place, |uid| uid == 1001).unwrap();
        assert_eq!(pulled.of(1001).await, first);
        assert!(pulled.of(1002).await.is_empty(), "no tenant any more");
        pulled.note(1001, &image("caddy")).await.unwrap();
        assert_eq!(pulled.of(1001).await.len(), 3);

        std::fs::write(place.join("1001.json"), "no list").unwrap();
        assert!(pulled.of(1001).await.is_empty());
        pulled.note(1001, &image("caddy")).await.unwrap();
        assert_eq!(pulled.of(1001).await.len(), 1);
    }

    #[tokio::test]
    async fn a_list_has_a_bound_and_forgets_the_oldest() {
        let dir = tempfile::tempdir().unwrap();
        let pulled = Pulled::open(&dir.path().join("pulled"), |_| true).unwrap();
        let names: Vec<String> = (0..MOST + 3).map(|number| format!("r:{number}")).collect();
        let list: Vec<String> = names.iter().map(|name| image(name).to_string()).collect();
        write(&pulled.dir, 1001, &list[..MOST]).unwrap();
        for name in &names[MOST..] {
            pulled.note(1001, &image(name)).await.unwrap();
        }
        let kept = pulled.of(1001).await;
        assert_eq!(kept.len(), MOST);
        assert!(!kept.contains(&list[2]) && kept.contains(&list[3]));
        let longest = "a".repeat(254 - "docker.io/library/".len());
        let digest = format!("{longest}@sha256:{}", "0".repeat(64));
        let bytes = MOST * (image(&digest).to_string().len() + 4);
        assert!((bytes as u64) < MAX_FILE, "{bytes} bytes");
    }

    #[test]
    fn a_pull_counts_when_no_line_says_that_it_failed() {
        const FINE: &str = "{\"status\":\"Pulling from library/redis\",\"id\":\"8\"}\r\n\
            {\"status\":\"Digest: sha256:00\"}\r\n{\"status\":\"Status: Image is up to date\"}\r\n";
        for (text, success) in [
            (FINE.to_owned(), true),
            (FINE.trim_end().to_owned(), true),
            (String::new(), false),
            ("\r\n\r\n".to_owned(), false),
            (
                format!("{FINE}{{\"errorDetail\":{{}},\"error\":\"no\"}}\r\n"),
                false,
            ),
            (format!("{{\"error\":\"no\"}}\r\n{FINE}"), false),
            (format!("{FINE}{{\"stat"), false),
            (format!("{FINE}[]\n"), false),
            (
                format!("{FINE}{{\"status\":\"{}\"}}\n", "x".repeat(MAX_LINE)),
                false,
            ),
        ] {
            for size in [1, 7, text.len().max(1)] {
                let mut said = Said::default();
                text.as_bytes()
                    .chunks(size)
                    .for_each(|part| said.read(part));
                assert_eq!(said.is_success(), success, "{size} {text:.200}");
            }
        }
    }
}
