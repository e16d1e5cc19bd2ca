//! Who listens on a port of this host, as far as anybody may know it.

use std::fs::read_to_string;

/// State of a listening socket in /proc/net/tcp (Linux, include/net/tcp_states.h: TCP_LISTEN).
const LISTEN: &str = "0A";

/// Who listens on `port`, for people, e.g. `a process of UID 1002`.
#[must_use]
pub fn holder(port: u16) -> String {
    let uid = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .find_map(|table| uid_in(&read_to_string(table).ok()?, port));
    match uid {
        Some(0) => "a container or a service of the host".to_owned(),
        Some(uid) => format!("a process of UID {uid}"),
        None => "somebody".to_owned(),
    }
}

/// The UID of the socket that listens on `port`. A line is `sl local_address rem_address st
/// tx_queue:rx_queue tr:tm->when retrnsmt uid …`, the port hexadecimal after the colon
/// (proc_net_tcp in the kernel's documentation).
fn uid_in(table: &str, port: u16) -> Option<u32> {
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let local = fields.get(1)?.rsplit_once(':')?.1;
        let listens = *fields.get(3)? == LISTEN;
        let own = u16::from_str_radix(local, 16).ok()? == port;
        (listens && own).then(|| fields.get(7)?.parse().ok())?
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
    fn a_connection_is_no_listener() {
        let table = "  sl  local_address rem_address   st\n\
                     0: 0100007F:13EC 0100007F:ABCD 01 0:0 0:0 0 1001 0 1\n\
                     1: 0100007F:13EC 00000000:0000 0A 0:0 0:0 0 1002 0 1\n";
        assert_eq!(uid_in(table, 5100), Some(1002));
        assert_eq!(uid_in(table, 5101), None);
    }
}
