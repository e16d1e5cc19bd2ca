//! TLS as the users of a site meet it: who is trusted, what is served, and what is wrong with it.

pub mod renew;
pub mod sites;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use serde::Serialize;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore,
    SignatureScheme,
};
use x509_cert::Certificate;
use x509_cert::der::Decode;

use crate::ui;

/// A day, seconds.
const DAY: i64 = 24 * 60 * 60;

/// Whose certificates are believed: this host's trusted roots, and where the sites are configured to use
/// it the proxy's own authority.
#[derive(Debug)]
pub struct Trust {
    provider: Arc<CryptoProvider>,
    own: Option<Own>,
    public: Option<Arc<WebPkiServerVerifier>>,
}

#[derive(Debug)]
struct Own {
    path: PathBuf,
    verifier: Result<Arc<WebPkiServerVerifier>, String>,
}

/// Which root a chain ends at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Root {
    /// That of the tenant's proxy.
    Own,
    /// One that this host trusts.
    Public,
}

/// The certificate that a site serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Served {
    /// Who issued it.
    pub issuer: String,
    /// Serial number, hexadecimal.
    pub serial: String,
    /// First moment that it holds.
    pub not_before: Timestamp,
    /// Last moment that it holds.
    pub not_after: Timestamp,
    /// Whole days that are left; negative when it has ended.
    pub days_left: i64,
    /// The root that its chain ends at; none when the chain does not verify.
    pub root: Option<Root>,
}

impl Served {
    /// For people: `issued by X, 12 days left`.
    #[must_use]
    pub fn describe(&self) -> String {
        format!("issued by {}, {}", self.issuer, self.left())
    }

    /// How long it still holds, for people.
    #[must_use]
    pub fn left(&self) -> String {
        let left = self.not_after.as_second() - Timestamp::now().as_second();
        match u64::try_from(left) {
            Ok(left) => format!("{} left", ui::ago(Duration::from_secs(left))),
            Err(_) => format!("ended {}", self.not_after),
        }
    }

    fn read(der: &[u8], root: Option<Root>) -> Option<Self> {
        let certificate = Certificate::from_der(der).ok()?;
        let certificate = certificate.tbs_certificate();
        let validity = certificate.validity();
        let at = |moment: SystemTime| Timestamp::try_from(moment).ok();
        let not_after = at(validity.not_after.to_system_time())?;
        Some(Self {
            issuer: ui::clean(&certificate.issuer().to_string()),
            serial: serial(&certificate.serial_number().to_string()),
            not_before: at(validity.not_before.to_system_time())?,
            not_after,
            days_left: (not_after.as_second() - Timestamp::now().as_second()).div_euclid(DAY),
            root,
        })
    }
}

/// A name without the kind that rustls writes around it, as in `DnsName("a.example.com")`.
fn plain(name: &str) -> String {
    let inner = name
        .split_once('(')
        .and_then(|(_, rest)| rest.strip_suffix(')'));
    ui::clean(inner.unwrap_or(name).trim_matches('"'))
}

/// Without the zero that DER puts before a high first bit, as other programs show it.
fn serial(text: &str) -> String {
    let text = match text.strip_prefix("00:") {
        Some(rest) if !rest.is_empty() => rest,
        _ => text,
    };
    text.to_owned()
}

/// What came of asking a site for its certificate.
#[derive(Debug)]
pub struct Handshake {
    /// The certificate that it showed, also where it is not right.
    pub served: Option<Served>,
    /// The connection, or why there is none.
    pub stream: Result<TlsStream<TcpStream>, String>,
}

impl Trust {
    /// This host's roots, and the authority whose root is at `own`.
    #[must_use]
    pub fn open(own: Option<&Path>) -> Self {
        let provider = Arc::new(ring::default_provider());
        let public = rustls_native_certs::load_native_certs().certs;
        Self {
            own: own.map(|path| Own {
                path: path.to_owned(),
                verifier: own_root(path).and_then(|root| {
                    verifier(&provider, [root])
                        .ok_or_else(|| format!("{} has no root certificate", path.display()))
                }),
            }),
            public: verifier(&provider, public),
            provider,
        }
    }

