//! Heads and bodies as clients send them, and every one that two parsers could read in two ways.

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
    let body = read_body(&mut stream, &mut buffer, head.framing, true)
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
        "POST / HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: Chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: identity\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: d\r\nTransfer-Encoding:\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
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
async fn a_body_is_read_only_where_there_is_one() {
    for (framing, text) in [
        (Framing::Length(2), "{}"),
        (Framing::Chunked, "2\r\n{}\r\n0\r\n\r\n"),
    ] {
        for (with_body, fine) in [(true, true), (false, false)] {
            let (mut stream, mut buffer) = (text.as_bytes(), BytesMut::new());
            let read = read_body(&mut stream, &mut buffer, framing, with_body).await;
            assert_eq!(read.is_ok(), fine, "{framing:?} {with_body}");
        }
    }
    for (framing, text) in [(Framing::Length(0), ""), (Framing::Chunked, "0\r\n\r\n")] {
        let (mut stream, mut buffer) = (text.as_bytes(), BytesMut::new());
        let read = read_body(&mut stream, &mut buffer, framing, false).await;
        assert!(read.unwrap().is_empty());
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
