//! One request about a volume at a time.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::wire::{Error, ErrorReason};
use super::{Result, cannot};

/// How long a request waits for another one about the same volume, or for udev.
const LOCK_WAIT: Duration = Duration::from_secs(10);

/// Takes the lock of a volume. It is the descriptor's, so it holds as long as an orphaned tool runs,
/// and udev leaves a locked disk alone (systemd, "Locking Block Device Access").
pub(super) fn lock(fd: &OwnedFd) -> Result<()> {
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        match rustix::fs::flock(fd, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(()),
            Err(Errno::WOULDBLOCK) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(Errno::WOULDBLOCK) => return Err(busy()),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(cannot("lock the volume")(errno)),
        }
    }
}

fn busy() -> Error {
    let message = "another operation on this volume is running";
    Error::new(ErrorReason::Busy, message).with_hint("wait a moment, then run it again")
}
