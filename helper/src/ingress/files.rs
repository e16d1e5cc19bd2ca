//! The files that HAProxy reads when it starts.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use aistack_policy::ingress::{Files, Ingress, config};
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::IngressError;
use crate::own_dir::open_own_dir;

const CONFIG: &str = "haproxy.cfg";
const MAP: &str = "domains.map";
const LOCK: &str = ".lock";
/// HAProxy's own directory inside, where its admin socket is; nobody else but root can enter it.
pub(super) const HAPROXY_DIR: &str = "haproxy";
/// The name of the socket there.
pub(super) const ADMIN_SOCKET: &str = "admin.sock";
/// The directory keeps out whoever is not to read them.
const FILE_MODE: Mode = Mode::from_raw_mode(0o644);

/// The directory of the front door, held by one command at a time.
#[derive(Debug)]
pub struct IngressDir {
    fd: OwnedFd,
    files: IngressFiles,
    _lock: OwnedFd,
}

/// Where the files of a directory are.
#[derive(Debug, Clone)]
pub struct IngressFiles(PathBuf);

impl IngressDir {
    /// Opens the directory, which must be root's and writable by nobody else, and takes its lock.
    ///
    /// # Errors
    /// When it is not so, or another command holds the lock.
    pub fn open(path: &Path) -> Result<Self, IngressError> {
        let fd = open_own_dir(path)?;
        let files = IngressFiles(path.to_owned());
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let lock = rustix::fs::openat(&fd, LOCK, flags, Mode::RUSR | Mode::WUSR)
            .map_err(files.cannot_write(LOCK))?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self {
                fd,
                files,
                _lock: lock,
            }),
            Err(Errno::WOULDBLOCK) => Err(IngressError::Busy(path.to_owned())),
            Err(errno) => Err(files.cannot_write(LOCK)(errno)),
        }
    }

    /// Where the files are.
    #[must_use]
    pub fn files(&self) -> &IngressFiles {
        &self.files
    }

    /// Writes both files, each as a whole or not at all; the configuration last. True when the
    /// configuration is another one than before.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn write(&self, ingress: &Ingress) -> Result<bool, IngressError> {
        let text = self.files.config_text(ingress);
        let before = self.read(CONFIG);
        self.replace(MAP, &ingress.map())?;
        if before.as_deref() == Some(&text) {
            return Ok(false);
        }
        self.replace(CONFIG, &text)?;
        Ok(true)
    }

    /// A file of the directory; `None` where it is not there or cannot be read, so that it is written.
    fn read(&self, name: &str) -> Option<String> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, name, flags, Mode::empty()).ok()?;
        let mut text = String::new();
        File::from(fd).read_to_string(&mut text).ok()?;
        Some(text)
    }

    fn replace(&self, name: &str, text: &str) -> Result<(), IngressError> {
        let staged = format!(".{name}.tmp");
        match rustix::fs::unlinkat(&self.fd, staged.as_str(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(self.files.cannot_write(name)(errno)),
        }
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, staged.as_str(), flags, FILE_MODE)
            .map_err(self.files.cannot_write(name))?;
        rustix::fs::fchmod(&fd, FILE_MODE).map_err(self.files.cannot_write(name))?;
        File::from(fd)
            .write_all(text.as_bytes())
            .map_err(|source| IngressError::Write {
                path: self.files.0.join(name),
                source,
            })?;
        rustix::fs::renameat(&self.fd, staged.as_str(), &self.fd, name)
            .map_err(self.files.cannot_write(name))
    }
}

impl IngressFiles {
    /// Those in this directory.
    #[must_use]
    pub fn of(dir: &Path) -> Self {
        Self(dir.to_owned())
    }

    /// The directory.
    pub(super) fn dir(&self) -> &Path {
        &self.0
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.0.join(CONFIG)
    }

    /// The map, by the name under which HAProxy knows it.
    #[must_use]
    pub fn map(&self) -> PathBuf {
        self.0.join(MAP)
    }

    /// HAProxy's admin socket.
    #[must_use]
    pub fn admin_socket(&self) -> PathBuf {
        self.0.join(HAPROXY_DIR).join(ADMIN_SOCKET)
    }

    /// The text of the configuration.
    #[must_use]
    pub fn config_text(&self, ingress: &Ingress) -> String {
        let (map, socket) = (self.map(), self.admin_socket());
        config(
            ingress,
            Files {
                map: &map.display().to_string(),
                admin_socket: &socket.display().to_string(),
            },
        )
    }

    fn cannot_write(&self, name: &str) -> impl Fn(Errno) -> IngressError + use<> {
        let path = self.0.join(name);
        move |errno| IngressError::Write {
            path: path.clone(),
            source: io::Error::from(errno),
        }
    }
}
