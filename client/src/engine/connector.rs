//! How requests reach the gateway: as bollard's own connector does, but with patience where the
//! socket's queue is full.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::UnixStream;
use tonic::codegen::Service;
use tonic::transport::Uri;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// What the requests say whom they are for; nobody looks it up.
const NAME: &str = "http://aistack-engine.invalid";

/// An engine behind `socket`; the head of an answer may take `timeout` seconds.
pub(super) fn docker_at(socket: &Path, timeout: u64) -> Result<Docker, bollard::errors::Error> {
    let connector = Connector {
        socket: socket.to_owned(),
    };
    // One request a connection, as the gateway has it.
    let client = Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(0)
        .build(connector);
    let transport = move |request: BollardRequest| {
        let answer = client.request(request);
        async move { Ok(answer.await?) }
    };
    Docker::connect_with_custom_transport(transport, Some(NAME), timeout, API_DEFAULT_VERSION)
}

#[derive(Debug, Clone)]
struct Connector {
    socket: PathBuf,
}

impl Service<Uri> for Connector {
    type Response = TokioIo<UnixStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let socket = self.socket.clone();
        Box::pin(async move {
            let stream = crate::socket::connect(&socket, CONNECT_TIMEOUT).await?;
            Ok(TokioIo::new(stream))
        })
    }
}
