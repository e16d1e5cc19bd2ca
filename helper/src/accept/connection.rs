//! One connection within its bounds of time and of what it sends.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::time::{Instant, Sleep};
use tonic::transport::server::Connected;

use super::open::Permit;
use crate::peer::Caller;

/// How long a connection without a place has to ask something and to take the answer.
const ANSWER_TIME: Duration = Duration::from_secs(1);
/// After this time it has ended, and a new one may have a place.
pub const REFUSAL_ENDS: Duration = Duration::from_secs(2);
/// The longest wait of a connection that sent too much: it reads on before a peer that pings gives
/// it up.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Who connected.
    pub caller: Caller,
    /// The connection has no place, and whatever request comes on it is refused: the caller has this
    /// many connections already.
    pub over: Option<usize>,
}

/// One accepted connection. Reads and writes end with an error when its time is up.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    peer: Peer,
    timer: Option<Pin<Box<Sleep>>>,
    hello_missing: usize,
    ends: Option<Instant>,
    pause: Option<Pin<Box<Sleep>>>,
    permit: Permit,
}

impl Connection {
    pub(super) fn new(stream: UnixStream, caller: Caller, permit: Permit) -> Self {
        let bounds = *permit.bounds();
        let over = permit.over();
        let (hello, age) = match over {
            None => (bounds.hello, bounds.max_age),
            Some(_) => (ANSWER_TIME, Some(REFUSAL_ENDS)),
        };
        Self {
            stream,
            peer: Peer { caller, over },
            timer: Some(Box::pin(tokio::time::sleep(hello))),
            hello_missing: bounds.hello_bytes,
            ends: age.map(|age| Instant::now() + age),
            pause: None,
            permit,
        }
    }

    /// Who connected.
    #[must_use]
    pub fn caller(&self) -> Caller {
        self.peer.caller
    }

    /// Who is at the other end.
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// Returns when the connection is as old as one may be, also while nothing is read from it.
    pub fn aged(&self) -> impl Future<Output = ()> + use<> {
        let ends = self.ends;
        async move {
            match ends {
                Some(end) => tokio::time::sleep_until(end).await,
                None => std::future::pending().await,
            }
        }
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

    /// The peer has spoken: once it has said enough, only the connection's age counts.
    fn received(&mut self, bytes: usize) {
        let pause = self.permit.charge(bytes);
        if !pause.is_zero() {
            let pause = tokio::time::sleep(pause.min(LONGEST_PAUSE));
            self.pause = Some(Box::pin(pause));
        }
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
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer
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
        if let Some(pause) = &mut this.pause {
            ready!(pause.as_mut().poll(cx));
            this.pause = None;
        }
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

#[cfg(test)]
mod tests {
    use tokio::net::UnixListener;

    use super::super::{Acceptor, Bounds};
    use super::*;

    #[tokio::test]
    async fn a_connection_is_too_old_also_while_nobody_reads_from_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.sock");
        let bounds = Bounds {
            max_age: Some(Duration::from_millis(200)),
            ..Bounds::ENGINE
        };
        let acceptor = Acceptor::new(UnixListener::bind(&path).unwrap(), bounds, |_| true).unwrap();
        let began = Instant::now();
        let _caller = UnixStream::connect(&path).await.unwrap();
        let connection = acceptor.accept().await;
        let aged = tokio::time::timeout(Duration::from_mins(1), connection.aged()).await;
        assert!(aged.is_ok() && began.elapsed() >= Duration::from_millis(200));
    }
}
