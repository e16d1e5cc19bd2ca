//! What visitors from outside meet: whether each public name resolves, and whether this host's front door
//! and the tenant's proxy answer at every address behind it.

mod obstacle;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use obstacle::{Obstacle, Port};
use serde::Serialize;
use tokio::net::TcpStream;

use super::checks::{CheckResult, wire};
use super::tls::{Served, Trust};
use crate::desired::{FrontDoor, PublicName, Stack};
use crate::ui;

/// One connection with its handshake, or one request, may take this long.
const LIMIT: Duration = Duration::from_secs(5);
/// Addresses of one name that are queried.
const MAX_ADDRESSES: usize = 8;
/// Names that are queried at once.
const AT_ONCE: usize = 8;

/// How one name is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reach {
    /// The service behind it.
    pub service: String,
    /// The name.
    pub host: String,
    /// What it resolves to, IPv4 and IPv6.
    pub addresses: Vec<IpAddr>,
    /// What is in the way.
    pub problem: Option<String>,
    /// What to do about it.
    pub next: Option<String>,
}

impl Reach {
    /// For `validate`: nobody's service fails for a name that does not resolve yet, so that is a warning.
    #[must_use]
    pub fn to_check(&self) -> CheckResult {
        let problem = self.problem.clone().zip(self.next.clone());
        CheckResult {
            service: self.service.clone(),
            title: format!("opens from outside as https://{}", self.host),
            ok: true,
            problem: None,
            warning: problem.map(|(problem, next)| format!("{problem}; {next}")),
            seconds: 0.0,
            certificate: None,
        }
    }
}

/// Tries every public name of a stack; nothing where the host has no front door.
pub async fn look(stack: &Stack) -> Vec<Reach> {
    let Some(door) = &stack.front_door else {
        return Vec::new();
    };
    let trust = Trust::open(stack.own_root.as_deref());
    let reached = stream::iter(&door.names).map(|name| reach(&trust, door, name));
    reached.buffered(AT_ONCE).collect().await
}

async fn reach(trust: &Trust, door: &FrontDoor, name: &PublicName) -> Reach {
    let mut addresses: Vec<IpAddr> = Vec::new();
    let resolved = tokio::net::lookup_host((name.host.as_str(), door.https_port));
    if let Ok(Ok(found)) = tokio::time::timeout(LIMIT, resolved).await {
        for address in found.map(|address| address.ip()) {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
    }
    reach_at(trust, door, name, addresses).await
}

/// Asks every address of a name at once; the first obstacle in their order is returned.
async fn reach_at(
    trust: &Trust,
    door: &FrontDoor,
    name: &PublicName,
    addresses: Vec<IpAddr>,
) -> Reach {
    // What the proxy shows on its published port is what visitors must see.
    let own = match wire::connect(name.published).await {
        Ok(stream) => in_time(trust.handshake(stream, &name.host)).await,
        Err(why) => Err(why),
    };
    let own = own.ok().and_then(|handshake| handshake.served);
    let answers = addresses
        .iter()
        .take(MAX_ADDRESSES)
        .map(|address| open_at(trust, door, name, *address, own.as_ref()));
    let outcomes = join_all(answers).await;
    let right = addresses.iter().zip(&outcomes);
    let right = right.filter(|(_, outcome)| outcome.is_ok());
    let right: Vec<IpAddr> = right.map(|(address, _)| *address).collect();
    let obstacle = match outcomes.into_iter().find_map(Result::err) {
        None if addresses.is_empty() => Some(Obstacle::Unresolved),
        obstacle => obstacle,
    };
    let found = obstacle.map(|obstacle| obstacle.tell(&name.host, &right));
    let (problem, next) = found.unzip();
    Reach {
        service: name.service.clone(),
        host: name.host.clone(),
        addresses,
        problem,
        next,
    }
}

/// Both ports at this address lead to the tenant's proxy.
async fn open_at(
    trust: &Trust,
    door: &FrontDoor,
    name: &PublicName,
    address: IpAddr,
    own: Option<&Served>,
) -> Result<(), Obstacle> {
    tls(trust, name, SocketAddr::new(address, door.https_port), own).await?;
    http(name, SocketAddr::new(address, door.http_port)).await
}

/// The certificate at this address is the one that the tenant's proxy shows.
async fn tls(
    trust: &Trust,
    name: &PublicName,
    at: SocketAddr,
    own: Option<&Served>,
) -> Result<(), Obstacle> {
    let stream = connect(at, Port::Https).await?;
    let silent = |why| Obstacle::NoCertificate { at, why };
    let handshake = in_time(trust.handshake(stream, &name.host)).await;
    let handshake = handshake.map_err(silent)?;
    match (own, handshake.served) {
        (None, _) => Err(Obstacle::OwnProxy),
        (Some(_), None) => Err(silent(handshake.stream.err().unwrap_or_default())),
        (Some(own), Some(served))
            if (&own.serial, &own.issuer) == (&served.serial, &served.issuer) =>
        {
            Ok(())
        }
        (Some(_), Some(served)) => Err(Obstacle::AnotherServer {
            at,
            here: is_here(at.ip()),
            shows: served.describe(),
        }),
    }
}

/// Plain HTTP is answered with a redirect.
async fn http(name: &PublicName, at: SocketAddr) -> Result<(), Obstacle> {
    let stream = connect(at, Port::Http).await?;
    let request = wire::Outgoing {
        method: "GET".to_owned(),
        path: "/".to_owned(),
        headers: Vec::new(),
        body: String::new(),
    };
    let answer = in_time(wire::exchange(stream, &name.host, request)).await;
    let answer = answer.and_then(|answer| answer);
    match answer.map(|answer| answer.status) {
        Ok(300..=399) => Ok(()),
        Ok(status) => Err(Obstacle::NoRedirect {
            at,
            answer: format!("status {status}"),
        }),
        Err(why) => Err(Obstacle::NoRedirect { at, answer: why }),
    }
}

async fn connect(at: SocketAddr, port: Port) -> Result<TcpStream, Obstacle> {
    let connected = in_time(TcpStream::connect(at)).await;
    let connected = connected.and_then(|done| done.map_err(|error| error.to_string()));
    connected.map_err(|why| Obstacle::Closed {
        at,
        port,
        here: is_here(at.ip()),
        why: ui::clean(&why),
    })
}

/// Whether this host has the address: only then can a socket be bound to it.
fn is_here(address: IpAddr) -> bool {
    std::net::UdpSocket::bind((address, 0)).is_ok()
}

async fn in_time<T>(answer: impl Future<Output = T>) -> Result<T, String> {
    tokio::time::timeout(LIMIT, answer)
        .await
        .map_err(|_| format!("no answer in {}", ui::seconds(LIMIT)))
}
