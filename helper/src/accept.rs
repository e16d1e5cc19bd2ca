//! Accepting connections so that no local user can keep another one out.
//!
//! The kernel is asked who connects before a byte is read. Connections are counted for each UID and
//! in all; UIDs that are no tenants share a small allotment of their own. A connection that does
//! not speak, or lives too long, ends by itself. (tonic's own accept loop has none of these bounds,
//! and turns without pause when descriptors run out.)

mod counter;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::Stream;
use rustix::io::Errno;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};
use tonic::transport::server::Connected;

use self::counter::Counter;
use crate::peer::Caller;

/// UIDs that are nobody in particular: the one that the kernel shows for a UID without a number in
/// this user namespace (`/proc/sys/kernel/overflowuid`), and -1, "not known".
const NOBODY: [u32; 2] = [65534, u32::MAX];
/// The pause after the kernel ran out of something.
const BACK_OFF: Duration = Duration::from_millis(100);

/// How many connections there may be and how long each may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Connections of one tenant; never more than half of `total`.
    pub per_uid: usize,
    /// Connections of all tenants together.
    pub total: usize,
    /// Connections of all other UIDs together, beside `total`.
    pub strangers: usize,
    /// Time for the first `hello_bytes` to arrive.
    pub hello: Duration,
    /// 24 for HTTP/2 (the whole preface), 1 for HTTP/1.
    pub hello_bytes: usize,
    /// Time after which the connection ends whatever it does; `None` for no end.
    pub max_age: Option<Duration>,
}

impl Bounds {
    /// The bounds of the gRPC socket.
    pub const GRPC: Self = Self {
        per_uid: 8,
        total: 256,
        strangers: 16,
        hello: Duration::from_secs(5),
        hello_bytes: 24,
        max_age: Some(Duration::from_mins(30)),
    };
    /// The bounds of the engine gateway: `docker compose` opens many, `logs -f` stays long.
    pub const ENGINE: Self = Self {
        per_uid: 64,
        total: 1024,
        strangers: 32,
        hello: Duration::from_secs(10),
        hello_bytes: 1,
        max_age: None,
    };
}

/// Accepts the connections of one listener within [`Bounds`].
pub struct Acceptor {
    listener: UnixListener,
    bounds: Bounds,
    open: Arc<Open>,
    is_tenant: Box<dyn Fn(u32) -> bool + Send + Sync>,
}

impl Acceptor {
    /// Accepts on `listener`; `is_tenant` says who counts as a tenant at that moment.
    pub fn new(
        listener: UnixListener,
        bounds: Bounds,
        is_tenant: impl Fn(u32) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self {
            listener,
            bounds,
            open: Arc::new(Open::new(bounds)),
            is_tenant: Box::new(is_tenant),
        }
    }

    /// The next connection that may live. Never fails: what cannot be accepted is closed, and when
    /// the kernel runs out of something it waits.
    pub async fn accept(&self) -> Connection {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    if let Some(connection) = self.admit(stream) {
                        return connection;
                    }
                }
                Err(error) if is_passing(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections; waiting");
                    tokio::time::sleep(BACK_OFF).await;
                }
            }
        }
    }

    /// Tells when there are no connections.
    #[must_use]
    pub fn quiet(&self) -> Quiet {
        Quiet(self.open.number.subscribe())
    }

    /// The connections as a stream, as tonic takes it.
    pub fn into_stream(self) -> impl Stream<Item = io::Result<Connection>> {
        futures_util::stream::unfold(self, async |acceptor| {
            let connection = acceptor.accept().await;
            Some((Ok(connection), acceptor))
        })
    }

    fn admit(&self, stream: UnixStream) -> Option<Connection> {
        let caller = Caller::of(&stream)
            .inspect_err(|error| tracing::warn!(%error, "closed a connection"))
            .ok()
            .filter(|caller| !NOBODY.contains(&caller.uid))?;
        let tenant = (self.is_tenant)(caller.uid);
        let Some(permit) = Permit::take(&self.open, caller.uid, tenant) else {
            tracing::debug!(uid = caller.uid, "closed a connection: too many");
            return None;
        };
        Some(Connection {
            stream,
            caller,
            timer: Some(Box::pin(tokio::time::sleep(self.bounds.hello))),
            hello_missing: self.bounds.hello_bytes,
            ends: self.bounds.max_age.map(|age| Instant::now() + age),
            _permit: permit,
        })
    }
}

/// Errors of one connection that ended before it was accepted (accept(2)).
fn is_passing(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::CONNABORTED | Errno::INTR | Errno::PERM)
    )
}

/// The connections that are open.
#[derive(Debug)]
struct Open {
    counter: Mutex<Counter>,
    number: watch::Sender<usize>,
}

impl Open {
    fn new(bounds: Bounds) -> Self {
        Self {
            counter: Mutex::new(Counter::new(bounds)),
            number: watch::Sender::new(0),
        }
    }

    fn counter(&self) -> MutexGuard<'_, Counter> {
        self.counter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among the connections; given back when dropped.
#[derive(Debug)]
struct Permit {
    open: Arc<Open>,
    uid: u32,
    tenant: bool,
}

impl Permit {
    fn take(open: &Arc<Open>, uid: u32, tenant: bool) -> Option<Self> {
        if !open.counter().admit(uid, tenant) {
            return None;
        }
        open.number.send_modify(|number| *number += 1);
        Some(Self {
            open: Arc::clone(open),
            uid,
            tenant,
        })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.open.counter().release(self.uid, self.tenant);
        self.open.number.send_modify(|number| *number -= 1);
    }
}

/// Tells when nobody is connected (see [`Acceptor::quiet`]).
#[derive(Debug)]
pub struct Quiet(watch::Receiver<usize>);

impl Quiet {
    /// Returns when nobody was connected for so long without a break.
    pub async fn lasting(&mut self, time: Duration) {
        loop {
            // An error: the acceptor and all its connections are gone.
            if self.0.wait_for(|open| *open == 0).await.is_err() {
                return;
            }
            if tokio::time::timeout(time, self.0.changed()).await.is_err() {
                return;
            }
        }
    }
}

/// One accepted connection. Reads and writes end with an error when its time is up.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    caller: Caller,
    timer: Option<Pin<Box<Sleep>>>,
    hello_missing: usize,
    ends: Option<Instant>,
    _permit: Permit,
}

impl Connection {
    /// Who connected.
    #[must_use]
    pub fn caller(&self) -> Caller {
        self.caller
    }

    fn check_time(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let Some(timer) = &mut self.timer else {
            return Ok(());
        };
        if timer.as_mut().poll(cx).is_ready() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }

    /// The peer has spoken: from now on only the connection's age counts.
    fn received(&mut self, bytes: usize) {
        if self.hello_missing == 0 {
            return;
        }
        self.hello_missing = self.hello_missing.saturating_sub(bytes);
        if self.hello_missing == 0 {
            self.timer = self.ends.map(|end| Box::pin(tokio::time::sleep_until(end)));
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.caller
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.check_time(cx)?;
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buffer))?;
        this.received(buffer.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.check_time(cx)?;
        Pin::new(&mut this.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.check_time(cx)?;
        Pin::new(&mut this.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Acceptor")
            .field("listener", &self.listener)
            .field("bounds", &self.bounds)
            .finish_non_exhaustive()
    }
}
