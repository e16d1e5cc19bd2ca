//! Accepting connections so that no local user can keep another one out.
//!
//! A thread of its own ([`door`]) takes connections out of the kernel's queue as fast as they come:
//! nothing that the daemon does for one caller lets the queue fill up. The kernel says who
//! connects before a byte is read, and what has no place is closed there, before the daemon's loop
//! hears of it. The loop takes those with a place in turns, one UID after the other.
//!
//! Connections are counted for each UID and in all ([`counter`]), and a UID that connects too often
//! is closed, and kept out by the kernel for a while where it does not stop ([`shut_out`]); UIDs that are no tenants share a small allotment of their own. A connection that does
//! not speak, or lives too long, ends by itself ([`connection`]). (tonic's own accept loop has none
//! of these bounds, and turns without pause when descriptors run out.) Why it is made like this is
//! in docs/decisions/0012-connections.md.

mod connection;
mod counter;
mod door;
mod line;
mod open;
mod shut_out;

use std::io;
use std::os::unix::net::UnixStream as StdStream;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use futures_util::Stream;
use tokio::net::{UnixListener, UnixStream};

pub use self::connection::{Connection, Peer, REFUSAL_ENDS};
use self::door::Door;
pub use self::open::Keeper;
use self::open::{Open, Waiting};
use crate::rate::{Flow, Rate};

/// How many connections there may be and how long each may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Connections of one tenant, where an eighth of the free ones is not less; never more than
    /// half of `total`.
    pub per_uid: usize,
    /// Connections of all tenants together.
    pub total: usize,
    /// Connections of all other UIDs together, beside `total`.
    pub strangers: usize,
    /// Connections of one tenant that have no place and get an answer that says so, beside `total`.
    pub turned_away_per_uid: usize,
    /// Connections of all tenants that get that answer.
    pub turned_away: usize,
    /// How often one tenant may connect.
    pub arrivals: Rate,
    /// How often all other UIDs together may connect.
    pub strangers_arrivals: Rate,
    /// Bytes that all connections of one UID may send together, each read counting as
    /// [`READ_COSTS`] more; whoever sends more is read later. `None` for no bound.
    pub sends: Option<Flow>,
    /// Time for the first `hello_bytes` to arrive.
    pub hello: Duration,
    /// 24 for HTTP/2 (the whole preface), 1 for HTTP/1.
    pub hello_bytes: usize,
    /// Time after which the connection ends whatever it does; `None` for no end.
    pub max_age: Option<Duration>,
}

/// What a read costs beside its bytes (see [`Bounds::sends`]).
pub const READ_COSTS: usize = 64;

impl Bounds {
    /// The bounds of the gRPC socket. A call is some hundred bytes, and ten a second are answered;
    /// a PING frame is 17.
    pub const GRPC: Self = Self {
        per_uid: 8,
        total: 256,
        strangers: 16,
        turned_away_per_uid: 64,
        turned_away: 256,
        arrivals: Rate {
            burst: 200,
            interval: Duration::from_millis(20),
        },
        strangers_arrivals: Rate {
            burst: 60,
            interval: Duration::from_millis(50),
        },
        sends: Some(Flow {
            burst: 128 << 10,
            per_second: 16 << 10,
        }),
        hello: Duration::from_secs(5),
        hello_bytes: 24,
        max_age: Some(Duration::from_mins(30)),
    };
    /// The bounds of the engine gateway: `docker compose` opens many, `logs -f` stays long. More
    /// connections than answers (200 a second), so that whoever asks too often hears it.
    pub const ENGINE: Self = Self {
        per_uid: 64,
        total: 1024,
        strangers: 32,
        turned_away_per_uid: 32,
        turned_away: 128,
        arrivals: Rate {
            burst: 1000,
            interval: Duration::from_micros(2500),
        },
        strangers_arrivals: Rate {
            burst: 60,
            interval: Duration::from_millis(50),
        },
        sends: None,
        hello: Duration::from_secs(10),
        hello_bytes: 1,
        max_age: Some(Duration::from_hours(24)),
    };
}

/// Accepts the connections of one listener within [`Bounds`].
#[derive(Debug)]
pub struct Acceptor {
    open: Arc<Open>,
    waiting: Arc<Waiting>,
    /// The thread ends when this does.
    alive: Option<StdStream>,
    door: Option<JoinHandle<()>>,
}

impl Acceptor {
    /// Accepts on `listener`; `is_tenant` says who counts as a tenant at that moment, and is called
    /// for every connection that comes.
    ///
    /// # Errors
    /// When the kernel has no thread or no descriptor for it.
    pub fn new(
        listener: UnixListener,
        bounds: Bounds,
        is_tenant: impl Fn(u32) -> bool + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let (alive, end) = StdStream::pair()?;
        let open = Arc::new(Open::new(bounds));
        let waiting = Arc::new(Waiting::default());
        let mut door = Door::new(
            listener.into_std()?,
            end,
            bounds,
            Arc::clone(&open),
            Arc::clone(&waiting),
        );
        let door = std::thread::Builder::new()
            .name("door".to_owned())
            .spawn(move || door.keep(&is_tenant))?;
        Ok(Self {
            open,
            waiting,
            alive: Some(alive),
            door: Some(door),
        })
    }

    /// The next connection that may live. Never fails: what cannot be accepted is closed, and when
    /// the kernel runs out of something it waits.
    pub async fn accept(&self) -> Connection {
        loop {
            let arrived = self.waiting.next().await;
            match UnixStream::from_std(arrived.stream) {
                Ok(stream) => return Connection::new(stream, arrived.caller, arrived.permit),
                Err(error) => tracing::debug!(%error, "closed a connection"),
            }
        }
    }

    /// Closes the door, and tells when nobody is connected.
    #[must_use]
    pub fn keeper(&self) -> Keeper {
        Keeper::new(Arc::clone(&self.open), Arc::clone(&self.waiting))
    }

    /// The connections as a stream, as tonic takes it.
    pub fn into_stream(self) -> impl Stream<Item = io::Result<Connection>> {
        futures_util::stream::unfold(self, async |acceptor| {
            let connection = acceptor.accept().await;
            Some((Ok(connection), acceptor))
        })
    }
}

impl Drop for Acceptor {
    /// Returns when the thread has let go of the socket, which takes no longer than a turn of its.
    /// Connections that were not taken are closed.
    fn drop(&mut self) {
        drop(self.alive.take());
        if let Some(door) = self.door.take() {
            // A panic of the thread's is in the log already.
            let _ = door.join();
        }
        self.waiting.clear();
    }
}
