//! Plain requests to the Docker Engine's own socket: one connection each, one fixed API version.

pub mod standing;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use aistack_policy::engine::{ApiVersion, OTHER_ENGINE};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::sync::Notify;

/// Every request goes upstream under this version, so that what was judged is what is executed.
pub const API_VERSION: &str = "v1.41";

/// The label that says whose a container or network is: the tenant's UID. Only the gateway and the
/// helper write it.
pub const OWNER_LABEL: &str = "io.aistack.owner";

/// Docker's words for a bind source that it does not see (moby, `volume/mounts/validate.go`; the same in
/// 20.10 and 29.99).
pub(crate) const UNSEEN_SOURCE: &str = "bind source path does not exist";

/// The largest JSON answer that is read whole, bytes.
const MAX_ANSWER: usize = 16 << 20;

/// A Docker Engine behind a Unix socket. Holding one of these is holding root.
#[derive(Debug, Clone)]
pub struct Docker {
    socket: PathBuf,
    /// Told at each connection, for whoever waits for the engine to be there again.
    reached: Arc<Notify>,
    /// What the engine said of itself when it was last asked.
    known: Arc<Mutex<Option<Arc<standing::Known>>>>,
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
    /// The engine does not speak the version that every request has.
    #[error(
        "the Docker Engine of this host speaks API {speaks}, and this aistack speaks {}",
        ApiVersion::SPOKEN
    )]
    Version {
        /// What it speaks, e.g. `1.44 and later`.
        speaks: String,
    },
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

    /// What to do, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unreachable { .. } => Some("ask the administrator to start Docker".to_owned()),
            Self::Version { .. } => Some(format!("ask the administrator to {OTHER_ENGINE}")),
            Self::Http(_) | Self::Refused { .. } => None,
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
        match spoken(status, &message) {
            Some(speaks) => Self::Version { speaks },
            None => Self::Refused { status, message },
        }
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
        let target = format!("/{API_VERSION}{path_and_query}");
        self.send_as_it_is(method, &target, headers, body).await
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

/// What an engine speaks that refuses the version of a request (moby,
/// `daemon/server/middleware/version.go`). It says `please upgrade your client`, which would not help.
fn spoken(status: StatusCode, message: &str) -> Option<String> {
    if status != StatusCode::BAD_REQUEST {
        return None;
    }
    let ours = ApiVersion::SPOKEN;
    let words = message.strip_prefix(&format!("client version {ours} is too "))?;
    let version = |after: &str| {
        let rest = words.split_once(after)?.1;
        let end = rest.find(|character: char| !character.is_ascii_digit() && character != '.');
        ApiVersion::parse(rest.get(..end.unwrap_or(rest.len()))?.trim_end_matches('.'))
    };
    if words.starts_with("old") {
        let oldest = version("Minimum supported API version is ");
        return Some(oldest.map_or("newer".to_owned(), |oldest| format!("{oldest} and later")));
    }
    let newest = version("Maximum supported API version is ");
    Some(newest.map_or("older".to_owned(), |newest| format!("{newest} and earlier")))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_that_does_not_speak_our_version_is_told_by_what_it_speaks() {
        for (message, speaks) in [
            // Docker 29.0.
            (
                "client version 1.41 is too old. Minimum supported API version is 1.44, please \
                 upgrade your client to a newer version",
                Some("1.44 and later"),
            ),
            // Docker 19.03.
            (
                "client version 1.41 is too new. Maximum supported API version is 1.40",
                Some("1.40 and earlier"),
            ),
            ("client version 1.41 is too old.", Some("newer")),
            ("client version 1.44 is too old. Minimum", None),
            ("invalid reference format", None),
        ] {
            let found = spoken(StatusCode::BAD_REQUEST, message);
            assert_eq!(found.as_deref(), speaks, "{message}");
            assert_eq!(spoken(StatusCode::CONFLICT, message), None);
        }
    }
}
