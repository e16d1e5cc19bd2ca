//! Being another user, and connecting in a loop as one: for the tests of both daemons.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Gid, Uid};

/// Connects as another user: a thread has credentials of its own, and SO_PEERCRED shows those.
pub(crate) fn connect_as(uid: u32, socket: &Path) -> std::io::Result<UnixStream> {
    let socket = socket.to_owned();
    std::thread::spawn(move || {
        become_user(uid)?;
        UnixStream::connect(socket)
    })
    .join()
    .unwrap()
}

/// Makes this thread, and no other, the user's for good.
pub(crate) fn become_user(uid: u32) -> rustix::io::Result<()> {
    rustix::thread::set_thread_groups(&[])?;
    let gid = Gid::from_raw(uid);
    rustix::thread::set_thread_res_gid(gid, gid, gid)?;
    let uid = Uid::from_raw(uid);
    rustix::thread::set_thread_res_uid(uid, uid, uid)
}

/// Threads that connect and close in a loop, one for each of these UIDs, until this is dropped.
pub(crate) struct Flood {
    connections: Arc<AtomicU64>,
    tries: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Flood {
    pub(crate) fn of(uids: &[u32], socket: &Path) -> Self {
        let connections = Arc::new(AtomicU64::new(0));
        let tries = Arc::new(AtomicU64::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let threads = uids.iter().map(|uid| {
            let (uid, socket) = (*uid, socket.to_owned());
            let (connections, stop) = (Arc::clone(&connections), Arc::clone(&stop));
            let tries = Arc::clone(&tries);
            std::thread::spawn(move || {
                become_user(uid).unwrap();
                while !stop.load(Ordering::Relaxed) {
                    let connected = UnixStream::connect(&socket).is_ok();
                    connections.fetch_add(u64::from(connected), Ordering::Relaxed);
                    tries.fetch_add(1, Ordering::Relaxed);
                }
            })
        });
        Self {
            threads: threads.collect(),
            connections,
            tries,
            stop,
        }
    }

    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Connections, and attempts that the kernel refused.
    pub(crate) fn tries(&self) -> u64 {
        self.tries.load(Ordering::Relaxed)
    }

    /// Goes on until so many were tried.
    pub(crate) fn until_tried(self, number: u64) {
        while self.tries() < number {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Goes on until there were so many. The limit is for a daemon that accepts no more.
    pub(crate) fn until(self, number: u64) {
        let limit = Instant::now() + Duration::from_mins(3);
        while self.connections() < number {
            assert!(Instant::now() < limit, "{} connections", self.connections());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Takes the socket's access list away as long as it lives.
struct LetIn(Arc<AtomicBool>);

impl LetIn {
    fn everybody(socket: &Path) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (socket, stopped) = (socket.to_owned(), Arc::clone(&stop));
        std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let _ = rustix::fs::lremovexattr(&socket, "system.posix_acl_access");
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        Self(stop)
    }
}

impl Drop for LetIn {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A process's resident memory, KiB.
pub(crate) fn memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let number = line.unwrap().split_whitespace().nth(1);
    number.unwrap().parse().unwrap()
}

/// Memory after 200,000 connections of a tenant's and a stranger's equals memory before, within
/// 2 MiB. It is measured after a flood that was a tenth of it: the most that are open at once
/// have their place in memory then. The kernel would soon refuse those who flood; here it may not.
pub(crate) fn leaves_no_memory_behind(
    pid: u32,
    tenant: u32,
    stranger: u32,
    socket: &Path,
) -> String {
    const WITHIN: u64 = 2048;
    let uids = [tenant, tenant, stranger, stranger];
    let _let_in = LetIn::everybody(socket);
    Flood::of(&uids, socket).until(20_000);
    let before = memory(pid);
    let started = Instant::now();
    Flood::of(&uids, socket).until(200_000);
    let took = started.elapsed();
    let until = Instant::now() + Duration::from_secs(20);
    // What was open at the end closes.
    while memory(pid) > before + WITHIN && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(50));
    }
    let after = memory(pid);
    let said = format!("200,000 connections in {took:?}: {before} KiB before, {after} KiB after");
    assert!(after <= before + WITHIN, "{said}");
    said
}
