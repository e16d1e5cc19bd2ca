//! The front door on this host: the files that HAProxy reads, and the HAProxy that runs.
//!
//! What is to be comes from [`aistack_policy::ingress`]. [`files`] writes it, [`haproxy`] asks the running
//! HAProxy what it has and replaces its map in one step, so that no visitor of anybody notices.

pub mod admin_socket;
pub mod files;
pub mod haproxy;

use std::io;
use std::path::PathBuf;

/// Where the configuration and the map are; root's, and open to HAProxy's group.
pub const DIR: &str = "/run/aistack-ingress";

/// Why the front door is not as the policy says.
#[derive(Debug, thiserror::Error)]
pub enum IngressError {
    /// The directory is not fit to hold what HAProxy believes.
    #[error(transparent)]
    Dir(#[from] crate::own_dir::OwnDirError),
    /// Another command is at it.
    #[error("another `aistack-helper ingress` works in {}", .0.display())]
    Busy(PathBuf),
    /// A file could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// HAProxy's admin socket does not answer, or is not HAProxy's.
    #[error("cannot ask HAProxy by {}", socket.display())]
    Socket {
        /// The socket.
        socket: PathBuf,
        /// What is wrong with it.
        #[source]
        source: admin_socket::AdminSocketError,
    },
    /// HAProxy answered something else than what was requested.
    #[error("HAProxy answered {answer:?} to {command:?}")]
    Answer {
        /// The command.
        command: String,
        /// The beginning of its answer.
        answer: String,
    },
    /// The map that runs is not the one that was given.
    #[error("HAProxy has {has} domains after the change, and the policy has {wanted}")]
    NotTaken {
        /// Domains that lead where the policy says.
        has: usize,
        /// Domains of the policy.
        wanted: usize,
    },
}
