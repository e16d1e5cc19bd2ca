//! HTTP/1.1 as the gateway reads and writes it: one request a connection.
//!
//! What two parsers could read in two ways is refused here: two lengths, a length and a transfer
//! encoding, a folded header, a bare line feed, an absolute target. Since no second request is ever
//! read from a connection, nothing can be smuggled behind the first.

mod chunked;

use std::io;

use aistack_policy::engine::ApiVersion;
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::docker::Api;

/// The longest request head, bytes.
const MAX_HEAD: usize = 16 << 10;
/// Headers of a request, at most.
const MAX_HEADERS: usize = 64;
/// The longest body that is read, bytes.
const MAX_BODY: usize = super::vet::json::MAX_BODY;

/// What an exec and an attach without an upgrade are answered with.
const RAW_STREAM: &str = "application/vnd.docker.raw-stream";

/// Why a request could not be read. The text is for the caller.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    /// It is not an HTTP/1.1 that can be read in one way only.
    #[error("{0}")]
    Bad(&'static str),
    /// The connection broke off, or ended before a request.
    #[error("the connection ended")]
    Ended(#[from] io::Error),
}

/// How the end of a body is found (RFC 9112, 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// It has so many bytes.
    Length(usize),
    /// It comes in chunks, each with its length.
    Chunked,
}

/// The head of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) framing: Framing,
    /// `Upgrade: tcp`: the connection is to become a stream.
    pub(super) upgrade: bool,
    /// The caller waits for `100 Continue`.
    pub(super) expects_continue: bool,
    /// `X-Registry-Auth` holds something.
    pub(super) has_registry_auth: bool,
}

/// Reads the head of a request. What came behind it stays in `buffer`.
pub(super) async fn read_head(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
) -> Result<Head, ReadError> {
    // Bytes that were looked at already: a head may come byte by byte.
    let mut seen = 0_usize;
    loop {
        let start = seen.saturating_sub(3);
        let fresh = buffer.get(start..).unwrap_or_default();
        if let Some(end) = fresh.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = buffer.split_to(start + end + 4);
            return parse_head(&head);
        }
        if buffer.len() > MAX_HEAD {
            return Err(ReadError::Bad(
                "the head of the request is longer than 16 KiB",
            ));
        }
        // What cannot become a good head is not waited for.
        check_lines(fresh, start > 0)?;
        seen = buffer.len();
        if stream.read_buf(buffer).await? == 0 {
            return Err(ReadError::Ended(io::ErrorKind::UnexpectedEof.into()));
        }
    }
}

/// Reads a body, of which `buffer` may hold the start. An endpoint `with_body` takes one of at most
/// 256 KiB; others none, though a client may send one of no bytes.
pub(super) async fn read_body(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
    framing: Framing,
    with_body: bool,
) -> Result<Bytes, ReadError> {
    let most = if with_body { MAX_BODY } else { 0 };
    let length = match framing {
        Framing::Chunked => return chunked::read(stream, buffer, most).await,
        Framing::Length(length) if length > most => return Err(too_long(most)),
        Framing::Length(length) => length,
    };
    while buffer.len() < length {
        if stream.read_buf(buffer).await? == 0 {
            return Err(ReadError::Ended(io::ErrorKind::UnexpectedEof.into()));
        }
    }
    Ok(buffer.split_to(length).freeze())
}

fn too_long(most: usize) -> ReadError {
    ReadError::Bad(if most == 0 {
        "this endpoint takes no body"
    } else {
        "the body is longer than 256 KiB"
    })
}

fn parse_head(head: &[u8]) -> Result<Head, ReadError> {
    if head.len() > MAX_HEAD {
        return Err(ReadError::Bad(
            "the head of the request is longer than 16 KiB",
        ));
    }
    check_bytes(head)?;
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let complete = request.parse(head).is_ok_and(|status| status.is_complete());
    let (true, Some(method), Some(target), Some(1)) =
        (complete, request.method, request.path, request.version)
    else {
        return Err(ReadError::Bad("the request is not HTTP/1.1"));
    };
    let fields = Fields(request.headers);
    if fields.of("host").count() != 1 {
        return Err(ReadError::Bad(
            "the request must have exactly one Host header",
        ));
    }
    Ok(Head {
        method: method.to_owned(),
        target: target.to_owned(),
        framing: fields.framing()?,
        upgrade: fields.upgrade()?,
        expects_continue: fields.expects_continue()?,
        has_registry_auth: fields.has_registry_auth(),
    })
}

