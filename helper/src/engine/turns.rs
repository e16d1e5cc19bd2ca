//! What one UID has one at a time, or few, because it costs the host much.
//!
//! Whoever waits for its turn has no place of the [request limit](super::request_limit) yet: the same UID's
//! other requests, a stop among them, do not wait behind it. There are no more who wait than connections.

use std::time::Duration;

use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit};
use tokio::time::Instant;

use super::error::GatewayError;
use super::gateway::Gateway;
use super::handlers::Call;

/// The longest time that a request waits for its turn.
const WAIT: Duration = Duration::from_mins(1);

/// The longest time that a [costly stream](StreamTurn) is open: a slow reader gets some hundred mebibytes in
/// it.
const STREAM: Duration = Duration::from_mins(1);

/// What a request holds from before it is worked on.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Until Docker has looked at everything, which is when the head of its answer comes.
    read: Option<OwnedMutexGuard<()>>,
    /// A start measures what the container has written, and waits for its turn of that with a place in hand.
    start: Option<OwnedSemaphorePermit>,
    /// Until the answer has ended.
    stream: Option<OwnedMutexGuard<()>>,
}

/// The turn of a stream that Docker holds in memory as a whole until its end is taken: the list of some million
/// changed files is gigabytes there.
#[derive(Debug)]
pub(super) struct StreamTurn {
    _lock: OwnedMutexGuard<()>,
    until: Instant,
}

impl Turns {
    /// What is left when the answer begins.
    pub(super) fn into_stream(self) -> Option<StreamTurn> {
        Some(StreamTurn {
            _lock: self.stream?,
            until: Instant::now() + STREAM,
        })
    }
}

impl StreamTurn {
    /// Returns when the stream has to end.
    pub(super) async fn over(&self) {
        tokio::time::sleep_until(self.until).await;
    }
}

impl Gateway {
    /// The turns that this request needs.
    ///
    /// # Errors
    /// [`GatewayError::Busy`] when one does not come in time.
    pub(super) async fn turns_of(&self, call: &Call) -> Result<Turns, GatewayError> {
        let uid = call.tenant.grant.uid;
        let mut turns = Turns::default();
        // Before the other, which would be held while a stream is slow: sizes, starts and the watch need that one.
        if call.endpoint.is_costly_stream() {
            let stream = self.costly_streams.turn_of(uid, WAIT).await;
            turns.stream = Some(stream.ok_or(GatewayError::Busy)?);
        }
        if call.endpoint.is_dear() {
            turns.read = Some(self.walk_turn(uid).await.ok_or(GatewayError::Busy)?);
        }
        if call.endpoint.starts_container() {
            turns.start = self.starts.of(uid).await;
        }
        Ok(turns)
    }

    /// The turn of whatever has Docker walk through all files of containers; `None` when it does not come in
    /// time.
    pub(super) async fn walk_turn(&self, uid: u32) -> Option<OwnedMutexGuard<()>> {
        self.dear_reads.turn_of(uid, WAIT).await
    }
}
