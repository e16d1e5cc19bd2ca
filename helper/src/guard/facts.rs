//! What the table depends on beside the policy.

use std::io::Read;
use std::net::IpAddr;

use aistack_policy::guard::Facts;

/// resolv.conf(5) of the host, and systemd-resolved's, which Docker takes instead where the first names
/// nothing but systemd-resolved itself.
const RESOLV_CONF: [&str; 2] = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];
/// As much of one as is read, bytes.
const MAX_LENGTH: u64 = 64 << 10;
/// passwd(5), with a line for each of thousands of tenants.
const PASSWD: &str = "/etc/passwd";
/// As much of it as is read, bytes.
const MAX_PASSWD: u64 = 16 << 20;
/// As many servers as count.
const MAX_SERVERS: usize = 16;

/// User that HAProxy of the front door runs as (the package's sysusers.d).
const FRONT_DOOR_USER: &str = "aistack-ingress";

/// The facts of this host.
#[must_use]
pub fn of_host() -> Facts {
    let mut texts = RESOLV_CONF.iter().map(|path| read(path, MAX_LENGTH));
    Facts {
        name_servers: texts
            .find_map(|text| Some(name_servers(&text)).filter(|servers| !servers.is_empty()))
            .unwrap_or_default(),
        front_door: uid_of(FRONT_DOOR_USER, &read(PASSWD, MAX_PASSWD)),
    }
}

/// A system user's UID from passwd(5).
fn uid_of(user: &str, passwd: &str) -> Option<u32> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let uid = (fields.next()? == user).then(|| fields.nth(1))??;
        uid.parse().ok().filter(|uid| *uid != 0)
    })
}

/// Empty when it is not there: then containers have no name server of the host.
fn read(path: &str, most: u64) -> String {
    let mut text = String::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(most).read_to_string(&mut text));
    match read {
        Ok(_) => text,
        Err(_) => String::new(),
    }
}

/// Those that a container can ask: not loopback, no zone.
fn name_servers(text: &str) -> Vec<IpAddr> {
    let servers = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let address = (words.next()? == "nameserver").then(|| words.next())??;
        address.parse().ok()
    });
    servers
        .filter(|server: &IpAddr| !server.is_loopback() && !server.is_unspecified())
        .take(MAX_SERVERS)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_front_door_is_the_system_user_of_its_name() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\naistack-ingress2:x:7:7::/:/x\naistack-ingress:x:998:997::/:/x\n";
        assert_eq!(uid_of(FRONT_DOOR_USER, passwd), Some(998));
        for none in [
            "",
            "aistack-ingress:x",
            "aistack-ingress:x:y:",
            "aistack-ingress:x:0:0:::",
        ] {
            assert_eq!(uid_of(FRONT_DOOR_USER, none), None, "{none}");
        }
    }

    #[test]
    fn name_servers_are_addresses_that_a_container_can_ask() {
        let text = "# nameserver 1.1.1.1\nnameserver 127.0.0.53\nnameserver 192.168.7.1 # home\n\
            options edns0\nnameserver 2001:db8::53\nnameserver fe80::1%eth0\nnameserver\nnameserverx 9.9.9.9\n";
        let found: Vec<String> = name_servers(text).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["192.168.7.1", "2001:db8::53"]);
    }
}
