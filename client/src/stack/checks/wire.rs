//! One request and its answer, on loopback: plain, or over TLS as the user of a site.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Incoming;
use hyper::header::{HOST, HeaderName, RETRY_AFTER, SET_COOKIE, USER_AGENT};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::desired::Via;
use crate::stack::tls::{Served, Trust};
use crate::ui;

/// Of an answer, only so much is read, bytes.
const MAX_BODY: usize = 1024 * 1024;

/// A request with everything filled in.
pub(in crate::stack) struct Outgoing {
    pub(in crate::stack) method: String,
    pub(in crate::stack) path: String,
    pub(in crate::stack) headers: Vec<(String, String)>,
    pub(in crate::stack) body: String,
}

/// What came back.
pub(in crate::stack) struct Answer {
    pub(in crate::stack) status: u16,
    /// Values of `Set-Cookie`.
    pub(super) cookies: Vec<String>,
    /// What `Retry-After` says in seconds (RFC 9110, 10.2.3); a date is not read.
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Vec<u8>,
    /// False when there was more than is read.
    pub(super) whole: bool,
}

/// Sends it; what the site's certificate was is reported in `served`, also when it was refused.
pub(super) async fn send(
    via: &Via,
    trust: &Trust,
    request: Outgoing,
    served: &mut Option<Served>,
) -> Result<Answer, String> {
    match via {
        Via::Port(port) => {
            let stream = connect(*port).await?;
            exchange(stream, &authority(via), request).await
        }
        Via::Site { host, port } => {
            let stream = connect(*port).await?;
            let handshake = trust.handshake(stream, host).await;
            if handshake.served.is_some() {
                *served = handshake.served;
            }
            let stream = handshake.stream;
            let stream = stream.map_err(|why| format!("{why}; see `aistack tls status`"))?;
            exchange(stream, &authority(via), request).await
        }
    }
}

/// What stands in the `Host` header.
pub(super) fn authority(via: &Via) -> String {
    match via {
        Via::Port(port) => format!("127.0.0.1:{port}"),
        Via::Site { host, port: 443 } => host.clone(),
        Via::Site { host, port } => format!("{host}:{port}"),
    }
}

/// A connection on loopback.
pub(crate) async fn connect(port: u16) -> Result<TcpStream, String> {
    TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        .await
        .map_err(|error| format!("127.0.0.1:{port}: {error}"))
}

/// One request on a connection.
pub(in crate::stack) async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    host: &str,
    outgoing: Outgoing,
) -> Result<Answer, String> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    let driver = AbortOnDrop(tokio::spawn(connection));
    let answer = sender.send_request(build(host, outgoing)?).await;
    let answer = answer.map_err(|error| describe(&error))?;
    let status = answer.status().as_u16();
    let cookies = answer
        .headers()
        .get_all(SET_COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok().map(str::to_owned))
        .collect();
    let retry_after = answer
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .map(|seconds: u32| Duration::from_secs(seconds.into()));
    let (body, whole) = read(answer.into_body()).await?;
    drop(driver);
    Ok(Answer {
        status,
        cookies,
        retry_after,
        body,
        whole,
    })
}

fn build(host: &str, outgoing: Outgoing) -> Result<Request<Full<Bytes>>, String> {
    let mut request = Request::builder()
        .method(outgoing.method.as_str())
        .uri(outgoing.path);
    let given = |wanted: &HeaderName| {
        let mut names = outgoing.headers.iter().map(|(name, _)| name);
        names.any(|name| name.eq_ignore_ascii_case(wanted.as_str()))
    };
    if !given(&HOST) {
        request = request.header(HOST, host);
    }
    if !given(&USER_AGENT) {
        request = request.header(USER_AGENT, "aistack");
    }
    for (name, value) in &outgoing.headers {
        request = request.header(name, value);
    }
    // The message of a bad header holds no value.
    request
        .body(Full::from(outgoing.body))
        .map_err(|error| error.to_string())
}

async fn read(mut body: Incoming) -> Result<(Vec<u8>, bool), String> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| describe(&error))?;
        if let Some(data) = frame.data_ref() {
            let room = MAX_BODY.saturating_sub(bytes.len());
            match data.get(..room) {
                Some(part) if part.len() < data.len() => {
                    bytes.extend_from_slice(part);
                    return Ok((bytes, false));
                }
                _ => bytes.extend_from_slice(data),
            }
        }
    }
    Ok((bytes, true))
}

/// An error with what led to it: hyper keeps the reason in the source.
fn describe(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => ui::clean(&format!("{error}: {source}")),
        None => ui::clean(&error.to_string()),
    }
}

/// The connection ends with whoever used it, also when that was given up.
struct AbortOnDrop(tokio::task::JoinHandle<Result<(), hyper::Error>>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
