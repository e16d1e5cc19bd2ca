//! What stands in every profile, whatever the tenant wrote: what the host must always be able to do,
//! and what a container may never do. A `deny` wins over every allow rule in whatever order, except
//! over one with `priority=`, which the subset does not have.
//!
//! Paths are those inside the container. The mandatory rules name no variable, alias or include, so
//! that no other file changes their meaning.

use super::abi::Abi;
use super::names::{Kind, Names, OwnDir};
use super::words::{ALLOWED_CAPABILITIES, CAPABILITIES};

/// Which profile of the stack the rules are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layer {
    /// `ai-base-<uid>`, under which every container of the tenant runs.
    Base,
    /// One of the two that the tenant narrows.
    Tenant(Kind),
}

/// All mandatory rules, each without its comma.
pub(super) fn rules(names: &Names, layer: Layer, abi: Abi) -> Vec<String> {
    let strict = layer == Layer::Tenant(Kind::Openclaw);
    let mut rules = host_rules(&own_labels(names, layer));
    if abi == Abi::V4 && !strict {
        // Message queues belong to the container's own IPC name space.
        rules.push("mqueue".to_owned());
    }
    rules.extend(DENIED.map(str::to_owned));
    rules.extend(capability_rules(strict));
    rules.extend(DENIED_PATHS.map(str::to_owned));
    rules.extend(names.own_dir().map(deny_other_tenants));
    if strict {
        rules.extend(WRITE_XOR_EXECUTE.map(str::to_owned));
    }
    rules
}

/// The labels of processes that may share a container with this profile, and their parts. Containers
/// run under a stack. Newer kernels look for each part of a peer's label apart (`aa_label_match`,
/// security/apparmor/label.c); Linux 6.1 finds the stack only by its whole name.
fn own_labels(names: &Names, layer: Layer) -> Vec<String> {
    let kinds = match layer {
        Layer::Tenant(kind) => vec![kind],
        Layer::Base => Kind::ALL.to_vec(),
    };
    let mut labels = vec![names.base().to_owned()];
    labels.extend(kinds.iter().map(|kind| names.name(*kind).to_owned()));
    labels.extend(kinds.iter().map(|kind| names.label(*kind)));
    labels
}

/// What keeps the host in control: without the first rules not even root could stop a container.
/// `runc` and `crun` are labels where AppArmor 4 ships profiles for them.
fn host_rules(own: &[String]) -> Vec<String> {
    let mut rules: Vec<String> = ["unconfined", "runc", "crun"]
        .map(|peer| format!("signal (receive) peer={peer}"))
        .to_vec();
    rules.extend(
        own.iter()
            .map(|peer| format!("signal (send, receive) peer={peer}")),
    );
    rules.push("ptrace (readby, tracedby) peer=unconfined".to_owned());
    rules.extend(
        own.iter()
            .map(|peer| format!("ptrace (read, readby) peer={peer}")),
    );
    // Where the kernel mediates unix sockets, a container would have none without it.
    rules.push("unix".to_owned());
    rules
}

const DENIED: [&str; 11] = [
    "deny mount",
    "deny remount",
    "deny umount",
    "deny pivot_root",
    "deny ptrace (trace)",
    "deny change_profile",
    "deny network alg",
    "deny network packet",
    "deny network vsock",
    "deny network inet raw",
    "deny network inet6 raw",
];

fn capability_rules(strict: bool) -> Vec<String> {
    if strict {
        return vec!["deny capability".to_owned()];
    }
    CAPABILITIES
        .iter()
        .filter(|name| !ALLOWED_CAPABILITIES.contains(name))
        .map(|name| format!("deny capability {name}"))
        .collect()
}

/// The first rule covers everything in /proc that is not a process; `/proc/self` is resolved before
/// AppArmor looks.
const DENIED_PATHS: [&str; 7] = [
    "deny /proc/[^1-9]*{,/**} wl",
    "deny /proc/[1-9]*{,/task/[1-9]*}/{attr/**,mem} wl",
    "deny /proc/{kcore,kallsyms,keys,key-users,kmsg,kpage*,latency_stats,sched_debug,sysrq-trigger,timer_list,acpi/**,scsi/**} rwklmx",
    "deny /sys/** wl",
    "deny /sys/{firmware,fs/bpf,fs/pstore,kernel/debug,kernel/security,kernel/tracing,devices/virtual/powercap}/** rwklmx",
    "deny /dev/{mem,kmem,port,kmsg,kvm,fuse,loop*,sd*,vd*,xvd*,nvme*,md*,dm-*,mapper/**,disk/**} rwklmx",
    "deny /{,var/}run/{docker,containerd,podman,crio}{,.sock,/**} rwklmx",
];

/// What openclaw can write it cannot run, whatever its own rules say.
const WRITE_XOR_EXECUTE: [&str; 6] = [
    "deny /app/data/** mx",
    "deny /{,var/}tmp/** mx",
    "deny /dev/shm/** mx",
    "deny /home/** wlmx",
    "deny /root/** wlmx",
    "deny /etc/** wl",
];

/// Denies every directory that is named like the tenant's own and is not it, for the case that one
/// is mounted at the host's path: AppArmor has no "all but", so the complement is spelled out by
/// the first character that differs.
///
/// A base directory that does not end with the UID has no such pattern; the rule is then left out.
/// It is the second wall: AppArmor sees the paths of the container, and the gateway's check of
/// mounts is what keeps other directories out.
fn deny_other_tenants(own: &OwnDir) -> String {
    let uid = own.uid.as_str();
    let mut others = Vec::new();
    for (at, digit) in uid.char_indices() {
        let prefix = uid.get(..at).unwrap_or_default();
        // A directory of nothing but UIDs, e.g. /srv/ai/1001, is denied UIDs and not its other
        // entries: /srv and /data are places that images use.
        if at == 0 && own.is_bare() {
            others.push(format!("{}*", other_digits(digit)));
        } else {
            others.push(prefix.to_owned());
            others.push(format!("{prefix}[^{digit}/]*"));
        }
    }
    others.push(format!("{uid}?*"));
    // Shortest first, as a reader would list them: whole prefixes, then patterns.
    others.sort_by_key(|other| (other.contains(['*', '[']), other.ends_with("?*")));
    format!("deny {}{{{}}}{{,/**}} rwklmx", own.prefix, others.join(","))
}

/// A class of all digits but this one.
fn other_digits(digit: char) -> String {
    let others: String = ('0'..='9').filter(|other| *other != digit).collect();
    format!("[{others}]")
}
