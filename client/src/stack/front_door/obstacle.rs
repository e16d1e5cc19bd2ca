//! What can be in the way of visitors, each in a sentence of its own with what to do about it.

use std::net::{IpAddr, SocketAddr};

/// Which of the front door's ports it is, whatever its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Port {
    Http,
    Https,
}

/// What is in the way at one address of a name, or at the name itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// There is no address.
    Unresolved,
    /// Nothing takes the connection. `here` says that the address is this host's own.
    Closed {
        at: SocketAddr,
        port: Port,
        here: bool,
        why: String,
    },
    /// TLS is answered with somebody else's certificate.
    AnotherServer {
        at: SocketAddr,
        here: bool,
        shows: String,
    },
    /// Something takes the connection and shows no certificate.
    NoCertificate { at: SocketAddr, why: String },
    /// The tenant's own proxy has none to compare with.
    OwnProxy,
    /// Plain HTTP is answered, but not with a redirect.
    NoRedirect { at: SocketAddr, answer: String },
}

impl Obstacle {
    /// What is wrong, and what to do; `right` are the addresses of the same name that lead to the proxy.
    pub(super) fn tell(&self, host: &str, right: &[IpAddr]) -> (String, String) {
        let (found, next) = (self.description(), self.next(host));
        let Some(at) = self.at().filter(|_| !right.is_empty()) else {
            return (found, next);
        };
        let right: Vec<String> = right.iter().map(ToString::to_string).collect();
        let right = right.join(", ");
        (
            format!("{right} leads to your proxy, but {found}"),
            format!("correct or remove the {} record; or {next}", record(at)),
        )
    }

    fn description(&self) -> String {
        match self {
            Self::Unresolved => "the name does not resolve".to_owned(),
            Self::Closed {
                at,
                port: Port::Https,
                here: true,
                why,
            } => format!("the front door of this host does not listen on {at} ({why})"),
            Self::Closed {
                at,
                port: Port::Https,
                here: false,
                why,
            } => format!("{at}, which is no address of this host, cannot be connected to ({why})"),
            Self::Closed {
                at,
                port: Port::Http,
                why,
                ..
            } => format!(
                "the port for plain HTTP is closed: {at} ({why}), while the one for https is open"
            ),
            Self::AnotherServer {
                at,
                here: true,
                shows,
            } => format!(
                "another server of this host has {at}, where the front door should be: its certificate is {shows}"
            ),
            Self::AnotherServer {
                at,
                here: false,
                shows,
            } => format!("another server answers at {at}: its certificate is {shows}"),
            Self::NoCertificate { at, why } => {
                format!("{at} takes the connection and shows no certificate ({why})")
            }
            Self::OwnProxy => "your own proxy shows no certificate".to_owned(),
            Self::NoRedirect { at, answer } => {
                format!("{at} answers plain HTTP with {answer} and not with a redirect to https")
            }
        }
    }

    fn next(&self, host: &str) -> String {
        match self {
            Self::Unresolved => {
                let domain = host.split_once('.').map_or("", |(_, domain)| domain);
                format!(
                    "create an A record, and an AAAA record where the host has IPv6, for *.{domain} that points to \
                     this host"
                )
            }
            Self::Closed {
                port: Port::Https,
                here: true,
                ..
            } => "ask the administrator to start it (systemctl status aistack-ingress.service), or to add the \
                  address to ingress.addresses of the policy"
                .to_owned(),
            Self::Closed {
                port: Port::Https,
                here: false,
                at,
                ..
            } => format!(
                "point the {} record of {host} to this host; if that is a router in front of it, let it and every \
                 firewall pass ports 80 and 443 on",
                record(at.ip())
            ),
            Self::Closed {
                port: Port::Http, ..
            } => "ask the administrator to let visitors through to it: plain HTTP is redirected there, and \
                  certificates are obtained by it"
                .to_owned(),
            Self::AnotherServer { here: true, .. } => {
                "ask the administrator what else listens on that port (ss -tlnp)".to_owned()
            }
            Self::AnotherServer {
                here: false, at, ..
            } => format!("point the {} record of {host} to this host", record(at.ip())),
            Self::NoCertificate { .. } => {
                "ask the administrator whether the front door has your domain (aistack-helper ingress status); if it \
                 does, see `aistack status caddy`"
                    .to_owned()
            }
            Self::OwnProxy => "see `aistack tls status`".to_owned(),
            Self::NoRedirect { .. } => {
                "run `aistack deploy`; if that changes nothing, ask the administrator what answers on that port"
                    .to_owned()
            }
        }
    }

    fn at(&self) -> Option<IpAddr> {
        match self {
            Self::Unresolved | Self::OwnProxy => None,
            Self::Closed { at, .. }
            | Self::AnotherServer { at, .. }
            | Self::NoCertificate { at, .. }
            | Self::NoRedirect { at, .. } => Some(at.ip()),
        }
    }
}

/// The kind of DNS record that says such an address.
fn record(address: IpAddr) -> &'static str {
    match address {
        IpAddr::V4(_) => "A",
        IpAddr::V6(_) => "AAAA",
    }
}
