//! The mount worker: one typed request from the helper, one mount or unmount.
//!
//! [`server`] takes connections of root's only and reads one request of [`wire`] from each;
//! `request` checks it again, as if the helper had been taken over; `volume` does it, the same way
//! for a disk and for a file (`medium`). Everything is synchronous: a request is a handful of system
//! calls and a few child processes.

mod contents;
mod decide;
mod device;
mod disk;
mod filesystem;
mod grow;
pub mod host;
mod image;
mod ioctl;
mod lock;
mod loop_device;
mod medium;
mod mounts;
mod probe;
mod record;
mod request;
pub mod server;
pub mod signature;
mod target;
mod tool;
mod users;
mod volume;
pub mod wire;

use rustix::io::Errno;
use wire::{Error, ErrorReason};

type Result<T> = std::result::Result<T, Error>;

/// Turns what the kernel said about `step` (a verb phrase) into a failure.
fn cannot(step: &str) -> impl Fn(Errno) -> Error {
    move |errno| {
        let reason = match errno {
            Errno::NOSPC | Errno::DQUOT | Errno::FBIG => ErrorReason::NoSpace,
            _ => ErrorReason::Internal,
        };
        Error::new(reason, format!("cannot {step}: {errno}"))
    }
}
