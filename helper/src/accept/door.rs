//! The thread that takes connections out of the kernel's queue, and closes those without a place.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};

use super::Bounds;
use super::open::{Arrived, Open, Permit, Waiting};
use super::shut_out::ShutOut;
use crate::daemon::error_chain;
use crate::peer::Caller;
use crate::rate::Buckets;
use crate::seldom::Seldom;

/// UIDs that are nobody in particular: the one that the kernel shows for a UID without a number in
/// this user namespace (`/proc/sys/kernel/overflowuid`), and -1, "not known".
const NOBODY: [u32; 2] = [65534, u32::MAX];
/// The pause after the kernel ran out of something.
const BACK_OFF: Duration = Duration::from_millis(100);
/// Connections that are accepted before it is looked whether the daemon ends.
const TURN: usize = 64;
/// Tenants whose arrivals are counted at once; more do not come at one moment.
const MAX_TENANTS: usize = 4096;

static NOT_ACCEPTED: Seldom = Seldom::new();

/// Everything that the thread has.
#[derive(Debug)]
pub(super) struct Door {
    listener: UnixListener,
    end: UnixStream,
    open: Arc<Open>,
    waiting: Arc<Waiting>,
    started: Instant,
    tenants: Buckets,
    strangers: Buckets,
    shut_out: ShutOut,
}

impl Door {
    /// `listener` does not block; where `end` is closed at its other side, the thread ends.
    pub(super) fn new(
        listener: UnixListener,
        end: UnixStream,
        bounds: Bounds,
        open: Arc<Open>,
        waiting: Arc<Waiting>,
    ) -> Self {
        Self {
            shut_out: ShutOut::of(&listener),
            listener,
            end,
            open,
            waiting,
            started: Instant::now(),
            tenants: Buckets::new(bounds.arrivals, MAX_TENANTS),
            strangers: Buckets::new(bounds.strangers_arrivals, 1),
        }
    }

    /// Accepts until the daemon does not want any more.
    pub(super) fn keep(&mut self, is_tenant: &dyn Fn(u32) -> bool) {
        while self.somebody_came() {
            self.shut_out.forgive(self.started.elapsed());
            if let Err(errno) = self.turn(is_tenant) {
                if let Some(unsaid) = NOT_ACCEPTED.again() {
                    let error = io::Error::from(errno);
                    tracing::warn!(%error, unsaid, "cannot accept connections; waiting");
                }
                std::thread::sleep(BACK_OFF);
            }
        }
    }

    /// False when it is time to end.
    fn somebody_came(&self) -> bool {
        let mut descriptors = [
            PollFd::new(&self.listener, PollFlags::IN),
            PollFd::new(&self.end, PollFlags::IN),
        ];
        let pause = self.shut_out.pause(self.started.elapsed());
        // Rounded up, or it would be queried again before the time is over.
        let pause = pause.and_then(|pause| (pause + Duration::from_millis(1)).try_into().ok());
        match poll(&mut descriptors, pause.as_ref()) {
            Ok(_) => descriptors
                .last()
                .is_some_and(|end| end.revents().is_empty()),
            Err(Errno::INTR) => true,
            Err(errno) => {
                if let Some(unsaid) = NOT_ACCEPTED.again() {
                    let error = io::Error::from(errno);
                    tracing::warn!(%error, unsaid, "cannot wait for connections; trying again");
                }
                std::thread::sleep(BACK_OFF);
                true
            }
        }
    }

    fn turn(&mut self, is_tenant: &dyn Fn(u32) -> bool) -> Result<(), Errno> {
        let open = Arc::clone(&self.open);
        // Between a look at this and an accept nobody decides to end.
        let closed = open.closed();
        if *closed {
            drop(closed);
            // Whoever closed it ends the thread soon.
            std::thread::sleep(BACK_OFF);
            return Ok(());
        }
        for _ in 0..TURN {
            match accept_with(
                self.listener.as_fd(),
                SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            ) {
                Ok(stream) => self.admit(stream, is_tenant),
                Err(Errno::AGAIN) => return Ok(()),
                // Of one connection that ended before it was accepted (accept(2)).
                Err(Errno::CONNABORTED | Errno::INTR | Errno::PERM) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    /// Hands it on, or closes it. Nothing that is closed costs a line of the log or memory.
    fn admit(&mut self, stream: OwnedFd, is_tenant: &dyn Fn(u32) -> bool) {
        let caller = match Caller::of(&stream) {
            Ok(caller) => caller,
            Err(error) => {
                return tracing::debug!(error = %error_chain(&error), "closed a connection");
            }
        };
        if NOBODY.contains(&caller.uid) {
            return;
        }
        let now = self.started.elapsed();
        let tenant = is_tenant(caller.uid);
        let Some(permit) = Permit::take(&self.open, caller.uid, tenant) else {
            return self.shut_out.closed(caller.uid, now);
        };
        let in_time = if tenant {
            self.tenants.take(caller.uid, now)
        } else {
            self.strangers.take(0, now)
        };
        if in_time.is_err() {
            return self.shut_out.closed(caller.uid, now);
        }
        let stream = UnixStream::from(stream);
        self.waiting.push(Arrived {
            stream,
            caller,
            permit,
        });
    }
}
