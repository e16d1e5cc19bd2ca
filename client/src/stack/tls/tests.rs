use std::net::Ipv4Addr;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::*;
use crate::desired::OWN_ROOT;

/// A certificate authority of a test.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// Its root as a PEM file.
    pub(crate) fn write_root(&self, path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, self.0.pem()).unwrap();
    }

    /// A server with a certificate for `host`, valid in those years.
    pub(crate) fn server(&self, host: &str, years: std::ops::Range<i32>) -> TlsAcceptor {
        let mut params = CertificateParams::new([host.to_owned()]).unwrap();
        params.not_before = date_time_ymd(years.start, 1, 1);
        params.not_after = date_time_ymd(years.end, 1, 1);
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// What the handshake with a server comes to.
async fn shake(trust: &Trust, server: TlsAcceptor, host: &str) -> Handshake {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let at = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        drop(server.accept(stream).await);
    });
    let stream = TcpStream::connect(at).await.unwrap();
    let handshake = trust.handshake(stream, host).await;
    serving.await.unwrap();
    handshake
}

const HOST: &str = "n8n.example.test";

fn own_root_in(dir: &tempfile::TempDir) -> PathBuf {
    dir.path().join(OWN_ROOT)
}

#[tokio::test]
async fn a_certificate_of_the_own_authority_is_right_and_reported() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new("mine");
    authority.write_root(&own_root_in(&dir));
    let trust = Trust::open(Some(&own_root_in(&dir)));
    let handshake = shake(&trust, authority.server(HOST, 2020..2100), HOST).await;
    handshake.stream.unwrap();
    let served = handshake.served.unwrap();
    assert_eq!(served.root, Some(Root::Own));
    assert!(served.issuer.contains("CN=mine"), "{}", served.issuer);
    assert_eq!(served.not_after.to_string(), "2100-01-01T00:00:00Z");
    assert!(served.days_left > 20_000);
}

#[tokio::test]
async fn everything_that_can_be_wrong_with_a_certificate_is_found_and_shown() {
    let dir = tempfile::tempdir().unwrap();
    let mine = Authority::new("mine");
    let other = Authority::new("other");
    mine.write_root(&own_root_in(&dir));
    let trust = Trust::open(Some(&own_root_in(&dir)));
    for (server, problem) in [
        (
            other.server(HOST, 2020..2100),
            "not the proxy's own authority",
        ),
        (
            mine.server(HOST, 2020..2021),
            "expired at 2021-01-01T00:00:00Z",
        ),
        (
            mine.server(HOST, 2090..2100),
            "is not valid yet before 2090",
        ),
        (
            mine.server("grafana.example.test", 2020..2100),
            "the certificate is for grafana.example.test, not for",
        ),
    ] {
        let handshake = shake(&trust, server, HOST).await;
        let why = handshake.stream.unwrap_err();
        assert!(why.contains(problem) && why.contains(HOST), "{why}");
        assert_eq!(handshake.served.unwrap().root, None);
    }
}

#[tokio::test]
async fn the_own_authority_counts_only_where_the_sites_use_it() {
    let dir = tempfile::tempdir().unwrap();
    let mine = Authority::new("mine");
    mine.write_root(&own_root_in(&dir));
    let handshake = shake(&Trust::open(None), mine.server(HOST, 2020..2100), HOST).await;
    let why = handshake.stream.unwrap_err();
    assert!(why.contains("issued by") && why.contains("trust"), "{why}");
    let nowhere = dir.path().join("nothing.crt");
    let trust = Trust::open(Some(&nowhere));
    let handshake = shake(&trust, mine.server(HOST, 2020..2100), HOST).await;
    let why = handshake.stream.unwrap_err();
    assert!(why.contains("nothing.crt: No such file"), "{why}");
}

#[test]
fn names_and_serials_are_shown_as_elsewhere() {
    assert_eq!(plain("DnsName(\"a.test\")"), "a.test");
    assert_eq!(plain("b.test"), "b.test");
    assert_eq!(serial("00:F3:D0"), "F3:D0");
    assert_eq!(serial("4A:CC"), "4A:CC");
}

#[tokio::test]
async fn a_port_that_speaks_no_tls_is_no_site() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let at = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        let (mut stream, _) = listener.accept().await.unwrap();
        drop(stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await);
    });
    let stream = TcpStream::connect(at).await.unwrap();
    let handshake = Trust::open(None).handshake(stream, HOST).await;
    let why = handshake.stream.unwrap_err();
    assert!(why.starts_with("TLS with n8n.example.test:"), "{why}");
    assert_eq!(handshake.served, None);
    serving.await.unwrap();
}
