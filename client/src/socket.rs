//! Connecting to a daemon's socket.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::Instant;

/// The first and the longest pause between two attempts.
const PAUSES: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(100));

/// Connects. While the queue of the socket is full, which the kernel tells by EAGAIN (connect(2)),
/// it tries again for as long as `patience`: others may flood it, and the daemon empties it.
///
/// # Errors
/// What the kernel said; `WouldBlock` where the queue stayed full.
pub(crate) async fn connect(socket: &Path, patience: Duration) -> io::Result<UnixStream> {
    let until = Instant::now() + patience;
    let (mut pause, longest) = PAUSES;
    loop {
        match UnixStream::connect(socket).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < until => {
                tokio::time::sleep(pause).await;
                pause = longest.min(pause * 2);
            }
            connected => return connected,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream as StdStream};

    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

    use super::*;

    /// A listener whose queue has room for one; full it is already.
    fn full(path: &Path) -> (UnixListener, StdStream) {
        let listener = rustix::net::socket_with(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        )
        .unwrap();
        rustix::net::bind(&listener, &SocketAddrUnix::new(path).unwrap()).unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let listener = UnixListener::from(listener);
        (listener, StdStream::connect(path).unwrap())
    }

    #[tokio::test]
    async fn a_full_queue_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("full.sock");
        let (listener, first) = full(&path);
        let at_once = UnixStream::connect(&path).await.unwrap_err();
        assert_eq!(at_once.kind(), io::ErrorKind::WouldBlock);
        let accepts = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(200));
            (
                listener.accept().unwrap(),
                listener.accept().unwrap(),
                first,
            )
        });
        connect(&path, Duration::from_mins(1)).await.unwrap();
        accepts.join().unwrap();
    }

    #[tokio::test]
    async fn a_queue_that_stays_full_is_reported_after_a_while() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("full.sock");
        let (_listener, _first) = full(&path);
        let error = connect(&path, Duration::from_millis(50)).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        let absent = connect(&dir.path().join("none"), Duration::from_mins(1)).await;
        assert_eq!(absent.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
