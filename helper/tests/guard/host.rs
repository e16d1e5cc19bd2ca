//! A host of network namespaces: itself, a container of each of two tenants on bridges as Docker makes
//! them, and a machine of the LAN that stands for the internet and a cloud's metadata service as well.

use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::net::{AddressFamily, Protocol, SocketType, bind, listen, socket};
use rustix::process::Uid;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space, set_thread_res_uid};

/// The tenants of [`POLICY`].
pub(crate) const A: u32 = 70_001;
pub(crate) const B: u32 = 70_002;
/// One of A's service UIDs.
pub(crate) const A_SERVICE: u32 = 80_001;
/// A user whom the policy does not name, and one of `allow_uids`.
pub(crate) const STRANGER: u32 = 70_500;
pub(crate) const MONITOR: u32 = 915;
/// The front door's user on this host.
pub(crate) const FRONT_DOOR: u32 = 917;
/// A subordinate UID, which a tenant could have as useradd(8) hands them out.
pub(crate) const SUBORDINATE: u32 = 165_536;
pub(crate) const NOBODY: u32 = 65_534;

pub(crate) const POLICY: &str = "version = 1
[guard]
allow_uids = [915]
[tenants]
uids = [\"70001-70006\"]
network = { pool = \"10.200.0.0/16\", prefix = 26 }
ports = { first = 5100, per_tenant = 10 }
service_uids = { offset = 10000, count = 1 }
";

/// Where A's container is, and B's.
pub(crate) const A_CONTAINER: &str = "10.200.0.2";
pub(crate) const B_CONTAINER: &str = "10.200.0.66";
/// Addresses of the LAN's machine.
pub(crate) const PRIVATE: &str = "192.168.77.2";
pub(crate) const PUBLIC: &str = "203.0.113.5";
pub(crate) const METADATA: &str = "169.254.169.254";

static NEXT: AtomicU32 = AtomicU32::new(0);
/// What is answered at all is answered much earlier, on any machine.
const PATIENCE: Duration = Duration::from_secs(4);

pub(crate) struct Host {
    tag: String,
    dir: tempfile::TempDir,
}

/// How an attempt to connect ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Open,
    /// Rejected at once.
    Rejected,
    /// Nothing came back.
    Silent,
}

impl Host {
    pub(crate) fn start() -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let host = Self {
            tag: format!("aig{}-{number}", std::process::id()),
            // The state file wants directories that only root can write.
            dir: tempfile::tempdir_in("/run").unwrap(),
        };
        ip(&["netns", "add", &host.ns("host")]);
        // `ip netns exec` puts it in the place of /etc/passwd.
        std::fs::create_dir_all(host.etc()).unwrap();
        let passwd = format!("root:x:0:0::/:\naistack-ingress:x:{FRONT_DOOR}:{FRONT_DOOR}::/:\n");
        std::fs::write(host.etc().join("passwd"), passwd).unwrap();
        host.build();
        host.policy(POLICY);
        host
    }

    fn build(&self) {
        for name in ["a", "b", "lan"] {
            ip(&["netns", "add", &self.ns(name)]);
        }
        for name in ["host", "a", "b", "lan"] {
            self.inside(name, "ip link set lo up");
        }
        for setting in ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"] {
            self.inside("host", &format!("echo 1 >/proc/sys/{setting}"));
        }
        // Whoever a test wants may listen on the front door's ports.
        let setting = "net/ipv4/ip_unprivileged_port_start";
        self.inside("host", &format!("echo 0 >/proc/sys/{setting}"));
        for (name, uid, third, sixth) in [("a", A, 0, 1), ("b", B, 64, 2)] {
            let (host, own) = (self.ns("host"), self.ns(name));
            self.inside("host", &format!("ip link add ai-{uid} type bridge"));
            self.inside(
                "host",
                &format!("ip addr add 10.200.0.{}/26 dev ai-{uid}", third + 1),
            );
            self.inside("host", &format!("ip link set ai-{uid} up"));
            ip(&[
                "link",
                "add",
                &format!("v{name}"),
                "netns",
                &host,
                "type",
                "veth",
                "peer",
                "name",
                "eth0",
                "netns",
                &own,
            ]);
            self.inside("host", &format!("ip link set v{name} master ai-{uid} up"));
            self.inside(
                name,
                &format!("ip addr add 10.200.0.{}/26 dev eth0", third + 2),
            );
            self.inside(name, "ip link set eth0 up");
            self.inside(
                name,
                &format!("ip route add default via 10.200.0.{}", third + 1),
            );
            // Docker gives none; a container that got one all the same.
            self.inside(
                name,
                &format!("ip addr add fd66:{sixth}::2/64 dev eth0 nodad"),
            );
            self.inside(
                "host",
                &format!("ip addr add fd66:{sixth}::1/64 dev ai-{uid} nodad"),
            );
            self.inside(name, &format!("ip route add default via fd66:{sixth}::1"));
        }
        ip(&[
            "link",
            "add",
            "lan0",
            "netns",
            &self.ns("host"),
            "type",
            "veth",
            "peer",
            "name",
            "eth0",
            "netns",
            &self.ns("lan"),
        ]);
        for (name, device, last) in [("host", "lan0", 1), ("lan", "eth0", 2)] {
            self.inside(
                name,
                &format!("ip addr add 192.168.77.{last}/24 dev {device}"),
            );
            self.inside(
                name,
                &format!("ip addr add fd77::{last}/64 dev {device} nodad"),
            );
            self.inside(name, &format!("ip link set {device} up"));
        }
        self.inside("host", "ip route add default via 192.168.77.2");
        self.inside("host", "ip route add default via fd77::2");
        for address in [PUBLIC, METADATA, "2001:db8::5", "fd00:ec2::254"] {
            self.inside("lan", &format!("ip addr add {address} dev lo"));
        }
        self.inside("lan", "ip route add 10.200.0.0/16 via 192.168.77.1");
        self.inside("lan", "ip route add fd66::/16 via fd77::1");
    }

    fn ns(&self, name: &str) -> String {
        format!("{}-{name}", self.tag)
    }

    /// Runs a line of shell in one of the namespaces.
    pub(crate) fn run(&self, name: &str, line: &str) -> Output {
        let ns = self.ns(name);
        let args = ["netns", "exec", &ns, "sh", "-ec", line];
        Command::new("ip").args(args).output().unwrap()
    }

    pub(crate) fn inside(&self, name: &str, line: &str) -> String {
        let done = self.run(name, line);
        let (out, error) = (text(&done.stdout), text(&done.stderr));
        assert!(done.status.success(), "{name}: {line}: {error}");
        out
    }

    fn etc(&self) -> PathBuf {
        Path::new("/etc/netns").join(self.ns("host"))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn policy(&self, text: &str) {
        std::fs::write(self.file("policy.toml"), text).unwrap();
    }

    /// `aistack-helper guard …` on this host: whether it said that all is right, and its answer.
    pub(crate) fn guard(&self, verb: &str) -> (bool, serde_json::Value) {
        let line = format!(
            "{} guard {verb} --json --policy {} --state {}",
            env!("CARGO_BIN_EXE_aistack-helper"),
            self.file("policy.toml").display(),
            self.file("guard.json").display(),
        );
        let done = self.run("host", &line);
        let answer = serde_json::from_slice(&done.stdout);
        let error = text(&done.stderr);
        (
            done.status.success(),
            answer.unwrap_or_else(|_| panic!("{verb}: {error}")),
        )
    }

    pub(crate) fn apply(&self) {
        let (done, answer) = self.guard("apply");
        assert!(done, "{answer}");
    }

    /// Does something in a namespace as a user, in a thread of its own.
    pub(crate) fn within<T: Send>(
        &self,
        name: &str,
        uid: u32,
        act: impl FnOnce() -> T + Send,
    ) -> T {
        let ns = std::fs::File::open(format!("/run/netns/{}", self.ns(name))).unwrap();
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                move_into_link_name_space(ns.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
                let uid = Uid::from_raw(uid);
                set_thread_res_uid(uid, uid, uid).unwrap();
                act()
            });
            thread.join().unwrap()
        })
    }

    /// Something that listens there as this user.
    pub(crate) fn listen(&self, name: &str, uid: u32, at: &str) -> TcpListener {
        self.within(name, uid, || TcpListener::bind(at).unwrap())
    }

    /// The same by another protocol, and with room for so many callers who wait.
    pub(crate) fn listen_with(
        &self,
        name: &str,
        uid: u32,
        at: &str,
        protocol: Option<Protocol>,
        backlog: i32,
    ) -> OwnedFd {
        let at: SocketAddr = at.parse().unwrap();
        self.within(name, uid, || {
            let socket = socket(AddressFamily::INET, SocketType::STREAM, protocol).unwrap();
            bind(&socket, &at).unwrap();
            listen(&socket, backlog).unwrap();
            socket
        })
    }

    /// What meet.py says of this owner, thief and port.
    pub(crate) fn meet(&self, owner: u32, thief: u32, port: u16) -> String {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/guard/meet.py");
        let line = format!("python3 {script} {owner} {thief} {port}");
        self.inside("host", &line).trim().to_owned()
    }

    /// The same where the caller is root in A's container and the thief a user of this host.
    pub(crate) fn meet_container(&self, thief: u32, address: &str, port: u16) -> String {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/guard/meet.py");
        let ns = self.ns("a");
        let line = format!("python3 {script} 0 {thief} {port} {address} /run/netns/{ns}");
        self.inside("host", &line).trim().to_owned()
    }

    /// How connecting to `to` ends for this user.
    pub(crate) fn connect(&self, name: &str, uid: u32, to: &str) -> End {
        let to: SocketAddr = to.parse().unwrap();
        let ended = self.within(name, uid, || TcpStream::connect_timeout(&to, PATIENCE));
        match ended {
            Ok(_) => End::Open,
            Err(error) if error.kind() == std::io::ErrorKind::TimedOut => End::Silent,
            Err(_) => End::Rejected,
        }
    }

    /// Whether a datagram of this user's arrives at `server`, which is bound there.
    pub(crate) fn datagram_arrives(&self, name: &str, uid: u32, server: &UdpSocket) -> bool {
        let to = server.local_addr().unwrap();
        self.within(name, uid, || {
            let client = UdpSocket::bind("127.0.0.1:0").unwrap();
            // A refusal may arrive at once.
            let _ = client.send_to(b"hello", to);
        });
        arrives(server)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        for name in ["a", "b", "lan", "host"] {
            try_ip(&["netns", "del", &self.ns(name)]);
        }
        let _ = std::fs::remove_dir_all(self.etc());
    }
}

/// Loopback is done within the call that sends; half a second is for a loaded machine.
pub(crate) fn arrives(server: &UdpSocket) -> bool {
    server
        .set_read_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    server.recv_from(&mut [0; 16]).is_ok()
}

fn try_ip(args: &[&str]) -> bool {
    let mut ip = Command::new("ip");
    ip.args(args).stderr(Stdio::null());
    ip.status().is_ok_and(|status| status.success())
}

fn ip(args: &[&str]) {
    assert!(try_ip(args), "ip {args:?}");
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
