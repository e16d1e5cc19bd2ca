//! A body in chunks (RFC 9112, 7.1), read in one way only: no extensions, no trailers.

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::{ReadError, too_long};

/// Digits of a chunk's length, at most: the largest body needs five.
const MAX_DIGITS: usize = 8;

/// Reads a body of at most `most` bytes, of which `buffer` may hold the start. What came behind it
/// stays there.
pub(super) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
    most: usize,
) -> Result<Bytes, ReadError> {
    let mut body = BytesMut::new();
    loop {
        let length = length(stream, buffer).await?;
        if length > most - body.len() {
            return Err(too_long(most));
        }
        // A chunk ends with a line end; that of the last one, which is empty, stands where trailers would.
        fill(stream, buffer, length + 2).await?;
        body.extend_from_slice(&buffer.split_to(length));
        if buffer.split_to(2).as_ref() != b"\r\n" {
            return Err(ReadError::Bad(
                "a chunk is longer than its length, or the body has trailers",
            ));
        }
        if length == 0 {
            return Ok(body.freeze());
        }
    }
}

/// The length of the next chunk, which stands on a line of its own.
async fn length(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
) -> Result<usize, ReadError> {
    let bad = || ReadError::Bad("the length of a chunk is not a short hexadecimal number");
    let mut digits = 0;
    loop {
        fill(stream, buffer, digits + 1).await?;
        match buffer.get(digits) {
            Some(byte) if byte.is_ascii_hexdigit() && digits < MAX_DIGITS => digits += 1,
            Some(b'\r') => break,
            _ => return Err(bad()),
        }
    }
    fill(stream, buffer, digits + 2).await?;
    let line = buffer.split_to(digits + 2);
    let (text, end) = line.split_at_checked(digits).ok_or_else(bad)?;
    let text = std::str::from_utf8(text).map_err(|_| bad())?;
    match usize::from_str_radix(text, 16) {
        Ok(length) if end == b"\r\n" => Ok(length),
        _ => Err(bad()),
    }
}

/// Reads until `buffer` has so many bytes.
async fn fill(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
    bytes: usize,
) -> Result<(), ReadError> {
    while buffer.len() < bytes {
        if stream.read_buf(buffer).await? == 0 {
            return Err(ReadError::Ended(std::io::ErrorKind::UnexpectedEof.into()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::MAX_BODY;
    use super::*;

    /// The body and what stayed behind it.
    async fn body_of(text: &[u8], most: usize) -> Result<(Bytes, Vec<u8>), ReadError> {
        let (mut stream, mut buffer) = (text, BytesMut::new());
        let body = read(&mut stream, &mut buffer, most).await?;
        Ok((body, [&buffer[..], stream].concat()))
    }

    #[tokio::test]
    async fn chunks_are_put_together_and_what_follows_stays() {
        for (text, body) in [
            ("0\r\n\r\nrest", ""),
            ("2\r\n{}\r\n0\r\n\r\nrest", "{}"),
            ("1\r\n{\r\n00001\r\n}\r\n000\r\n\r\nrest", "{}"),
            (
                "a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\nrest",
                "01234567890123456789",
            ),
        ] {
            let (read, rest) = body_of(text.as_bytes(), 20).await.unwrap();
            assert_eq!(
                (read.as_ref(), rest.as_slice()),
                (body.as_bytes(), &b"rest"[..])
            );
        }
    }

    #[tokio::test]
    async fn what_two_parsers_could_read_in_two_ways_is_refused() {
        for text in [
            "2;a=b\r\n{}\r\n0\r\n\r\n",
            "2 \r\n{}\r\n0\r\n\r\n",
            " 2\r\n{}\r\n0\r\n\r\n",
            "2\n{}\n0\n\n",
            "2\r{}\r\n0\r\n\r\n",
            "2\r\n{}0\r\n\r\n",
            "2\r\n{}x\r\n0\r\n\r\n",
            "2\r\n{}\n0\r\n\r\n",
            "0x2\r\n{}\r\n0\r\n\r\n",
            "+2\r\n{}\r\n0\r\n\r\n",
            "-2\r\n{}\r\n0\r\n\r\n",
            "\r\n{}\r\n0\r\n\r\n",
            "000000002\r\n{}\r\n0\r\n\r\n",
            "ffffffffffffffff2\r\n{}\r\n0\r\n\r\n",
            "2\r\n{}\r\n0\r\nX: y\r\n\r\n",
            "15\r\n0123456789\r\n0\r\n\r\n",
            "ffffffff\r\n",
            "a\r\n0123456789\r\nb\r\n",
        ] {
            let error = body_of(text.as_bytes(), 20).await.unwrap_err();
            assert!(matches!(error, ReadError::Bad(_)), "{text:?}: {error}");
        }
    }

    #[tokio::test]
    async fn a_body_that_never_ends_is_none() {
        for text in [
            "",
            "2",
            "2\r\n",
            "2\r\n{",
            "2\r\n{}\r\n",
            "0\r\n",
            "0\r\n\r",
        ] {
            let error = body_of(text.as_bytes(), 20).await.unwrap_err();
            assert!(matches!(error, ReadError::Ended(_)), "{text:?}: {error}");
        }
    }

    proptest! {
        /// However a body is cut into chunks, it is the same; one byte more than allowed is refused.
        #[test]
        fn any_cut_is_read_alike(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..20)) {
            let body = parts.concat();
            let mut text = Vec::new();
            for part in &parts {
                text.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
                text.extend_from_slice(part);
                text.extend_from_slice(b"\r\n");
            }
            text.extend_from_slice(b"0\r\n\r\n");
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let (read, rest) = runtime.block_on(body_of(&text, body.len())).unwrap();
            prop_assert_eq!(&read[..], &body[..]);
            prop_assert!(rest.is_empty());
            if let Some(less) = body.len().checked_sub(1) {
                prop_assert!(runtime.block_on(body_of(&text, less)).is_err());
            }
        }

        #[test]
        fn any_bytes_are_answered(text in prop::collection::vec(any::<u8>(), 0..200)) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let _ = runtime.block_on(body_of(&text, MAX_BODY));
        }
    }
}