    /// Takes up TLS with `host` on a connection to its proxy.
    pub async fn handshake(&self, stream: TcpStream, host: &str) -> Handshake {
        let failed = |why: String| Handshake {
            served: None,
            stream: Err(why),
        };
        let Ok(name) = ServerName::try_from(host.to_owned()) else {
            return failed(format!("{host} is not a host name"));
        };
        let verifier = Arc::new(RecordingVerifier {
            own: self.own.as_ref().and_then(|own| own.verifier.clone().ok()),
            public: self.public.clone(),
            provider: Arc::clone(&self.provider),
            seen: Mutex::new(None),
        });
        // This verifier decides nothing itself: it passes on to those of the trusted roots, and keeps what
        // was shown so that it can be reported.
        let config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .map(|builder| {
                let mut config = builder
                    .dangerous()
                    .with_custom_certificate_verifier(Arc::<RecordingVerifier>::clone(&verifier))
                    .with_no_client_auth();
                config.alpn_protocols = vec![b"http/1.1".to_vec()];
                config
            });
        let config = match config {
            Ok(config) => config,
            Err(error) => return failed(error.to_string()),
        };
        let connected = TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await;
        let seen = verifier.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let served = seen
            .as_ref()
            .and_then(|seen| Served::read(&seen.der, seen.root));
        Handshake {
            stream: connected.map_err(|error| self.why(host, &error, served.as_ref())),
            served,
        }
    }

    /// Why there is no connection, for people.
    fn why(&self, host: &str, error: &std::io::Error, served: Option<&Served>) -> String {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
        let Some(inner) = inner else {
            return format!("TLS with {host}: {error}");
        };
        match inner {
            Error::AlertReceived(AlertDescription::InternalError) => {
                format!("the proxy has no certificate for {host}")
            }
            Error::InvalidCertificate(wrong) => self.what_is_wrong(host, wrong, served),
            other => format!("TLS with {host}: {other}"),
        }
    }

    fn what_is_wrong(
        &self,
        host: &str,
        wrong: &CertificateError,
        served: Option<&Served>,
    ) -> String {
        match wrong {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                let end = served.map(|served| format!(" at {}", served.not_after));
                format!(
                    "the certificate of {host} has expired{}",
                    end.unwrap_or_default()
                )
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                let start = served.map(|served| format!(" before {}", served.not_before));
                format!(
                    "the certificate of {host} is not valid yet{}; check this host's clock",
                    start.unwrap_or_default()
                )
            }
            CertificateError::NotValidForName => {
                format!("the certificate is not for {host}")
            }
            CertificateError::NotValidForNameContext { presented, .. } => {
                let names: Vec<String> = presented.iter().map(|name| plain(name)).collect();
                let names = names.join(", ");
                format!("the certificate is for {names}, not for {host}")
            }
            // The authorities of two proxies have the same name, so that one of another tenant's
            // looks like ours with a signature that does not hold.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                self.unknown_issuer(host, served)
            }
            other => format!("the certificate of {host}: {other}"),
        }
    }

    fn unknown_issuer(&self, host: &str, served: Option<&Served>) -> String {
        let issuer = served.map_or("somebody", |served| served.issuer.as_str());
        let shown = format!("the certificate of {host} was issued by {issuer}");
        match &self.own {
            Some(own) => match &own.verifier {
                Ok(_) => format!(
                    "{shown}, which is not the proxy's own authority ({})",
                    own.path.display()
                ),
                Err(why) => format!("{shown}; the proxy's own authority is not known: {why}"),
            },
            None if self.public.is_none() => {
                format!("{shown}, and this host trusts nobody: install ca-certificates")
            }
            None => format!("{shown}, whom this host does not trust, and browsers may not either"),
        }
    }
}

/// The root certificate of the proxy's own authority.
///
/// # Errors
/// Why it cannot be read, for people.
pub fn own_root(path: &Path) -> Result<CertificateDer<'static>, String> {
    let text = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    CertificateDer::from_pem_slice(&text)
        .map_err(|_| format!("{} is no PEM certificate", path.display()))
}

fn verifier(
    provider: &Arc<CryptoProvider>,
    roots: impl IntoIterator<Item = CertificateDer<'static>>,
) -> Option<Arc<WebPkiServerVerifier>> {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(roots);
    WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(provider))
        .build()
        .ok()
}

/// Passes every decision on, and keeps the certificate that was shown.
#[derive(Debug)]
struct RecordingVerifier {
    own: Option<Arc<WebPkiServerVerifier>>,
    public: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
    seen: Mutex<Option<Seen>>,
}

#[derive(Debug)]
struct Seen {
    der: Vec<u8>,
    root: Option<Root>,
}

impl ServerCertVerifier for RecordingVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut refusal = Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let mut root = None;
        for (which, verifier) in [(Root::Own, &self.own), (Root::Public, &self.public)] {
            let Some(verifier) = verifier else {
                continue;
            };
            let verdict = verifier.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            );
            match verdict {
                Ok(_) => {
                    root = Some(which);
                    break;
                }
                // What else is wrong tells more than that another root is not the right one.
                Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {}
                Err(error) => refusal = error,
            }
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = Some(Seen {
            der: end_entity.to_vec(),
            root,
        });
        root.map(|_| ServerCertVerified::assertion()).ok_or(refusal)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        tokio_rustls::rustls::crypto::verify_tls12_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        tokio_rustls::rustls::crypto::verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
pub(crate) mod tests;
