//! How requests reach the gateway: as bollard's own connector does, but with patience where the
//! socket's queue is full, and under the newest API version that both sides know. bollard itself
//! writes no version, so that it would get the answers of whatever the gateway has.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use aistack_policy::engine::ApiVersion;
use bollard::errors::Error;
use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};
use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::{Request, Response};
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
    let exchange = Exchange {
        client,
        empty: || bollard::body_full(Bytes::new()),
        agreed: Arc::default(),
    };
    let transport = move |request: BollardRequest| {
        let exchange = exchange.clone();
        async move { exchange.send(request).await }
    };
    Docker::connect_with_custom_transport(transport, Some(NAME), timeout, API_DEFAULT_VERSION)
}

/// The newest API version whose answers are understood: bollard's types are of it.
const KNOWN: ApiVersion = ApiVersion::v1(53);

/// What was agreed on with the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Agreed {
    /// The newest that the gateway offers, which it repeats in each answer.
    offered: ApiVersion,
    /// What requests go out under.
    spoken: ApiVersion,
}

/// Requests to the gateway, under a version that is negotiated once, and again when an answer offers
/// another one: the gateway offers what the engine behind it has.
struct Exchange<B> {
    client: Client<Connector, B>,
    empty: fn() -> B,
    agreed: Arc<Mutex<Option<Agreed>>>,
}

impl<B> Clone for Exchange<B> {
    fn clone(&self) -> Self {
        Self {
            client: self.client.clone(),
            empty: self.empty,
            agreed: Arc::clone(&self.agreed),
        }
    }
}

impl<B> Exchange<B>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    async fn send(&self, request: Request<B>) -> Result<Response<Incoming>, Error> {
        let agreed = self.agreed().await;
        let request = match agreed {
            Some(agreed) => under(request, agreed.spoken),
            // The request itself will tell what is wrong.
            None => request,
        };
        let answer = self.client.request(request).await?;
        if let Some((agreed, now)) = agreed.zip(offered_by(&answer))
            && agreed.offered != now
        {
            let mut kept = self.agreed.lock().unwrap_or_else(PoisonError::into_inner);
            *kept = kept.filter(|kept| *kept != agreed);
        }
        Ok(answer)
    }

    /// What is agreed on; `None` where nobody answers. Every answer names what is offered, whatever
    /// else it says.
    async fn agreed(&self) -> Option<Agreed> {
        let kept = *self.agreed.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.is_some() {
            return kept;
        }
        let ping = Request::get(format!("{NAME}/_ping"))
            .body((self.empty)())
            .ok()?;
        let offered = offered_by(&self.client.request(ping).await.ok()?)?;
        let agreed = Agreed {
            offered,
            spoken: offered.min(KNOWN),
        };
        *self.agreed.lock().unwrap_or_else(PoisonError::into_inner) = Some(agreed);
        Some(agreed)
    }
}

fn offered_by(answer: &Response<Incoming>) -> Option<ApiVersion> {
    let header = answer.headers().get("api-version")?;
    ApiVersion::parse(header.to_str().ok()?)
}

/// The request with this version before its path.
fn under<B>(mut request: Request<B>, version: ApiVersion) -> Request<B> {
    let target = request
        .uri()
        .path_and_query()
        .map_or("/", |target| target.as_str());
    let mut parts = request.uri().clone().into_parts();
    parts.path_and_query = format!("/v{version}{target}").parse().ok();
    // A path with a version before it is as good a path as it was.
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
    request
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

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;

    use super::super::{Engine, EngineError};
    use super::*;
    use crate::desired::TimeScale;

    /// A gateway that offers these versions, one connection after the other, and what requests it got.
    fn gateway(socket: &Path, offers: &'static [u32]) -> Arc<Mutex<Vec<String>>> {
        let listener = UnixListener::bind(socket).unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&requests);
        std::thread::spawn(move || {
            for (stream, minor) in listener.incoming().zip(offers) {
                let mut stream = stream.unwrap();
                let mut bytes = [0; 4096];
                let count = stream.read(&mut bytes).unwrap();
                let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
                let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
                log.lock().unwrap().push(path);
                let _ = write!(
                    stream,
                    "HTTP/1.1 200 OK\r\nApi-Version: 1.{minor}\r\nContent-Type: application/json\r\n\
                     Content-Length: 2\r\nConnection: close\r\n\r\n[]"
                );
            }
        });
        requests
    }

    #[test]
    fn bollards_types_are_of_the_version_that_is_known() {
        let theirs = (
            API_DEFAULT_VERSION.major_version,
            API_DEFAULT_VERSION.minor_version,
        );
        assert_eq!(theirs, (1, KNOWN.minor as usize));
    }

    #[tokio::test]
    async fn requests_go_out_under_the_newest_version_that_both_know() {
        for (offers, expected) in [
            (
                &[41, 41, 41][..],
                ["/_ping", "/v1.41/containers/json", "/v1.41/containers/json"],
            ),
            (
                &[56, 56, 56],
                ["/_ping", "/v1.53/containers/json", "/v1.53/containers/json"],
            ),
            // The engine is replaced: the answer says so, and the next request asks first.
            (
                &[41, 52, 52],
                ["/_ping", "/v1.41/containers/json", "/_ping"],
            ),
            (
                &[52, 52, 41],
                ["/_ping", "/v1.52/containers/json", "/v1.52/containers/json"],
            ),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let socket = dir.path().join("engine.sock");
            let requests = gateway(&socket, offers);
            let docker = docker_at(&socket, 10).unwrap();
            let none: Option<bollard::query_parameters::ListContainersOptions> = None;
            for _ in 0..2 {
                // The stand-in takes three connections.
                let _ = docker.list_containers(none.clone()).await;
            }
            assert_eq!(*requests.lock().unwrap(), expected, "{offers:?}");
        }
    }

    #[tokio::test]
    async fn an_answer_on_a_slow_machine_may_take_as_many_times_as_long() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("engine.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                std::thread::spawn(move || {
                    let _ = stream.read(&mut [0; 4096]);
                    std::thread::sleep(Duration::from_millis(300));
                    let _ = write!(
                        stream,
                        "HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Type: application/json\r\n\
                         Content-Length: 2\r\nConnection: close\r\n\r\n[]"
                    );
                });
            }
        });
        let engine = Engine::at(&socket).unwrap();
        let engine = engine.answering_within(Duration::from_millis(100));
        let late = engine.running().await.unwrap_err();
        assert!(matches!(late, EngineError::TimedOut), "{late:?}");
        // Clones notice it, too: whoever reads the manifest is not who asks.
        engine.clone().slow_down(TimeScale::parse("20").unwrap());
        assert_eq!(engine.running().await.unwrap(), []);
    }

    #[tokio::test]
    async fn a_gateway_that_is_not_there_is_an_error_of_the_request() {
        let docker = docker_at(Path::new("/nonexistent/engine.sock"), 10).unwrap();
        assert!(docker.ping().await.is_err());
    }
}
