//! Who listens on a port of this host, as far as anybody may know it.

use std::collections::BTreeMap;
use std::fs::read_to_string;
use std::ops::Range;

const TABLES: [&str; 2] = ["/proc/net/tcp", "/proc/net/tcp6"];

/// State of a listening socket in /proc/net/tcp (Linux, include/net/tcp_states.h: TCP_LISTEN).
const LISTEN: &str = "0A";

/// Who listens on `port`, for people, e.g. `a process of UID 1002`.
#[must_use]
pub fn holder(port: u16) -> String {
    let uid = TABLES
        .iter()
        .find_map(|table| uid_in(&read_to_string(table).ok()?, port));
    uid.map_or_else(|| "somebody".to_owned(), describe)
}

/// Whose a listener of this UID is, for people.
#[must_use]
pub fn describe(uid: u32) -> String {
    match uid {
        0 => "a container or a service of the host".to_owned(),
        uid => format!("a process of UID {uid}"),
    }
}

/// Ports of a range where somebody listens, each with the UID.
#[must_use]
pub fn within(range: Range<u32>) -> BTreeMap<u16, u32> {
    let tables = TABLES.iter().filter_map(|table| read_to_string(table).ok());
    let listeners = tables.flat_map(|table| listeners(&table).collect::<Vec<_>>());
    listeners
        .filter(|(port, _)| range.contains(&u32::from(*port)))
        .collect()
}

/// The port that Docker could not have, where that is what its error says. The texts are those of
/// libnetwork's port allocator, of Go's net package, and of the port mapper of Docker 28:
/// `Bind for 127.0.0.1:5100 failed: port is already allocated`,
/// `listen tcp4 127.0.0.1:5100: bind: address already in use` and
/// `failed to bind host port for 127.0.0.1:5100:172.18.0.2:80/tcp: address already in use` (in some
/// versions without `for` and the container's address).
#[must_use]
pub fn port_refused(text: &str) -> Option<u16> {
    if let Some((_, rest)) = text.split_once("failed to bind host port ") {
        let address = rest.strip_prefix("for ").unwrap_or(rest);
        let port = address.split_once(':')?.1;
        return port.split([':', '/']).next()?.parse().ok();
    }
    let (before, _) = text
        .split_once(" failed: port is already allocated")
        .or_else(|| text.split_once(": bind: address already in use"))?;
    let address = before.rsplit(' ').next()?;
    address.rsplit_once(':')?.1.parse().ok()
}

/// What is to be said of a port that a service could not have.
#[must_use]
pub fn taken(port: u16) -> String {
    format!(
        "port {port} of this host is taken by {}: choose another port in the .env, or ask \
         the administrator to end that process; until then, clients of 127.0.0.1:{port} reach that process",
        holder(port)
    )
}

/// The UID of the socket that listens on `port`.
fn uid_in(table: &str, port: u16) -> Option<u32> {
    listeners(table)
        .find(|(at, _)| *at == port)
        .map(|(_, uid)| uid)
}

/// Listening ports and their sockets' UIDs. A line is `sl local_address rem_address st
/// tx_queue:rx_queue tr:tm->when retrnsmt uid …`, the port hexadecimal after the colon
/// (proc_net_tcp in the kernel's documentation).
fn listeners(table: &str) -> impl Iterator<Item = (u16, u32)> {
    table.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let local = fields.get(1)?.rsplit_once(':')?.1;
        if *fields.get(3)? != LISTEN {
            return None;
        }
        let port = u16::from_str_radix(local, 16).ok()?;
        Some((port, fields.get(7)?.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    #[test]
    fn a_listener_is_found_with_its_owner() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let table = read_to_string("/proc/net/tcp").unwrap();
        let own = rustix::process::geteuid().as_raw();
        assert_eq!(uid_in(&table, port), Some(own));
        drop(listener);
        let table = read_to_string("/proc/net/tcp").unwrap();
        assert_eq!(uid_in(&table, port), None);
    }

    #[test]
    fn a_port_that_docker_could_not_have_is_named_with_its_holder() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let start =
            "driver failed programming external connectivity on endpoint tenant-1001-redis (0f)";
        for error in [
            format!(
                "{start}: Error starting userland proxy: listen tcp4 127.0.0.1:{port}: bind: address already in use"
            ),
            format!(
                "{start}: failed to bind host port for 127.0.0.1:{port}:172.18.0.2:80/tcp: address already in use"
            ),
            format!("failed to bind host port 127.0.0.1:{port}/tcp: address already in use"),
            format!("{start}: Bind for 127.0.0.1:{port} failed: port is already allocated"),
        ] {
            assert_eq!(port_refused(&error), Some(port), "{error}");
        }
        assert_eq!(port_refused("address already in use"), None);
        assert_eq!(port_refused("no such image"), None);
        let uid = rustix::process::geteuid().as_raw();
        let said = taken(port);
        assert!(
            said.contains(&format!("port {port}")) && said.contains(&describe(uid)),
            "{said}"
        );
        assert_eq!(
            within(port.into()..u32::from(port) + 1),
            [(port, uid)].into()
        );
        drop(listener);
        assert!(within(port.into()..u32::from(port) + 1).is_empty());
    }

    #[test]
    fn a_connection_is_no_listener() {
        let table = "  sl  local_address rem_address   st\n\
                     0: 0100007F:13EC 0100007F:ABCD 01 0:0 0:0 0 1001 0 1\n\
                     1: 0100007F:13EC 00000000:0000 0A 0:0 0:0 0 1002 0 1\n";
        assert_eq!(uid_in(table, 5100), Some(1002));
        assert_eq!(uid_in(table, 5101), None);
    }
}
