//! Who is calling: the kernel's answer, never the message's.

use std::os::fd::AsFd;

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};

/// The process at the other end of a Unix socket, as the kernel recorded it at `connect(2)`
/// (SO_PEERCRED, unix(7)). Only the UID decides anything; the PID is for the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// Effective UID at connect time.
    pub uid: u32,
    /// Effective GID at connect time.
    pub gid: u32,
    /// Unverified: the process may be gone and its number reused.
    pub pid: Option<i32>,
}

/// The kernel did not say who is calling, so nobody is.
#[derive(Debug, thiserror::Error)]
#[error("the kernel gave no credentials for this connection")]
pub struct NoCredentials(#[source] std::io::Error);

impl Caller {
    /// Reads from the kernel who connected to this socket.
    ///
    /// # Errors
    /// When SO_PEERCRED fails; the connection must then be dropped.
    pub fn of(stream: impl AsFd) -> Result<Self, NoCredentials> {
        let credentials =
            getsockopt(&stream, PeerCredentials).map_err(|errno| NoCredentials(errno.into()))?;
        Ok(Self {
            uid: credentials.uid(),
            gid: credentials.gid(),
            pid: Some(credentials.pid()),
        })
    }
}
