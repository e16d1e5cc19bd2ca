use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::desired::OWN_ROOT;
use crate::stack::tls::tests::Authority;

const HOST: &str = "n8n.example.test";
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Another address of this host, at which nothing of a test listens unless it says so.
const ALSO_HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// Takes connections one after the other, with a TLS handshake and nothing more.
async fn tls_server(at: SocketAddr, server: TlsAcceptor) -> u16 {
    let listener = TcpListener::bind(at).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            drop(server.accept(stream).await);
        }
    });
    port
}

/// Answers each connection with these bytes.
async fn http_server(answer: &'static str) -> u16 {
    let listener = TcpListener::bind((HERE, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    port
}

const REDIRECT: &str = "HTTP/1.1 308 Permanent Redirect\r\nLocation: https://n8n.example.test/\r\nContent-Length: 0\r\n\r\n";

/// A port where nothing listens.
async fn closed() -> u16 {
    let listener = TcpListener::bind((HERE, 0)).await.unwrap();
    listener.local_addr().unwrap().port()
}

/// A front door and a tenant's proxy behind it, which show the same certificate.
struct Host {
    _dir: tempfile::TempDir,
    trust: Trust,
    door: FrontDoor,
    name: PublicName,
}

impl Host {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::new("mine");
        let root = dir.path().join(OWN_ROOT);
        authority.write_root(&root);
        let server = authority.server(HOST, 2020..2100);
        let any = SocketAddr::new(HERE, 0);
        Self {
            door: FrontDoor {
                http_port: http_server(REDIRECT).await,
                https_port: tls_server(any, server.clone()).await,
                names: Vec::new(),
            },
            name: PublicName {
                service: "n8n".to_owned(),
                host: HOST.to_owned(),
                published: tls_server(any, server).await,
            },
            trust: Trust::open(Some(&root)),
            _dir: dir,
        }
    }

    /// What is in the way, and what to do; nothing where visitors get through.
    async fn obstacle(&self, addresses: &[IpAddr]) -> Option<(String, String)> {
        let reach = reach_at(&self.trust, &self.door, &self.name, addresses.to_vec()).await;
        assert_eq!(reach.addresses, addresses);
        reach.problem.zip(reach.next)
    }
}

fn assert_reports(found: Option<(String, String)>, problem: &str, next: &str) {
    let found = found.unwrap();
    assert!(found.0.contains(problem), "{found:?}");
    assert!(found.1.contains(next), "{found:?}");
}

#[tokio::test]
async fn a_name_that_leads_to_the_own_proxy_is_right() {
    let host = Host::start().await;
    assert_eq!(host.obstacle(&[HERE]).await, None);
}

#[tokio::test]
async fn a_name_without_an_address_is_reported() {
    let mut host = Host::start().await;
    assert_reports(
        host.obstacle(&[]).await,
        "the name does not resolve",
        "for *.example.test that points to this host",
    );
    // The same by the resolver: RFC 6761 lets nobody have this name.
    host.name.host = "n8n.nobody.invalid".to_owned();
    let reach = reach(&host.trust, &host.door, &host.name).await;
    assert_eq!(reach.addresses, Vec::<IpAddr>::new());
    assert!(reach.next.unwrap().contains("*.nobody.invalid"));
}

#[tokio::test]
async fn a_front_door_that_does_not_run_is_reported() {
    let mut host = Host::start().await;
    host.door.https_port = closed().await;
    assert_reports(
        host.obstacle(&[HERE]).await,
        "the front door of this host does not listen on 127.0.0.1:",
        "systemctl status aistack-ingress.service",
    );
}

#[tokio::test]
async fn a_closed_port_for_plain_http_is_reported() {
    let mut host = Host::start().await;
    host.door.http_port = closed().await;
    assert_reports(
        host.obstacle(&[HERE]).await,
        "the port for plain HTTP is closed: 127.0.0.1:",
        "let visitors through",
    );
}

#[tokio::test]
async fn another_server_on_the_port_is_reported_with_its_certificate() {
    let mut host = Host::start().await;
    let other = Authority::new("other").server(HOST, 2020..2100);
    host.door.https_port = tls_server(SocketAddr::new(HERE, 0), other).await;
    assert_reports(
        host.obstacle(&[HERE]).await,
        "where the front door should be: its certificate is issued by CN=other",
        "what else listens on that port",
    );
    // One that speaks no TLS.
    host.door.https_port =
        http_server("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
    assert_reports(
        host.obstacle(&[HERE]).await,
        "takes the connection and shows no certificate",
        "aistack-helper ingress status",
    );
}

#[tokio::test]
async fn plain_http_that_is_not_redirected_is_reported() {
    let mut host = Host::start().await;
    host.door.http_port = http_server("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    assert_reports(
        host.obstacle(&[HERE]).await,
        "answers plain HTTP with status 200 and not with a redirect",
        "aistack deploy",
    );
}

#[tokio::test]
async fn a_proxy_without_a_certificate_is_reported_as_the_own_one() {
    let mut host = Host::start().await;
    host.name.published = closed().await;
    assert_reports(
        host.obstacle(&[HERE]).await,
        "your own proxy shows no certificate",
        "aistack tls status",
    );
}

#[tokio::test]
async fn one_wrong_address_beside_a_right_one_is_reported_with_its_record() {
    let host = Host::start().await;
    // Nothing listens there, and where there is no IPv6 there is no such address.
    assert_reports(
        host.obstacle(&[HERE, "::1".parse().unwrap()]).await,
        "127.0.0.1 leads to your proxy, but ",
        "correct or remove the AAAA record",
    );
    assert_reports(
        host.obstacle(&[ALSO_HERE, HERE]).await,
        "127.0.0.1 leads to your proxy, but the front door of this host does not listen on 127.0.0.2:",
        "correct or remove the A record",
    );
}

#[test]
fn a_name_that_leads_to_another_host_is_reported_as_such() {
    for (at, record) in [("192.0.2.7:443", "A"), ("[2001:db8::7]:443", "AAAA")] {
        let at: SocketAddr = at.parse().unwrap();
        let closed = Obstacle::Closed {
            at,
            port: Port::Https,
            here: false,
            why: "Connection refused".to_owned(),
        };
        let another = Obstacle::AnotherServer {
            at,
            here: false,
            shows: "issued by CN=other, 12 days left".to_owned(),
        };
        let closed = closed.tell(HOST, &[]);
        assert!(closed.0.contains("which is no address of this host"));
        let another = another.tell(HOST, &[]);
        assert!(another.0.starts_with("another server answers at "));
        for (_, next) in [closed, another] {
            let expected = format!("point the {record} record of {HOST} to this host");
            assert!(next.starts_with(&expected), "{next}");
        }
    }
    // TEST-NET-1 is nobody's (RFC 5737).
    assert!(!is_here("192.0.2.7".parse().unwrap()));
    assert!(is_here(HERE));
}
