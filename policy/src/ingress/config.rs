//! HAProxy's configuration (its configuration.txt, 2.6 and 3.0).

use std::fmt::Write as _;
use std::net::IpAddr;

use super::{Ingress, PROXY_HTTP_PORT, PROXY_HTTPS_PORT};

/// As many connections as one tenant's names may have at once, and as many as may come from one visitor. How
/// many there can be in all follows from the open files that the unit allows (two for each connection).
const SHARE: u32 = 5_000;

/// Where the configuration's companions are.
#[derive(Debug, Clone, Copy)]
pub struct Files<'a> {
    /// The map of [`Ingress::map`].
    pub map: &'a str,
    /// The socket for changes of the map; whoever can open it decides where visitors go.
    pub admin_socket: &'a str,
}

/// The whole configuration. It does not depend on who the tenants are.
///
/// The order of the rules matters: a hello can be larger than a segment, and only `tcp-request content`
/// rules wait for the rest (haproxy issue 3148). No regular expression: Debian's HAProxy compiles them to machine code
/// (PCRE2's JIT), which MemoryDenyWriteExecute= of the unit forbids.
#[must_use]
pub fn config(ingress: &Ingress, files: Files<'_>) -> String {
    let Files { map, admin_socket } = files;
    let mut text = format!(
        "# Rendered from the policy by `aistack-helper ingress`; changes are lost.
global
    # What an old worker still carries after a change of addresses or ports.
    hard-stop-after 12h
    stats socket {admin_socket} mode 600 level admin expose-fd listeners

defaults
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout tunnel 1h
    timeout http-request 10s
    timeout http-keep-alive 60s
    # A proxy that is not there is noticed at once.
    retries 1

# Connections of one visitor, and of one tenant.
backend visitors
    stick-table type ipv6 size 100k expire 10m store conn_cur
backend tenants
    stick-table type ip size 20k expire 10m store conn_cur
"
    );
    text.push_str(&tls(ingress, map));
    text.push_str(&http(ingress, map));
    text
}

/// Who is one visitor: this host, the containers of one tenant, a network of IPv6 as a customer gets it, or an address.
/// The first rule that matches counts.
fn counted(ingress: &Ingress) -> String {
    let track = "    tcp-request connection track-sc0";
    let (pool, prefix) = (ingress.pool, ingress.prefix);
    format!(
        "{track} src,ipmask(8,128) table visitors if {{ src 127.0.0.0/8 }}
{track} src,ipmask({prefix},128) table visitors if {{ src {pool} }}
{track} src,ipmask(32,64) table visitors
"
    )
}

/// By the name in the hello, to the proxy of the tenant who has it; everything else is closed.
fn tls(ingress: &Ingress, map: &str) -> String {
    let (bind, counted) = (binds(ingress, ingress.https_port), counted(ingress));
    format!(
        "
frontend tls
    mode tcp
{bind}{counted}    tcp-request connection reject if {{ sc0_conn_cur gt {SHARE} }}
    tcp-request inspect-delay 5s
    tcp-request content set-var(sess.name) req.ssl_sni,lower,rtrim(.) if {{ req.ssl_hello_type 1 }}
    tcp-request content set-var(sess.proxy) var(sess.name),map_str({map}) if {{ req.ssl_hello_type 1 }}
    tcp-request content set-var(sess.proxy) var(sess.name),field(2,.,0),map_str({map}) if {{ req.ssl_hello_type 1 }} !{{ var(sess.proxy) -m found }}
    tcp-request content reject if {{ req.ssl_hello_type 1 }} !{{ var(sess.proxy) -m found }}
    tcp-request content track-sc1 var(sess.proxy) table tenants if {{ req.ssl_hello_type 1 }}
    tcp-request content reject if {{ req.ssl_hello_type 1 }} {{ sc1_conn_cur gt {SHARE} }}
    tcp-request content set-dst var(sess.proxy) if {{ req.ssl_hello_type 1 }}
    tcp-request content set-dst-port int({PROXY_HTTPS_PORT}) if {{ req.ssl_hello_type 1 }}
    tcp-request content accept if {{ req.ssl_hello_type 1 }}
    tcp-request content reject
    default_backend tls_proxies

backend tls_proxies
    mode tcp
    server proxy 0.0.0.0:0 send-proxy-v2
"
    )
}

/// By the host of each request.
fn http(ingress: &Ingress, map: &str) -> String {
    let (bind, counted) = (binds(ingress, ingress.http_port), counted(ingress));
    format!(
        "
frontend http
    mode http
{bind}{counted}    tcp-request connection reject if {{ sc0_conn_cur gt {SHARE} }}
    http-request set-var(txn.name) req.hdr(host),field(1,:),lower,rtrim(.)
    http-request set-var(txn.proxy) var(txn.name),map_str({map})
    http-request set-var(txn.proxy) var(txn.name),field(2,.,0),map_str({map}) unless {{ var(txn.proxy) -m found }}
    http-request return status 421 content-type text/plain string \"no such site\\n\" unless {{ var(txn.proxy) -m found }}
    http-request track-sc1 var(txn.proxy) table tenants
    http-request deny status 503 if {{ sc1_conn_cur gt {SHARE} }}
    http-request set-dst var(txn.proxy)
    http-request set-dst-port int({PROXY_HTTP_PORT})
    default_backend http_proxies

backend http_proxies
    mode http
    # A connection says whose it is once, when it begins.
    http-reuse never
    server proxy 0.0.0.0:0 send-proxy-v2
"
    )
}

fn binds(ingress: &Ingress, port: u16) -> String {
    let mut text = String::new();
    for address in &ingress.addresses {
        let _ = match address {
            IpAddr::V4(address) => writeln!(text, "    bind {address}:{port}"),
            IpAddr::V6(address) => writeln!(text, "    bind [{address}]:{port} v6only"),
        };
    }
    text
}
