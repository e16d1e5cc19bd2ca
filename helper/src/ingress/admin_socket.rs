//! The way to HAProxy's admin socket. It is in a directory of HAProxy's own user, who may have put anything
//! in its place; root connects to HAProxy and to nobody else.

use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};

use super::files::{ADMIN_SOCKET, HAPROXY_DIR};
use crate::own_dir::{OwnDirError, open_existing_own_dir};
use crate::peer::{Caller, NoCredentials};
use crate::safe_path::{ComponentError, Cross, ProcFd, open_at, open_dir};

/// Why nothing was said to whatever is there.
#[derive(Debug, thiserror::Error)]
pub enum AdminSocketError {
    /// The directory of the front door is not root's alone.
    #[error(transparent)]
    Dir(#[from] OwnDirError),
    /// A link, something on another file system, or nothing at all.
    #[error("it {0}")]
    Place(#[from] ComponentError),
    /// Something else has its name.
    #[error("it is not a socket")]
    NotASocket,
    /// Neither HAProxy's user nor root has made it.
    #[error("it belongs to UID {uid}, and its directory to UID {expected}")]
    Owner {
        /// Who owns the socket.
        uid: u32,
        /// Who owns the directory, which only root can say.
        expected: u32,
    },
    /// Neither HAProxy's user nor root listens on it.
    #[error("UID {uid} listens on it, and its directory belongs to UID {expected}")]
    Peer {
        /// Who listens.
        uid: u32,
        /// Who owns the directory.
        expected: u32,
    },
    /// The kernel does not say who listens on it.
    #[error(transparent)]
    NoCredentials(#[from] NoCredentials),
    /// The connection failed, or ended early.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl AdminSocketError {
    /// True where no HAProxy runs; false where one does not answer, or something stands in its place.
    pub(super) fn is_absence(&self) -> bool {
        match self {
            // Nobody listens, or whoever did ended meanwhile.
            Self::Io(error) => matches!(
                error.kind(),
                io::ErrorKind::ConnectionRefused
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::BrokenPipe
                    | io::ErrorKind::NotFound
            ),
            Self::Place(ComponentError::Missing) => true,
            // The directory of the front door is not there.
            Self::Dir(OwnDirError::Open { source, .. }) => source.kind() == io::ErrorKind::NotFound,
            _ => false,
        }
    }
}

/// Connects to the admin socket below `dir`, the directory of the front door, within this time.
///
/// # Errors
/// When it is not HAProxy's: nothing was sent to it then.
pub(super) fn connect(dir: &Path, patience: Duration) -> Result<UnixStream, AdminSocketError> {
    let dir = open_existing_own_dir(dir)?;
    let haproxys = open_dir(&dir, OsStr::new(HAPROXY_DIR), Cross::Nothing)?;
    let expected = stat(&haproxys)?.st_uid;
    let flags = OFlags::PATH;
    let socket = open_at(&haproxys, OsStr::new(ADMIN_SOCKET), flags, Cross::Nothing)?;
    let found = stat(&socket)?;
    if FileType::from_raw_mode(found.st_mode) != FileType::Socket {
        return Err(AdminSocketError::NotASocket);
    }
    if ![expected, 0].contains(&found.st_uid) {
        let uid = found.st_uid;
        return Err(AdminSocketError::Owner { uid, expected });
    }
    // Through the descriptor: what has its name by now does not matter.
    let stream = connect_within(&ProcFd::of(&socket).to_string(), patience)?;
    let uid = Caller::of(&stream)?.uid;
    if ![expected, 0].contains(&uid) {
        return Err(AdminSocketError::Peer { uid, expected });
    }
    Ok(stream)
}

/// A listener whose queue is full keeps connect(2) waiting, as long as a write may wait (unix(7), SO_SNDTIMEO).
fn connect_within(path: &str, patience: Duration) -> io::Result<UnixStream> {
    let socket = socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    set_socket_timeout(&socket, Timeout::Send, Some(patience))?;
    match rustix::net::connect(&socket, &SocketAddrUnix::new(path)?) {
        // As the read of an answer says it.
        Err(Errno::AGAIN) => Err(io::ErrorKind::TimedOut.into()),
        done => Ok(done.map(|()| UnixStream::from(socket))?),
    }
}

fn stat(fd: impl AsFd) -> io::Result<rustix::fs::Stat> {
    Ok(rustix::fs::fstat(fd)?)
}
