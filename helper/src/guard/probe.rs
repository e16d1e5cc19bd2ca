//! Asking the kernel, without any privilege, whether the guard is in force now.
//!
//! Only who has CAP_NET_ADMIN may list rules, and a file that says "in force" is wrong after somebody's
//! `nft flush ruleset`. So the table drops datagrams to one loopback address, its canary, and sending
//! one fails with EPERM at once (nf_hook_slow: a drop in the output hook is the sender's error). The
//! canary is derived from the policy, so that the table of another policy does not answer. A second
//! datagram beside it must pass, or else something else refuses both. Nobody else can answer for the
//! table: who listens there only makes the datagram arrive.

use std::io;
use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;

use aistack_policy::guard::Canary;

/// What the kernel answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The table of this policy is in force.
    InForce,
    /// It is not.
    NotInForce,
    /// This daemon has no socket to ask by, or something else refuses what it sends.
    Unknown,
}

/// A UDP socket in the host's network namespace. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Probe(Option<Arc<UdpSocket>>);

impl Probe {
    /// A socket of its own. Open it before the sandbox is entered.
    #[must_use]
    pub fn open() -> Self {
        // A unit that lets its daemon have Unix sockets only passes one.
        Self::from_socket(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).ok())
    }

    /// The socket that systemd passed, which is the host's although the daemon has a network namespace
    /// of its own; this one where it passed none.
    #[must_use]
    pub fn or_passed(self, passed: Option<UdpSocket>) -> Self {
        passed.map_or(self, |socket| Self::from_socket(Some(socket)))
    }

    fn from_socket(socket: Option<UdpSocket>) -> Self {
        let socket = socket.filter(|socket| socket.set_nonblocking(true).is_ok());
        Self(socket.map(Arc::new))
    }

    /// Whether the table that this canary stands for is in force; without a canary none is.
    #[must_use]
    pub fn ask(&self, canary: Option<Canary>) -> Answer {
        let (Some(socket), Some(canary)) = (&self.0, canary) else {
            return if canary.is_none() {
                Answer::NotInForce
            } else {
                Answer::Unknown
            };
        };
        let send = |to: (Ipv4Addr, u16)| socket.send_to(&[], to);
        let refused = |sent: &io::Result<usize>| {
            let error = sent.as_ref().err().and_then(io::Error::raw_os_error);
            error == Some(libc::EPERM)
        };
        match (send(canary.dropped()), send(canary.control())) {
            (dropped, Ok(_)) if refused(&dropped) => Answer::InForce,
            (Ok(_), _) => Answer::NotInForce,
            _ => Answer::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_table_or_a_socket_nothing_is_said_to_be_in_force() {
        let canary = Some(Canary::of([1, 2, 3, 4]));
        assert_eq!(Probe::default().ask(canary), Answer::Unknown);
        assert_eq!(Probe::open().ask(None), Answer::NotInForce);
        assert_ne!(Probe::open().ask(canary), Answer::InForce);
    }
}