/// A line feed comes after a carriage return only. The first byte of what continues something was
/// looked at before.
fn check_lines(bytes: &[u8], continues: bool) -> Result<(), ReadError> {
    let mut before = if continues { b'\r' } else { 0 };
    for byte in bytes {
        if *byte == b'\n' && before != b'\r' {
            return Err(ReadError::Bad("the head has a bare line end"));
        }
        before = *byte;
    }
    Ok(())
}

/// Lines end with CR LF, none is folded, and the request line has single spaces.
fn check_bytes(head: &[u8]) -> Result<(), ReadError> {
    let mut before = 0;
    for (at, byte) in head.iter().copied().enumerate() {
        let after = head.get(at + 1).copied().unwrap_or(0);
        let legal = match byte {
            b'\n' => before == b'\r' && !matches!(after, b' ' | b'\t'),
            b'\r' => after == b'\n',
            b'\t' => true,
            other => (0x20..=0x7e).contains(&other),
        };
        if !legal {
            return Err(ReadError::Bad(
                "the head has a bare line end, a folded header or a control character",
            ));
        }
        before = byte;
    }
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let words = line.split(|byte| *byte == b' ');
    if words.clone().count() != 3 || words.into_iter().any(<[u8]>::is_empty) {
        return Err(ReadError::Bad("the request line does not have three parts"));
    }
    Ok(())
}

struct Fields<'h>(&'h [httparse::Header<'h>]);

impl Fields<'_> {
    fn of(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(move |header| header.name.eq_ignore_ascii_case(name))
            // The head was checked to be ASCII.
            .map(|header| std::str::from_utf8(header.value).unwrap_or_default().trim())
    }

    /// Chunks, spelled so, or a length: never both, and no other coding.
    fn framing(&self) -> Result<Framing, ReadError> {
        let mut codings = self.of("transfer-encoding");
        match (codings.next(), codings.next()) {
            (None, _) => self.length().map(Framing::Length),
            (Some("chunked"), None) if self.of("content-length").next().is_none() => {
                Ok(Framing::Chunked)
            }
            _ => Err(ReadError::Bad(
                "the transfer encoding is not chunked, or there is also a Content-Length",
            )),
        }
    }

    fn length(&self) -> Result<usize, ReadError> {
        let mut lengths = self.of("content-length");
        let Some(length) = lengths.next() else {
            return Ok(0);
        };
        let digits = (1..=9).contains(&length.len()) && length.bytes().all(|b| b.is_ascii_digit());
        match (digits, lengths.next(), length.parse::<usize>()) {
            (true, None, Ok(length)) if length <= MAX_BODY => Ok(length),
            (true, None, Ok(_)) => Err(ReadError::Bad("the body is longer than 256 KiB")),
            _ => Err(ReadError::Bad(
                "the request must have exactly one plain Content-Length",
            )),
        }
    }

    fn upgrade(&self) -> Result<bool, ReadError> {
        let connection = self
            .of("connection")
            .flat_map(|value| value.split(','))
            .any(|word| word.trim().eq_ignore_ascii_case("upgrade"));
        let mut upgrades = self.of("upgrade");
        match (upgrades.next(), upgrades.next()) {
            (None, _) if !connection => Ok(false),
            (Some("tcp"), None) if connection => Ok(true),
            _ => Err(ReadError::Bad("only an upgrade to tcp is supported")),
        }
    }

    fn expects_continue(&self) -> Result<bool, ReadError> {
        match self.of("expect").next() {
            None => Ok(false),
            Some(value) if value.eq_ignore_ascii_case("100-continue") => Ok(true),
            Some(_) => Err(ReadError::Bad(
                "the request's Expect header is not supported",
            )),
        }
    }

    /// Clients that have no credentials send an empty JSON object or null, in base64.
    fn has_registry_auth(&self) -> bool {
        const NOTHING: [&str; 5] = ["", "e30", "e30=", "bnVsbA", "bnVsbA=="];
        self.of("x-registry-auth")
            .any(|value| !NOTHING.contains(&value))
    }
}

