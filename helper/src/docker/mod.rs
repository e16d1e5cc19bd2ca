//! Plain requests to the Docker Engine's own socket: one connection each, under the newest API version
//! that both sides know.

mod api;
pub mod engine_state;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use aistack_policy::engine::{ApiVersion, other_version};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::sync::Notify;

pub use api::Api;
use api::{Agreed, is_refused_version};

/// The label that says whose a container or network is: the tenant's UID. Only the gateway and the
/// helper write it.
pub const OWNER_LABEL: &str = "io.aistack.owner";

/// Docker's words for a bind source that it does not see (moby, `volume/mounts/validate.go`; the same in
/// 20.10 and 29.99).
pub(crate) const UNSEEN_SOURCE: &str = "bind source path does not exist";

/// The largest JSON answer that is read whole, bytes.
const MAX_ANSWER: usize = 16 << 20;

/// How often a request goes out under a newly negotiated version, when engines take turns.
const ATTEMPTS: usize = 3;

/// A Docker Engine behind a Unix socket. Holding one of these is holding root.
#[derive(Debug, Clone)]
pub struct Docker {
    socket: PathBuf,
    /// Notified at each connection, for whoever waits for the engine to be there again.
    reached: Arc<Notify>,
    /// What the engine said of itself when it was last queried.
    known: Arc<Mutex<Option<Arc<engine_state::Known>>>>,
    agreed: Arc<Agreed>,
}

/// A request's body: what was judged is what is executed, so it is written for the API version that
/// the request goes out under.
pub enum Body<'a> {
    /// The same under every version.
    Plain(Bytes),
    /// Written for a version.
    Versioned(&'a (dyn Fn(ApiVersion) -> Vec<u8> + Sync)),
}

impl Body<'_> {
    /// No body.
    pub const NONE: Body<'static> = Body::Plain(Bytes::new());

    fn under(&self, version: ApiVersion) -> Bytes {
        match self {
            Self::Plain(bytes) => bytes.clone(),
            Self::Versioned(write) => write(version).into(),
        }
    }
}

/// Why Docker did not do it.
#[derive(Debug, thiserror::Error)]
pub enum DockerError {
    /// Docker's socket does not answer.
    #[error("cannot reach Docker at {}", socket.display())]
    Unreachable {
        /// Docker's socket.
        socket: PathBuf,
        /// What connect(2) said.
        #[source]
        source: std::io::Error,
    },
    /// The connection broke or was not HTTP.
    #[error("Docker's answer was cut short")]
    Http(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The engine speaks no version that aistack does.
    #[error(
        "the Docker Engine of this host speaks API {speaks}, and this aistack speaks {} to {}",
        ApiVersion::OLDEST_SPOKEN,
        ApiVersion::NEWEST_SPOKEN
    )]
    Version {
        /// What it speaks, e.g. `1.12 to 1.40`.
        speaks: String,
        /// The newest that it speaks.
        newest: ApiVersion,
    },
    /// It did not answer in time.
    #[error("Docker did not answer within {} s", .0.as_secs())]
    TooSlow(std::time::Duration),
    /// Engines of other versions take turns behind the socket.
    #[error("the Docker Engine of this host keeps changing its API version")]
    Unsettled,
    /// Docker answered with an error of its own.
    #[error("Docker answered {status}: {message}")]
    Response {
        /// HTTP status.
        status: StatusCode,
        /// Docker's `message`.
        message: String,
    },
}

impl DockerError {
    /// True when Docker said 404.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Response { status, .. } if *status == StatusCode::NOT_FOUND)
    }

    /// What to do, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unreachable { .. } => Some("ask the administrator to start Docker".to_owned()),
            Self::Version { newest, .. } => Some(format!(
                "ask the administrator to {}",
                other_version(*newest)
            )),
            Self::TooSlow(_) | Self::Unsettled => {
                Some("try again, or ask the administrator".to_owned())
            }
            Self::Http(_) | Self::Response { .. } => None,
        }
    }
}

impl DockerError {
    /// Docker's own error in an answer that is none of success.
    pub async fn of(answer: Response<Incoming>) -> Self {
        let status = answer.status();
        let message = match whole(answer).await {
            Ok(body) => message_of(&body),
            Err(error) => return error,
        };
        Self::Response { status, message }
    }
}

impl Docker {
    /// A Docker Engine at `socket`; nothing is opened yet.
    #[must_use]
    pub fn new(socket: &Path) -> Self {
        Self {
            socket: socket.to_owned(),
            reached: Arc::default(),
            known: Arc::default(),
            agreed: Arc::default(),
        }
    }

    /// What is agreed on with the engine, where it was queried already.
    #[must_use]
    pub fn known_api(&self) -> Option<Api> {
        self.agreed.get()
    }

