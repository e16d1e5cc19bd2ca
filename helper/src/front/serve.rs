//! The HTTP/2 server in front of admission, with every bound set.

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use tokio::net::UnixListener;
use tonic::body::Body;
use tonic::transport::Server;

use super::Front;
use crate::accept::{Acceptor, Bounds, Keeper};

/// Calls at once on one connection.
const MAX_STREAMS: u32 = 8;
/// All headers of a call together, bytes.
const MAX_HEADERS: u32 = 8 << 10;
/// Flow-control windows, bytes: no message is larger than 64 KiB.
const WINDOW: u32 = 128 << 10;
/// Streams that were reset before they were looked at (CVE-2023-44487).
const MAX_RESETS: usize = 20;
/// A peer that does not answer a ping within this time is gone.
const PING: Duration = Duration::from_secs(20);

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// There is no thread that accepts.
    #[error("cannot accept connections")]
    Door(#[source] std::io::Error),
    /// HTTP/2 does not go on.
    #[error(transparent)]
    Transport(#[from] tonic::transport::Error),
}

/// Serves until `stop` ends, or nobody needed it for [`Times::idle`](super::Times::idle); then waits
/// for the connections to close.
///
/// # Errors
/// When the server cannot begin, or not go on.
pub async fn serve(
    listener: UnixListener,
    bounds: Bounds,
    front: Front,
    stop: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let policy = front.shared.policy.clone();
    let is_tenant = move |uid| {
        let policy = policy.current();
        let mut tenants = policy.policy.tenants().iter();
        tenants.any(|range| range.contains(&uid))
    };
    let acceptor = Acceptor::new(listener, bounds, is_tenant).map_err(ServeError::Door)?;
    let age = front.shared.times.connection;
    let mut keeper = acceptor.keeper();
    let unused = front.clone();
    let stop = async move {
        tokio::select! {
            () = stop => {}
            () = unused.unused(&mut keeper) => tracing::info!("idle"),
        }
        // Who comes from now on waits in the socket for the next daemon.
        keeper.close().await;
    };
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let front = front.clone();
        async move { Ok::<_, Infallible>(front.answer(request).await) }
    });
    // No grace after the age: tonic would then skip the orderly end. `Bounds::max_age` is the hard
    // end.
    Server::builder()
        .max_concurrent_streams(MAX_STREAMS)
        .http2_max_header_list_size(MAX_HEADERS)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .http2_max_pending_accept_reset_streams(Some(MAX_RESETS))
        .http2_max_local_error_reset_streams(Some(MAX_RESETS))
        .http2_keepalive_interval(Some(PING))
        .http2_keepalive_timeout(Some(PING))
        .max_connection_age(age)
        .serve_with_incoming_shutdown(service, acceptor.into_stream(), stop)
        .await?;
    Ok(())
}

impl Front {
    /// Returns when nobody needs this daemon; then the door is closed.
    async fn unused(&self, keeper: &mut Keeper) {
        let Some(time) = self.shared.times.idle else {
            return std::future::pending().await;
        };
        loop {
            keeper.quiet_for(time).await;
            // The caller may be gone while its operation goes on.
            if self.is_idle() && keeper.close_if_quiet() {
                return;
            }
        }
    }
}
