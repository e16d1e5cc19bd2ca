//! What the words of apparmor.d(5) that are outside the subset are called when they are refused.

use super::refusal::{Code, LineError};

/// Every known capability: capabilities(7), Linux 5.9 and later. The same list is in
/// apparmor_parser 3.0.8 and 4.1.0.
pub(super) const CAPABILITIES: [&str; 41] = [
    "audit_control",
    "audit_read",
    "audit_write",
    "block_suspend",
    "bpf",
    "checkpoint_restore",
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "ipc_lock",
    "ipc_owner",
    "kill",
    "lease",
    "linux_immutable",
    "mac_admin",
    "mac_override",
    "mknod",
    "net_admin",
    "net_bind_service",
    "net_broadcast",
    "net_raw",
    "perfmon",
    "setfcap",
    "setgid",
    "setpcap",
    "setuid",
    "sys_admin",
    "sys_boot",
    "sys_chroot",
    "sys_module",
    "sys_nice",
    "sys_pacct",
    "sys_ptrace",
    "sys_rawio",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "syslog",
    "wake_alarm",
];

/// What an entrypoint needs that starts as root and becomes a user; all others are denied.
pub(super) const ALLOWED_CAPABILITIES: [&str; 9] = [
    "chown",
    "dac_override",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "net_bind_service",
];

/// Why the first word of a line is refused, for words that the subset does not have at all.
pub(super) fn refused(word: &str) -> Option<LineError> {
    // `priority=1` and `^hat` are one word each for the reader, `if(` too.
    let stem = word
        .split(['=', '(', '{', ',', '+'])
        .next()
        .unwrap_or_default();
    let (code, sentence) = match stem {
        "priority" => (
            Code::Priority,
            "priority would override the mandatory denies",
        ),
        "audit" | "allow" | "prompt" | "quiet" | "other" => (
            Code::Qualifier,
            "deny and owner are the only qualifiers, in this order",
        ),
        "safe" | "unsafe" => (Code::Exec, "programs stay in the profile, by ix alone"),
        "profile" | "hat" => (Code::Block, NO_BLOCKS),
        "if" | "else" | "not" | "defined" => {
            (Code::Cond, "conditions are not part of the language")
        }
        "alias" => (Code::Alias, "aliases are not part of the language"),
        "include" | "#include" => (
            Code::Include,
            "only <tunables/global> above the header and <abstractions/base> in the body are known",
        ),
        "abi" => (
            Code::Abi,
            "only <abi/3.0> and <abi/4.0> above the header are known",
        ),
        "mount" | "remount" | "umount" | "pivot_root" | "ptrace" | "signal" | "dbus" | "unix"
        | "mqueue" | "userns" | "io_uring" | "all" | "change_profile" | "change_hat" | "link"
        | "set" | "rlimit" => (
            Code::Rule,
            "only file, capability and network rules may be written here",
        ),
        _ if word.starts_with('^') => (Code::Block, NO_BLOCKS),
        _ => return None,
    };
    Some(LineError { code, sentence })
}

pub(super) const NO_BLOCKS: &str = "there is one profile, without hats, child profiles or blocks";