    /// What is agreed on with the engine, which is queried where that is not known.
    ///
    /// # Errors
    /// When it cannot be reached, or no version is shared.
    pub async fn api(&self) -> Result<Api, DockerError> {
        if let Some(api) = self.agreed.get() {
            return Ok(api);
        }
        let answer = self
            .send_as_it_is(Method::GET, "/version", &[], Bytes::new())
            .await?;
        if !answer.status().is_success() {
            return Err(DockerError::of(answer).await);
        }
        let version = serde_json::from_slice(&whole(answer).await?).map_err(broke)?;
        let api = Api::of(&version)?;
        self.agreed.set(&api);
        Ok(api)
    }

    /// Sends one request on its own connection and returns the head of the answer; the body
    /// streams. `path_and_query` starts with `/` and has no version: it gets the one that is agreed on.
    /// An engine that refuses this version has done nothing; then its own is read, and the
    /// request goes out once more.
    ///
    /// # Errors
    /// When Docker cannot be reached or the connection breaks, and for its status 400. Docker's other
    /// errors are answers here.
    pub async fn send(
        &self,
        method: Method,
        path_and_query: &str,
        headers: &[(header::HeaderName, &str)],
        body: Body<'_>,
    ) -> Result<Response<Incoming>, DockerError> {
        for _ in 0..ATTEMPTS {
            let api = self.api().await?;
            let target = format!("/v{}{path_and_query}", api.spoken);
            let body = body.under(api.spoken);
            let answer = self
                .send_as_it_is(method.clone(), &target, headers, body)
                .await?;
            if api.is_outdated_by(&answer) {
                self.agreed.forget_this(&api);
            }
            if answer.status() != StatusCode::BAD_REQUEST {
                return Ok(answer);
            }
            match DockerError::of(answer).await {
                DockerError::Response { status, message }
                    if is_refused_version(status, &message) =>
                {
                    self.agreed.forget_this(&api);
                }
                other => return Err(other),
            }
        }
        Err(DockerError::Unsettled)
    }

    /// As [`Docker::send`], with the target as it stands: without a version before it, the engine takes
    /// its own newest.
    async fn send_as_it_is(
        &self,
        method: Method,
        target: &str,
        headers: &[(header::HeaderName, &str)],
        body: Bytes,
    ) -> Result<Response<Incoming>, DockerError> {
        let stream =
            UnixStream::connect(&self.socket)
                .await
                .map_err(|source| DockerError::Unreachable {
                    socket: self.socket.clone(),
                    source,
                })?;
        self.reached.notify_waiters();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(broke)?;
        tokio::spawn(connection.with_upgrades());
        let mut request = Request::builder()
            .method(method)
            .uri(target)
            .header(header::HOST, "docker");
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        let request = request.body(Full::new(body)).map_err(broke)?;
        sender.send_request(request).await.map_err(broke)
    }

    /// Sends one request and reads a JSON answer; a status of 300 or more is an error.
    ///
    /// # Errors
    /// As [`Docker::send`], and when Docker refuses or answers with something unexpected.
    pub async fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        path_and_query: &str,
        body: Body<'_>,
    ) -> Result<T, DockerError> {
        let answer = self.read(method, path_and_query, body).await?;
        serde_json::from_slice(&answer).map_err(broke)
    }

    /// Sends one request whose answer has no content that matters.
    ///
    /// # Errors
    /// As [`Docker::json`].
    pub async fn act(
        &self,
        method: Method,
        path_and_query: &str,
        body: Body<'_>,
    ) -> Result<(), DockerError> {
        self.read(method, path_and_query, body).await.map(drop)
    }

    async fn read(
        &self,
        method: Method,
        path_and_query: &str,
        body: Body<'_>,
    ) -> Result<Bytes, DockerError> {
        let answer = self.send(method, path_and_query, &[], body).await?;
        if answer.status().as_u16() >= 300 {
            return Err(DockerError::of(answer).await);
        }
        whole(answer).await
    }
}

async fn whole(answer: Response<Incoming>) -> Result<Bytes, DockerError> {
    let body = Limited::new(answer.into_body(), MAX_ANSWER);
    Ok(body.collect().await.map_err(broke)?.to_bytes())
}

/// True for a full id of a container, network or exec: 64 lower-case hexadecimal digits.
#[must_use]
pub fn is_full_id(text: &str) -> bool {
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == 64 && text.bytes().all(hex)
}

/// A value as it stands in a query (RFC 3986, 2.1).
#[must_use]
pub fn percent_encoded(text: &str) -> String {
    use std::fmt::Write;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// Docker's errors are `{"message": "…"}`.
fn message_of(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Message {
        message: String,
    }
    serde_json::from_slice::<Message>(body).map_or_else(|_| "no message".to_owned(), |m| m.message)
}

fn broke(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> DockerError {
    DockerError::Http(error.into())
}
