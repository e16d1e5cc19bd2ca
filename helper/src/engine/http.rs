//! HTTP/1.1 as the gateway reads and writes it: one request a connection.
//!
//! What two parsers could read in two ways is refused here: two lengths, a transfer encoding, a
//! folded header, a bare line feed, an absolute target. Since no second request is ever read from a
//! connection, nothing can be smuggled behind the first.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The longest request head, bytes.
const MAX_HEAD: usize = 16 << 10;
/// Headers of a request, at most.
const MAX_HEADERS: usize = 64;
/// The longest body that is read, bytes.
const MAX_BODY: usize = super::vet::json::MAX_BODY;

/// Why a request could not be read. The text is for the caller.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    /// It is no HTTP/1.1 that can be read in one way only.
    #[error("{0}")]
    Bad(&'static str),
    /// The connection broke off, or ended before a request.
    #[error("the connection ended")]
    Ended(#[from] io::Error),
}

/// The head of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) method: String,
    pub(super) target: String,
    /// Bytes of the body.
    pub(super) length: usize,
    /// `Upgrade: tcp`: the connection shall become a stream.
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

/// Reads a body of `length` bytes, of which `buffer` may hold the start.
pub(super) async fn read_body(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
    length: usize,
) -> Result<Bytes, ReadError> {
    while buffer.len() < length {
        if stream.read_buf(buffer).await? == 0 {
            return Err(ReadError::Ended(io::ErrorKind::UnexpectedEof.into()));
        }
    }
    Ok(buffer.split_to(length).freeze())
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
            "the request has not exactly one Host header",
        ));
    }
    if fields.of("transfer-encoding").next().is_some() {
        return Err(ReadError::Bad(
            "a transfer encoding is not offered; send a Content-Length",
        ));
    }
    Ok(Head {
        method: method.to_owned(),
        target: target.to_owned(),
        length: fields.length()?,
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
        return Err(ReadError::Bad("the request line has not three words"));
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
                "the request has not exactly one plain Content-Length",
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
            _ => Err(ReadError::Bad("only an upgrade to tcp is offered")),
        }
    }

    fn expects_continue(&self) -> Result<bool, ReadError> {
        match self.of("expect").next() {
            None => Ok(false),
            Some(value) if value.eq_ignore_ascii_case("100-continue") => Ok(true),
            Some(_) => Err(ReadError::Bad("what the request expects is not offered")),
        }
    }

    /// Clients that have no credentials send an empty JSON object or null, in base64.
    fn has_registry_auth(&self) -> bool {
        const NOTHING: [&str; 5] = ["", "e30", "e30=", "bnVsbA", "bnVsbA=="];
        self.of("x-registry-auth")
            .any(|value| !NOTHING.contains(&value))
    }
}

/// What stands in the head of every answer. The version is the one that is offered, whatever
/// Docker's own is.
fn head(status: u16, content_type: &str, framing: &str) -> String {
    let reason = http::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("Unknown");
    format!(
        "HTTP/1.1 {status} {reason}\r\nApi-Version: 1.41\r\nDocker-Experimental: false\r\n\
         Ostype: linux\r\nBuilder-Version: 1\r\nCache-Control: no-cache\r\n\
         Content-Type: {content_type}\r\n{framing}\r\n\r\n"
    )
}

/// Writes a whole answer.
pub(super) async fn write_whole(
    stream: &mut (impl AsyncWrite + Unpin),
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
    let mut bytes = head(status, content_type, framing).into_bytes();
    if with_body && !matches!(status, 204 | 304) {
        bytes.extend_from_slice(body);
    }
    stream.write_all(&bytes).await?;
    stream.flush().await
}

