//! What visitors from outside meet: whether each public name resolves, and whether this host's front door
//! and the tenant's proxy answer at every address behind it.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use serde::Serialize;
use tokio::net::TcpStream;

use super::checks::{CheckResult, wire};
use super::tls::{Served, Trust};
use crate::desired::{FrontDoor, PublicName, Stack};
use crate::ui;

/// One connection with its handshake, or one request, may take this long.
const LIMIT: Duration = Duration::from_secs(5);
/// Addresses of one name that are asked.
const MAX_ADDRESSES: usize = 8;
/// Names that are asked at once.
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
    /// For `validate`: nobody's service is broken by a name that does not resolve yet, so that is a warning.
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

/// Asks every public name of a stack; nothing where the host has no front door.
pub async fn look(stack: &Stack) -> Vec<Reach> {
    let Some(door) = &stack.front_door else {
        return Vec::new();
    };
    let trust = Trust::open(stack.own_root.as_deref());
    let asked = stream::iter(&door.names).map(|name| reach(&trust, door, name));
    asked.buffered(AT_ONCE).collect().await
}

async fn reach(trust: &Trust, door: &FrontDoor, name: &PublicName) -> Reach {
    let mut reach = Reach {
        service: name.service.clone(),
        host: name.host.clone(),
        addresses: Vec::new(),
        problem: None,
        next: None,
    };
    let resolved = tokio::net::lookup_host((name.host.as_str(), door.https_port));
    if let Ok(Ok(addresses)) = tokio::time::timeout(LIMIT, resolved).await {
        for address in addresses.map(|address| address.ip()) {
            if !reach.addresses.contains(&address) {
                reach.addresses.push(address);
            }
        }
    }
    if reach.addresses.is_empty() {
        reach.problem = Some("the name does not resolve".to_owned());
        let domain = name.host.split_once('.').map_or("", |(_, domain)| domain);
        reach.next = Some(format!(
            "create an A record, and an AAAA record where the host has IPv6, for *.{domain} that points to \
             this host"
        ));
        return reach;
    }
    // What the proxy shows on its published port is what visitors must see.
    let own = match wire::connect(name.published).await {
        Ok(stream) => in_time(trust.handshake(stream, &name.host)).await,
        Err(why) => Err(why),
    };
    let own = own.ok().and_then(|handshake| handshake.served);
    for address in reach.addresses.iter().take(MAX_ADDRESSES) {
        let tls = tls(
            trust,
            name,
            SocketAddr::new(*address, door.https_port),
            own.as_ref(),
        )
        .await;
        let problem = match tls {
            Ok(()) => http(name, SocketAddr::new(*address, door.http_port)).await,
            Err(why) => Err(why),
        };
        if let Err(why) = problem {
            reach.problem = Some(why);
            reach.next = Some(
                "point the name to this host, or ask the administrator whether the front door runs \
                 (aistack-helper ingress status) and a firewall lets visitors through"
                    .to_owned(),
            );
            break;
        }
    }
    reach
}

/// The certificate at this address is the one that the tenant's proxy shows.
async fn tls(
    trust: &Trust,
    name: &PublicName,
    address: SocketAddr,
    own: Option<&Served>,
) -> Result<(), String> {
    let stream = connect(address).await?;
    let handshake = in_time(trust.handshake(stream, &name.host)).await;
    let handshake = handshake.map_err(|why| format!("{address}: {why}"))?;
    let Some(served) = handshake.served else {
        let why = handshake.stream.err().unwrap_or_default();
        return Err(format!("{address} shows no certificate: {why}"));
    };
    match own {
        Some(own) if (&own.serial, &own.issuer) == (&served.serial, &served.issuer) => Ok(()),
        Some(_) => Err(format!(
            "another server answers at {address}: its certificate is {}",
            served.describe()
        )),
        None => Err("your own proxy shows no certificate; see `aistack tls status`".to_owned()),
    }
}

/// Plain HTTP is answered with a redirect.
async fn http(name: &PublicName, address: SocketAddr) -> Result<(), String> {
    let stream = connect(address).await?;
    let request = wire::Outgoing {
        method: "GET".to_owned(),
        path: "/".to_owned(),
        headers: Vec::new(),
        body: String::new(),
    };
    let answer = in_time(wire::exchange(stream, &name.host, request)).await;
    let answer = answer.and_then(|answer| answer);
    match answer.map_err(|why| format!("{address}: {why}"))?.status {
        300..=399 => Ok(()),
        status => Err(format!(
            "{address} answers plain HTTP with status {status} and not with a redirect to https"
        )),
    }
}

async fn connect(address: SocketAddr) -> Result<TcpStream, String> {
    let connected = in_time(TcpStream::connect(address)).await;
    let connected = connected.map_err(|why| format!("{address}: {why}"))?;
    connected.map_err(|error| format!("{address}: {}", ui::clean(&error.to_string())))
}

async fn in_time<T>(asked: impl Future<Output = T>) -> Result<T, String> {
    tokio::time::timeout(LIMIT, asked)
        .await
        .map_err(|_| format!("no answer in {}", ui::seconds(LIMIT)))
}
