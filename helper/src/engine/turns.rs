//! What one UID has one at a time, because it costs the host much.
//!
//! Whoever waits for its turn has no place of the [request limit](super::request_limit) yet: the same UID's
//! other requests, a stop among them, do not wait behind it. There are no more who wait than connections.

use std::time::Duration;

use tokio::sync::OwnedMutexGuard;

use super::error::GatewayError;
use super::gateway::Gateway;
use super::handlers::Call;

/// The longest time that a request waits for its turn.
const WAIT: Duration = Duration::from_mins(1);

/// What a request holds from before it is worked on.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Until Docker has looked at everything, which is when the head of its answer comes.
    read: Option<OwnedMutexGuard<()>>,
}

impl Gateway {
    /// The turns that this request needs.
    ///
    /// # Errors
    /// [`GatewayError::Busy`] when one does not come in time.
    pub(super) async fn turns_of(&self, call: &Call) -> Result<Turns, GatewayError> {
        let uid = call.tenant.grant.uid;
        let mut turns = Turns::default();
        if call.endpoint.is_dear() {
            let read = self.dear_reads.turn_of(uid, WAIT).await;
            turns.read = Some(read.ok_or(GatewayError::Busy)?);
        }
        Ok(turns)
    }
}
