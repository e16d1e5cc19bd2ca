//! Plain requests to the Docker Engine's own socket: one connection each, one fixed API version.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

/// Every request goes upstream under this version, so that what was judged is what is executed.
pub const API_VERSION: &str = "v1.41";

/// The label that says whose a container or network is: the tenant's UID. Only the gateway and the
/// helper write it.
pub const OWNER_LABEL: &str = "io.aistack.owner";

/// The largest JSON answer that is read whole, bytes.
const MAX_ANSWER: usize = 16 << 20;

/// A Docker Engine behind a Unix socket. Holding one of these is holding root.
#[derive(Debug, Clone)]
pub struct Docker {
    socket: PathBuf,
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
    #[error("Docker's answer broke off")]
    Http(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Docker answered with an error of its own.
    #[error("Docker answered {status}: {message}")]
    Refused {
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
        matches!(self, Self::Refused { status, .. } if *status == StatusCode::NOT_FOUND)
    }
}

impl DockerError {
    /// Docker's own error in an answer that is none of success.
    pub async fn of(answer: Response<Incoming>) -> Self {
        let status = answer.status();
        match whole(answer).await {
            Ok(body) => Self::Refused {
                status,
                message: message_of(&body),
            },
            Err(error) => error,
        }
    }
}

impl Docker {
    /// A Docker Engine at `socket`; nothing is opened yet.
    #[must_use]
    pub fn new(socket: &Path) -> Self {
        Self {
            socket: socket.to_owned(),
        }
    }

    /// Sends one request on its own connection and returns the head of the answer; the body
    /// streams. `path_and_query` starts with `/` and has no version.
    ///
    /// # Errors
    /// When Docker cannot be reached or the connection breaks. Docker's own errors are answers here.
    pub async fn send(
        &self,
        method: Method,
        path_and_query: &str,
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
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(broke)?;
        tokio::spawn(connection.with_upgrades());
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/{API_VERSION}{path_and_query}"))
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
        body: Bytes,
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
        body: Bytes,
    ) -> Result<(), DockerError> {
        self.read(method, path_and_query, body).await.map(drop)
    }

    async fn read(
        &self,
        method: Method,
        path_and_query: &str,
        body: Bytes,
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