/// Writes the head of an answer whose body comes in [`write_chunk`]s.
pub(super) async fn write_stream_head(
    stream: &mut (impl AsyncWrite + Unpin),
    status: u16,
    content_type: &str,
) -> io::Result<()> {
    let framing = "Transfer-Encoding: chunked\r\nConnection: close";
    let head = head(status, content_type, framing);
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

/// Tells the caller that the connection is a stream of bytes from here on.
pub(super) async fn write_upgraded(stream: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    let framing = "Connection: Upgrade\r\nUpgrade: tcp";
    let head = head(101, "application/vnd.docker.raw-stream", framing);
    stream.write_all(head.as_bytes()).await?;
    stream.flush().await
}

/// Answers `Expect: 100-continue`.
pub(super) async fn write_continue(stream: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
    stream.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn head_of(text: &str) -> Result<Head, ReadError> {
        let mut buffer = BytesMut::new();
        read_head(&mut text.as_bytes(), &mut buffer).await
    }

    #[tokio::test]
    async fn an_ordinary_request_is_read_and_what_follows_stays() {
        let text = "POST /v1.41/containers/create?name=x HTTP/1.1\r\nHost: docker\r\n\
                    Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}rest";
        let (mut stream, mut buffer) = (text.as_bytes(), BytesMut::new());
        let head = read_head(&mut stream, &mut buffer).await.unwrap();
        assert_eq!(head.method, "POST");
        assert_eq!(head.target, "/v1.41/containers/create?name=x");
        assert!(!head.upgrade && !head.expects_continue && !head.has_registry_auth);
        let body = read_body(&mut stream, &mut buffer, head.length)
            .await
            .unwrap();
        assert_eq!((body.as_ref(), buffer.as_ref()), (&b"{}"[..], &b"rest"[..]));
    }

    #[tokio::test]
    async fn an_upgrade_needs_both_headers_and_goes_to_tcp_only() {
        let with = |lines: &str| format!("POST /x HTTP/1.1\r\nHost: d\r\n{lines}\r\n\r\n");
        let both = with("Connection: Upgrade\r\nUpgrade: tcp");
        assert!(head_of(&both).await.unwrap().upgrade);
        for lines in [
            "Connection: Upgrade",
            "Upgrade: tcp",
            "Connection: Upgrade\r\nUpgrade: h2c",
            "Connection: Upgrade\r\nUpgrade: tcp\r\nUpgrade: h2c",
        ] {
            let error = head_of(&with(lines)).await.unwrap_err();
            assert!(matches!(error, ReadError::Bad(_)), "{lines:?}");
        }
    }

    #[tokio::test]
    async fn what_can_be_read_in_two_ways_is_refused() {
        let long = format!("GET /{} HTTP/1.1\r\nHost: d\r\n\r\n", "x".repeat(MAX_HEAD));
        for text in [
            "GET / HTTP/1.0\r\nHost: d\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\nHost: d\n\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            "GET  / HTTP/1.1\r\nHost: d\r\n\r\n",
            "GET / HTTP/1.1 \r\nHost: d\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: d\nX: y\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: d\r\n X: y\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: d\r\n\tX: y\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : d\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: d\r\nX: \0\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: d\r\nX: \x7f\r\n\r\n",
            "GET /\u{e4} HTTP/1.1\r\nHost: d\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: d\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: d\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: d\r\nContent-Length: 1, 1\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: d\r\nContent-Length: +1\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: d\r\nContent-Length: 0x1\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: d\r\nContent-Length:\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: d\r\nContent-Length: 999999999\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: d\r\nContent-Length: 9999999999999999999999\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: d\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: d\r\nExpect: a-pony\r\n\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "GET /\r\n\r\n",
            "\r\n\r\n",
            &long,
        ] {
            let error = head_of(text).await.unwrap_err();
            assert!(matches!(error, ReadError::Bad(_)), "{text:?}: {error}");
        }
    }

    #[tokio::test]
    async fn a_head_that_never_ends_is_no_request() {
        let error = head_of("GET / HTTP/1.1\r\nHost: d\r\n").await.unwrap_err();
        assert!(matches!(error, ReadError::Ended(_)));
    }

    #[tokio::test]
    async fn credentials_are_seen_and_empty_ones_are_none() {
        let with =
            |value: &str| format!("POST / HTTP/1.1\r\nHost: d\r\nX-Registry-Auth: {value}\r\n\r\n");
        for (value, there) in [("", false), ("e30=", false), ("eyJ1IjoxfQ==", true)] {
            assert_eq!(
                head_of(&with(value)).await.unwrap().has_registry_auth,
                there
            );
        }
    }
}
