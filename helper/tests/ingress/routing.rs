//! Which hello, and which request, gets to whom.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use crate::hello::{hello, plain, records};
use crate::test_host::{
    HTTP, HTTPS, TestHost, answer_of, line_after, line_of, two_tenants, visit, websocket_request,
};

#[test]
#[ignore = "needs root, haproxy and network namespaces"]
fn every_hello_gets_to_the_tenant_whose_name_it_has_and_to_nobody_else() {
    let tenants_host = TestHost::start(2);
    two_tenants(&tenants_host);
    for (name, tenant) in [
        ("t-63001.example.test", Some(0)),
        ("n8n.t-63001.example.test", Some(0)),
        ("t-63002.example.test", Some(1)),
        ("n8n.t-63002.example.test", Some(1)),
        ("N8N.T-63002.Example.TEST", Some(1)),
        ("n8n.t-63002.example.test.", Some(1)),
        // Two labels below, beside, above, and nobody's.
        ("a.n8n.t-63001.example.test", None),
        ("xt-63001.example.test", None),
        ("t-63003.example.test", None),
        ("example.test", None),
        ("test", None),
        ("127.0.0.1", None),
        (".t-63001.example.test", Some(0)),
        ("t-63001.example.test.t-63002.example.test", None),
    ] {
        let line = line_after(HTTPS, &plain(name));
        match tenant {
            Some(nth) => assert!(
                line.starts_with(&format!("tenant {nth} 127.0.0.1 ")),
                "{name}: {line:?}"
            ),
            None => assert_eq!(line, "", "{name}"),
        }
    }
    assert_eq!(
        line_after(HTTPS, &records(&hello(None, 0), 16_384)),
        "",
        "no name"
    );
}

#[test]
#[ignore = "needs root, haproxy and network namespaces"]
fn hellos_that_break_other_routers_get_through_whole() {
    let tenants_host = TestHost::start(2);
    two_tenants(&tenants_host);
    let large = hello(Some("n8n.t-63002.example.test"), 8_000);
    let bytes = records(&large, 16_384);
    let answer = format!("tenant 1 127.0.0.1 {}\n", large.len());
    assert_eq!(line_after(HTTPS, &bytes), answer, "larger than a segment");
    for pieces in [1, 7, 100, 1400] {
        let mut stream = visit(HTTPS);
        stream.set_nodelay(true).unwrap();
        for piece in bytes.chunks(bytes.len().div_ceil(pieces)) {
            stream.write_all(piece).unwrap();
            std::thread::sleep(Duration::from_millis(if pieces > 100 { 0 } else { 3 }));
        }
        assert_eq!(line_of(&stream), answer, "in {pieces} segments");
    }
    // A hello in several records: HAProxy reads the first one only. Documented; nobody else is reached.
    assert_eq!(line_after(HTTPS, &records(&large, 1000)), "");
}

#[test]
#[ignore = "needs root, haproxy and network namespaces"]
fn what_is_no_hello_is_closed_in_time() {
    let tenants_host = TestHost::start(2);
    two_tenants(&tenants_host);
    assert_eq!(
        line_after(
            HTTPS,
            b"GET / HTTP/1.1\r\nHost: t-63001.example.test\r\n\r\n"
        ),
        ""
    );
    let whole = plain("t-63001.example.test");
    for part in [&b""[..], &whole[..5], &whole[..whole.len() - 1]] {
        let began = Instant::now();
        assert_eq!(line_after(HTTPS, part), "", "{} bytes", part.len());
        // The inspection ends after 5 s.
        assert!(
            began.elapsed() < Duration::from_secs(15),
            "{:?}",
            began.elapsed()
        );
    }
}

#[test]
#[ignore = "needs root, haproxy and network namespaces"]
fn the_visitors_address_arrives_over_both_versions_of_ip_and_cannot_be_forged() {
    let tenants_host = TestHost::start(2);
    two_tenants(&tenants_host);
    assert!(line_after("[::1]:443", &plain("t-63001.example.test")).starts_with("tenant 0 ::1 "));
    assert!(line_after(HTTPS, &plain("t-63001.example.test")).starts_with("tenant 0 127.0.0.1 "));
    // A header of the visitor's own is no hello.
    let mut forged =
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x01\x02\x03\x04\x05\x06\x07\x08\0\x01\0\x02".to_vec();
    forged.extend(plain("t-63001.example.test"));
    assert_eq!(line_after(HTTPS, &forged), "");
}

#[test]
#[ignore = "needs root, haproxy and network namespaces"]
fn plain_http_goes_by_the_host_of_each_request() {
    let tenants_host = TestHost::start(2);
    two_tenants(&tenants_host);
    let mut stream = visit(HTTP);
    for (host, answer) in [
        ("t-63001.example.test", "tenant 0 127.0.0.1"),
        ("N8N.t-63002.example.test:80", "tenant 1 127.0.0.1"),
        ("n8n.t-63001.example.test.", "tenant 0 127.0.0.1"),
        ("nobody.example.test", "no such site"),
        ("a.b.t-63001.example.test", "no such site"),
    ] {
        let request = format!("GET /.well-known/acme-challenge/x HTTP/1.1\r\nHost: {host}\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let text = answer_of(&mut stream);
        assert!(text.contains(answer), "{host}: {text}");
    }
    drop(stream);
    let mut stream = visit(HTTP);
    let request = websocket_request("n8n.t-63001.example.test");
    stream.write_all(request.as_bytes()).unwrap();
    let answer = answer_of(&mut stream);
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    stream.write_all(b"ping").unwrap();
    let mut back = [0; 4];
    stream.read_exact(&mut back).unwrap();
    assert_eq!(&back, b"ping");
}

#[test]
#[ignore = "needs root, haproxy and network namespaces"]
fn a_tenant_that_is_down_is_an_error_and_nobody_else_answers_for_it() {
    let tenants_host = TestHost::start(2);
    // Only the second one is there, and somebody listens on everything that an ordinary user can.
    crate::test_host::proxy(
        &tenants_host,
        1,
        aistack_policy::ingress::PROXY_HTTPS_PORT,
        crate::test_host::echo,
    );
    let squatters: Vec<_> = [9080, 9443, 8443]
        .iter()
        .map(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).unwrap())
        .collect();
    assert_eq!(line_after(HTTPS, &plain("t-63001.example.test")), "");
    let mut stream = visit(HTTP);
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: t-63001.example.test\r\n\r\n")
        .unwrap();
    assert!(answer_of(&mut stream).starts_with("HTTP/1.1 503 "));
    for squatter in &squatters {
        squatter.set_nonblocking(true).unwrap();
        assert!(squatter.accept().is_err(), "somebody else got it");
    }
    assert!(line_after(HTTPS, &plain("t-63002.example.test")).starts_with("tenant 1 "));
}

#[test]
#[ignore = "needs root, haproxy and network namespaces"]
fn a_gibibyte_goes_through_both_ways() {
    let tenants_host = TestHost::start(2);
    two_tenants(&tenants_host);
    let mut stream = visit(HTTPS);
    stream.write_all(&plain("t-63001.example.test")).unwrap();
    assert!(line_of(&stream).starts_with("tenant 0 "));
    let mut sender = stream.try_clone().unwrap();
    std::thread::spawn(move || {
        let block = vec![0xa5; 1 << 20];
        for _ in 0..1024 {
            sender.write_all(&block).unwrap();
        }
    });
    let mut block = vec![0; 1 << 20];
    for _ in 0..1024 {
        stream.read_exact(&mut block).unwrap();
        assert!(block.iter().all(|byte| *byte == 0xa5));
    }
}
