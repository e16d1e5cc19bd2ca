//! The worker's socket: root's connections only, one request and one reply each.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use super::host::Host;
use super::volume;
use super::wire::{Error, ErrorReason, MAX_MESSAGE, Reply, Request};
use crate::peer::Caller;
use crate::seldom::Seldom;

static NOT_ROOT: Seldom = Seldom::new();

/// So many requests run at once; those of one volume one after another.
const WORKERS: usize = 4;
/// Time for a peer to send its request, and to take the reply.
const PATIENCE: Duration = Duration::from_secs(5);

/// Answers connections about this host, for ever.
pub fn serve(listener: &UnixListener, host: &Host) {
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    match listener.accept() {
                        Ok((stream, _)) => {
                            if let Err(error) = answer(&stream, host) {
                                tracing::warn!(%error, "a connection broke off");
                            }
                        }
                        Err(error) => {
                            // Out of descriptors or memory; it may pass.
                            tracing::error!(%error, "cannot accept a connection");
                            std::thread::sleep(Duration::from_millis(100));
                        }
                    }
                }
            });
        }
    });
}

/// Reads one request, does it and replies.
fn answer(stream: &UnixStream, host: &Host) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let peer = Caller::of(stream).map_err(io::Error::other)?;
    if peer.uid != 0 {
        if let Some(unsaid) = NOT_ROOT.again() {
            tracing::warn!(
                uid = peer.uid,
                unsaid,
                "rejected a connection: peer is not root"
            );
        }
        return Ok(());
    }
    let reply = match read_request(stream)? {
        Ok(request) => perform(host, &request),
        Err(failure) => Reply::Failed(failure),
    };
    let mut line = serde_json::to_vec(&reply)?;
    line.push(b'\n');
    let mut out = stream;
    out.write_all(&line)
}

fn read_request(stream: &UnixStream) -> io::Result<Result<Request, Error>> {
    let mut line = Vec::new();
    BufReader::new(stream.take(MAX_MESSAGE as u64)).read_until(b'\n', &mut line)?;
    let bad = |message: String| Error::new(ErrorReason::BadRequest, message);
    if line.last() != Some(&b'\n') {
        let message = format!("a request is one line of at most {MAX_MESSAGE} bytes");
        return Ok(Err(bad(message)));
    }
    Ok(serde_json::from_slice(&line).map_err(|error| bad(format!("not a request: {error}"))))
}

fn perform(host: &Host, request: &Request) -> Reply {
    let what = match request {
        Request::Mount(_) => "mount",
        Request::Unmount(_) => "unmount",
        Request::Grow(_) => "grow",
        Request::State(_) => "state",
    };
    let place = &request.volume().place;
    let act = AssertUnwindSafe(|| volume::perform(host, request));
    let reply = std::panic::catch_unwind(act);
    let reply = reply.unwrap_or_else(|_| {
        let message = "internal error of the mount worker; see its log";
        Reply::Failed(Error::new(ErrorReason::Internal, message))
    });
    let reply = within_bounds(reply);
    tracing::info!(uid = place.uid, base_dir = %place.base_dir.display(), ?reply, "{what}");
    reply
}

/// Cuts texts so that the reply fits into one message: at most six bytes a character in JSON.
fn within_bounds(reply: Reply) -> Reply {
    let cut = |text: &str| text.chars().take(MAX_MESSAGE / 24).collect::<String>();
    match reply {
        Reply::Failed(mut failure) => {
            failure.message = failure.message.chars().take(MAX_MESSAGE / 12).collect();
            failure.hint = failure.hint.as_deref().map(cut);
            Reply::Failed(failure)
        }
        Reply::Mounted(mut mounted) => {
            mounted.warnings = mounted.warnings.iter().take(2).map(|w| cut(w)).collect();
            Reply::Mounted(mounted)
        }
        other @ Reply::Unmounted { .. } => other,
    }
}
