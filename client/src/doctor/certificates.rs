//! Certificates in the tenant's directories, and how long they hold.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use x509_cert::Certificate;
use x509_cert::der::DecodePem;

use super::Finding;

/// The tenant's own are reported this long before they end.
const SOON: Duration = Duration::from_hours(14 * 24);
/// A certificate file larger than this is none, bytes.
const MAX_FILE: u64 = 256 * 1024;
/// Directories below the first that are looked into.
const MAX_DEPTH: usize = 6;
/// Files that are looked at, at most.
const MAX_FILES: usize = 200;

/// Who renews a certificate.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Renewal {
    /// The tenant, manually.
    Tenant,
    /// Caddy; its own authority's are short-lived, so only one that has ended says anything.
    Caddy,
}

/// What is to be said about every certificate that can be read; nothing when there is none.
pub(super) fn all(base_dir: &Path) -> Vec<Finding> {
    let now = SystemTime::now();
    let mut findings = Vec::new();
    let mut count = 0;
    for (tree, renewal) in [
        ("ssl/certs", Renewal::Tenant),
        ("data/caddy", Renewal::Caddy),
    ] {
        for path in files(&base_dir.join(tree)) {
            let Some(certificate) = read(&path) else {
                continue;
            };
            count += 1;
            let end = certificate.tbs_certificate().validity().not_after;
            findings.extend(judge(&path, renewal, end.to_system_time(), now));
        }
    }
    if count > 0 && findings.is_empty() {
        let found = format!("{count} certificates, none about to end");
        findings.push(Finding::ok("certificates", found));
    }
    findings
}

fn judge(path: &Path, renewal: Renewal, end: SystemTime, now: SystemTime) -> Option<Finding> {
    let shown = path.display();
    let Ok(left) = end.duration_since(now) else {
        let next = match renewal {
            Renewal::Tenant => "replace it, then run aistack restart caddy",
            Renewal::Caddy => "aistack logs -n 50 caddy shows why it was not renewed",
        };
        return Some(
            Finding::problem("certificates", format!("{shown} has expired"))
                .means("browsers reject its site")
                .next(next),
        );
    };
    if renewal == Renewal::Caddy || left > SOON {
        return None;
    }
    let days = left.as_secs() / (24 * 60 * 60);
    Some(
        Finding::warning("certificates", format!("{shown} ends in {days} days"))
            .next("replace it, then run aistack restart caddy"),
    )
}

/// Certificate files below a directory; links are not followed.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![(directory.to_owned(), 0)];
    while let Some((directory, depth)) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&directory) else {
            continue;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            if kind.is_dir() && depth < MAX_DEPTH {
                open.push((path, depth + 1));
            } else if kind.is_file() && is_certificate(&path) {
                found.push(path);
            }
            if found.len() >= MAX_FILES {
                return found;
            }
        }
    }
    found.sort();
    found
}

fn is_certificate(path: &Path) -> bool {
    let extension = path.extension().and_then(std::ffi::OsStr::to_str);
    matches!(extension, Some("crt" | "pem" | "cer"))
}

/// The first certificate in a file: that of the host itself, where it is a chain.
fn read(path: &Path) -> Option<Certificate> {
    const END: &str = "-----END CERTIFICATE-----";
    let mut text = String::new();
    let file = File::open(path).ok()?;
    file.take(MAX_FILE).read_to_string(&mut text).ok()?;
    let begin = text.find("-----BEGIN CERTIFICATE-----")?;
    let rest = text.get(begin..)?;
    let end = rest.find(END)? + END.len();
    Certificate::from_pem(rest.get(..end)?).ok()
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    /// Made with openssl(1) for this test; it ends at [`END`].
    const PEM: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIIBbzCCARagAwIBAgIBATAKBggqhkjOPQQDAjAXMRUwEwYDVQQDDAxleGFtcGxl\n\
LnRlc3QwHhcNMjYxMTI1MjA0MDU0WhcNMzYxMTIyMjA0MDU0WjAXMRUwEwYDVQQD\n\
DAxleGFtcGxlLnRlc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQiDzmaAQqU\n\
9vTru0UAZOGLo3SarPKVeqH/mCM935AZZW7ZvcgPLlOCD/ddQPGaqmd2hndioYDI\n\
OaIwsrJBZ+iNo1MwUTAdBgNVHQ4EFgQURFebsM7P+5stFUigR1moEav2ja4wHwYD\n\
VR0jBBgwFoAURFebsM7P+5stFUigR1moEav2ja4wDwYDVR0TAQH/BAUwAwEB/zAK\n\
BggqhkjOPQQDAgNHADBEAiBnRKI1G3UdQHBImloz1npekGppmXLcyXKiUIAxKMWm\n\
fAIgOeb4RRcEuSSl1kLqWZq6YoogoUDHAHU+mYobWgQagAs=\n\
-----END CERTIFICATE-----\n\
";
    /// Unix time, seconds.
    const END: u64 = 2_110_999_254;

    #[test]
    fn the_end_is_read_from_the_first_certificate_of_a_chain() {
        let dir = tempfile::tempdir().unwrap();
        let certs = dir.path().join("ssl/certs");
        std::fs::create_dir_all(&certs).unwrap();
        std::fs::write(certs.join("chain.pem"), format!("# mine\n{PEM}{PEM}")).unwrap();
        std::fs::write(certs.join("key.pem"), "-----BEGIN PRIVATE KEY-----\n").unwrap();
        std::fs::write(certs.join("invalid.crt"), PEM.replace("MII", "QQQ")).unwrap();
        std::os::unix::fs::symlink(certs.join("chain.pem"), certs.join("link.pem")).unwrap();
        let certificate = read(&certs.join("chain.pem")).unwrap();
        let end = certificate.tbs_certificate().validity().not_after;
        let end = end.to_system_time().duration_since(SystemTime::UNIX_EPOCH);
        assert_eq!(end.unwrap().as_secs(), END);
        let findings = all(dir.path());
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].found, "1 certificates, none about to end");
    }

    #[test]
    fn the_tenants_own_are_reported_early_and_caddys_only_when_they_ended() {
        let path = Path::new("x.crt");
        let now = SystemTime::UNIX_EPOCH + Duration::from_hours(1000);
        let level = |renewal, end| judge(path, renewal, end, now).map(|found| found.level);
        let hour = Duration::from_hours(1);
        for (end, tenant, caddy) in [
            (now - hour, Some(Level::Error), Some(Level::Error)),
            (now + hour, Some(Level::Warning), None),
            (now + SOON + hour, None, None),
        ] {
            assert_eq!(level(Renewal::Tenant, end), tenant);
            assert_eq!(level(Renewal::Caddy, end), caddy);
        }
        assert!(all(Path::new("/nonexistent")).is_empty());
    }
}
