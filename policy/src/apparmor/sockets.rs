//! Network rules: the sockets that a tenant's container may have.

use super::refusal::{Code, LineError, reject};

/// Everything that a service may have: what `network,` stands for. Netlink is what getaddrinfo(3)
/// and getifaddrs(3) ask with.
pub(super) const SERVICE_SOCKETS: [&str; 7] = [
    "inet stream",
    "inet dgram",
    "inet6 stream",
    "inet6 dgram",
    "unix",
    "netlink raw",
    "netlink dgram",
];

/// Each form of the rule, as the words after `network`, with the sockets that it stands for. A
/// family without a type stands for the types that services use, so that raw, packet and seldom used
/// ones are never among them.
const FORMS: [(&str, &[&str]); 14] = [
    ("", &SERVICE_SOCKETS),
    ("inet", &["inet stream", "inet dgram"]),
    ("inet stream", &["inet stream"]),
    ("inet dgram", &["inet dgram"]),
    ("inet6", &["inet6 stream", "inet6 dgram"]),
    ("inet6 stream", &["inet6 stream"]),
    ("inet6 dgram", &["inet6 dgram"]),
    ("unix", &["unix"]),
    ("unix stream", &["unix stream"]),
    ("unix dgram", &["unix dgram"]),
    ("unix seqpacket", &["unix seqpacket"]),
    ("netlink", &["netlink raw", "netlink dgram"]),
    ("netlink raw", &["netlink raw"]),
    ("netlink dgram", &["netlink dgram"]),
];

/// One network rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sockets {
    /// The words after `network`, separated by one space; empty for all of [`SERVICE_SOCKETS`].
    pub(super) form: &'static str,
    /// What is written for it, each `FAMILY [TYPE]`.
    pub(super) sockets: &'static [&'static str],
}

impl Sockets {
    /// From the words after `network`.
    pub(super) fn parse<'w>(words: impl Iterator<Item = &'w str>) -> Result<Self, LineError> {
        let wanted: Vec<&str> = words.collect();
        let found = FORMS.iter().find(|(form, _)| {
            form.split(' ')
                .filter(|word| !word.is_empty())
                .eq(wanted.iter().copied())
        });
        match found {
            Some((form, sockets)) => Ok(Self { form, sockets }),
            None => reject(
                Code::Net,
                "network is inet or inet6 (stream, dgram), unix (stream, dgram, seqpacket) or netlink (raw, dgram)",
            ),
        }
    }
}
