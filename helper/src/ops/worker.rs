//! Asking the mount worker.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use super::Error;
use crate::mount::wire::{MAX_MESSAGE, Reply, Request};
use crate::peer::Caller;

/// The worker ends its tools before this: a check of a large volume is the longest.
const PATIENCE: Duration = Duration::from_mins(15);

/// Sends one request on its own connection and reads the reply; a failure is an error.
pub(super) async fn ask(socket: &Path, request: &Request) -> Result<Reply, Error> {
    let unreachable = |source| Error::WorkerUnreachable {
        socket: socket.to_owned(),
        source,
    };
    let reply = match tokio::time::timeout(PATIENCE, exchange(socket, request)).await {
        Ok(reply) => reply.map_err(unreachable)?,
        Err(_) => return Err(unreachable(io::ErrorKind::TimedOut.into())),
    };
    match reply {
        Reply::Failed(failure) => Err(Error::Worker(failure)),
        other => Ok(other),
    }
}

async fn exchange(socket: &Path, request: &Request) -> io::Result<Reply> {
    let mut stream = UnixStream::connect(socket).await?;
    let peer = Caller::of(&stream).map_err(io::Error::other)?;
    if peer.uid != 0 {
        return Err(io::Error::other("peer is not root"));
    }
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    if line.len() > MAX_MESSAGE {
        return Err(io::Error::other("the request is too long"));
    }
    stream.write_all(&line).await?;
    let mut reply = Vec::new();
    let mut reader = BufReader::new(stream.take(MAX_MESSAGE as u64));
    reader.read_until(b'\n', &mut reply).await?;
    if reply.last() != Some(&b'\n') {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(serde_json::from_slice(&reply)?)
}