/// What the head of every answer says of the server, as Docker's does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Served {
    /// The newest version that is offered.
    api: ApiVersion,
    /// `Server: Docker/28.5.1 (linux)`, with its end of line; empty while no engine is known.
    server: String,
}

impl Served {
    /// Of the engine that is there; before one is known, what any has.
    pub(super) fn of(api: Option<&Api>) -> Self {
        let Some(api) = api else {
            return Self {
                api: ApiVersion::OLDEST_SPOKEN,
                server: String::new(),
            };
        };
        let plain = |character: &char| character.is_ascii_graphic();
        let engine: String = api.engine.chars().filter(plain).take(64).collect();
        Self {
            api: api.spoken,
            server: format!("Server: Docker/{engine} (linux)\r\n"),
        }
    }
}

/// What stands in the head of every answer.
fn head(served: &Served, status: u16, content_type: &str, framing: &str) -> String {
    let Served { api, server } = served;
    let reason = http::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("Unknown");
    format!(
        "HTTP/1.1 {status} {reason}\r\nApi-Version: {api}\r\nDocker-Experimental: false\r\n\
         Ostype: linux\r\n{server}Builder-Version: 1\r\nCache-Control: no-cache\r\n\
         Content-Type: {content_type}\r\n{framing}\r\n\r\n"
    )
}

/// Writes a whole answer.
pub(super) async fn write_whole(
    stream: &mut (impl AsyncWrite + Unpin),
    served: &Served,
    status: u16,
    content_type: &str,
    body: &[u8],
    with_body: bool,
) -> io::Result<()> {
    let framing = format!("Content-Length: {}\r\nConnection: close", body.len());
    // 204 and 304 have neither a body nor a length (RFC 9110, 8.6).
    let framing = match status {
        204 | 304 => "Connection: close",
        _ => framing.as_str(),
    };
    let mut bytes = head(served, status, content_type, framing).into_bytes();
    if with_body && !matches!(status, 204 | 304) {
        bytes.extend_from_slice(body);
    }
    stream.write_all(&bytes).await?;
    stream.flush().await
}

/// Writes the head of an answer whose body comes in [`write_chunk`]s.
pub(super) async fn write_stream_head(
    stream: &mut (impl AsyncWrite + Unpin),
    served: &Served,
    status: u16,
    content_type: &str,
) -> io::Result<()> {
    let framing = "Transfer-Encoding: chunked\r\nConnection: close";
    let head = head(served, status, content_type, framing);
    stream.write_all(head.as_bytes()).await?;
    stream.flush().await
}

/// Writes a part of a body; an empty one ends it.
pub(super) async fn write_chunk(
    stream: &mut (impl AsyncWrite + Unpin),
    data: &[u8],
) -> io::Result<()> {
    let size = format!("{:x}\r\n", data.len());
    stream.write_all(size.as_bytes()).await?;
    stream.write_all(data).await?;
    stream.write_all(b"\r\n").await?;
    stream.flush().await
}

/// Writes the head of a stream of bytes to a caller who did not ask for an upgrade: it goes on until the
/// connection ends, as Docker's does.
pub(super) async fn write_raw_head(
    stream: &mut (impl AsyncWrite + Unpin),
    served: &Served,
) -> io::Result<()> {
    let framing = "Connection: close";
    let head = head(served, 200, RAW_STREAM, framing);
    stream.write_all(head.as_bytes()).await?;
    stream.flush().await
}

/// Tells the caller that the connection is a stream of bytes from here on.
pub(super) async fn write_upgraded(
    stream: &mut (impl AsyncWrite + Unpin),
    served: &Served,
    content_type: &str,
) -> io::Result<()> {
    let framing = "Connection: Upgrade\r\nUpgrade: tcp";
    let head = head(served, 101, content_type, framing);
    stream.write_all(head.as_bytes()).await?;
    stream.flush().await
}

/// Answers `Expect: 100-continue`.
pub(super) async fn write_continue(stream: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    stream.flush().await
}

#[cfg(test)]
mod tests;
