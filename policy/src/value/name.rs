//! Names that other programs read: directories, domains, Docker networks, images, capabilities.

use super::{Relation, Template};
use crate::ImagePattern;
use crate::image::is_component;

/// The longest text a UID can become; checks on length fill it in.
const LONGEST_UID: u32 = i32::MAX.unsigned_abs();

/// The longest domain, so that a host name of any length fits in front of it: 253 in all (RFC 1035,
/// 2.3.4, without the root), less one label and its dot.
const LONGEST_DOMAIN: usize = 253 - 64;

/// Directories that no tenant may have, lie inside of, or lie around.
const SYSTEM_DIRECTORIES: [&str; 25] = [
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/home",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/proc",
    "/root",
    "/run",
    "/sbin",
    "/snap",
    "/sys",
    "/tmp",
    "/usr",
    "/var/lib/aistack",
    "/var/lib/containerd",
    "/var/lib/docker",
    "/var/lock",
    "/var/log",
    "/var/run",
    "/var/spool",
    "/var/tmp",
];

/// An absolute directory in plain components.
pub(crate) fn directory(text: &str) -> Result<Template, String> {
    let template = Template::parse(text)?;
    let longest = template.fill(LONGEST_UID);
    let Some(relative) = longest.strip_prefix('/') else {
        return Err(format!("{text:?} is not absolute"));
    };
    if relative.is_empty() {
        return Err("/ is the whole host".to_owned());
    }
    for component in relative.split('/') {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        if component.is_empty() || component == "." || component == ".." {
            return Err(format!(
                "{text:?} has an empty component, \".\" or \"..\"; write the shortest form"
            ));
        }
        if !component.bytes().all(plain) {
            return Err(format!(
                "{text:?} may hold only letters, digits, \".\", \"_\", \"-\" and \"/\""
            ));
        }
    }
    if longest.len() > 200 {
        return Err(format!(
            "{} characters, at most 200 with the longest UID",
            longest.len()
        ));
    }
    for system in SYSTEM_DIRECTORIES {
        let mine = text.split('/').skip(1);
        if Relation::of(mine, system.split('/').skip(1)) != Relation::Apart {
            return Err(format!(
                "{text} meets {system}, which belongs to the system"
            ));
        }
    }
    Ok(template)
}

/// A DNS name in lower case.
pub(crate) fn domain(text: &str) -> Result<Template, String> {
    let template = Template::parse(text)?;
    let longest = template.fill(LONGEST_UID);
    if longest.len() > LONGEST_DOMAIN {
        return Err(format!(
            "{} characters, at most {LONGEST_DOMAIN} with the longest UID: a service's host name goes in front",
            longest.len()
        ));
    }
    for label in longest.split('.') {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let hyphens_inside = !label.starts_with('-') && !label.ends_with('-');
        if !(1..=63).contains(&label.len()) || !label.bytes().all(plain) || !hyphens_inside {
            return Err(format!(
                "{text:?} is not a domain: each label is 1 to 63 of a-z, 0-9 and inner \"-\""
            ));
        }
    }
    let last = longest.rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("{text:?} ends in a number, like an address"));
    }
    Ok(template)
}

/// A name that Docker takes for a network and cannot take for anything else.
pub(crate) fn network_name(text: &str) -> Result<Template, String> {
    let template = Template::parse(text)?;
    let longest = template.fill(LONGEST_UID);
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    let starts_well = longest.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !starts_well || !longest.bytes().all(plain) || longest.len() > 64 {
        return Err(format!(
            "{text:?} is not a network name: at most 64 of letters, digits, \"_\", \".\" and \"-\", a letter or digit first"
        ));
    }
    let predefined = [
        "bridge",
        "host",
        "none",
        "default",
        "ingress",
        "docker_gwbridge",
        "nat",
    ];
    if predefined.contains(&longest.to_ascii_lowercase().as_str()) {
        return Err(format!("{text:?} is predefined by Docker"));
    }
    if longest.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(format!("{text:?} could be taken for a network id"));
    }
    Ok(template)
}

/// A short name for people.
pub(crate) fn tenant_name(text: &str) -> Result<String, String> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let hyphens_inside = !text.starts_with('-') && !text.ends_with('-');
    if (1..=32).contains(&text.len()) && text.bytes().all(plain) && hyphens_inside {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "{text:?} is not a short name: 1 to 32 of a-z, 0-9 and inner \"-\""
        ))
    }
}

/// `docker.io/library/redis` or `docker.io/n8nio/*`, normalised: registry first, no tag.
pub(crate) fn image_pattern(text: &str) -> Result<ImagePattern, String> {
    let Some((registry, path)) = text.split_once('/').filter(|(r, _)| is_registry(r)) else {
        return Err(format!(
            "{text:?} does not start with a registry; write it like \"docker.io/library/redis\""
        ));
    };
    if ["index.docker.io", "registry-1.docker.io"].contains(&registry) {
        return Err(format!("write docker.io for {registry}"));
    }
    let fixed = match path.strip_suffix("/*") {
        Some(fixed) => fixed,
        None if path == "*" => return Ok(ImagePattern(text.to_owned())),
        None => path,
    };
    if !fixed.split('/').all(is_component) {
        return Err(format!(
            "{text:?} is not an image pattern: registry/path in lower case without tag or digest, \"*\" only as the last component"
        ));
    }
    if registry == "docker.io" && !path.contains('/') {
        return Err(format!("write docker.io/library/{path} for {text}"));
    }
    if text.len() > 255 {
        return Err(format!("{} characters, at most 255", text.len()));
    }
    Ok(ImagePattern(text.to_owned()))
}

/// A host name with a dot, a port, or `localhost`: what tells a registry from a path.
fn is_registry(text: &str) -> bool {
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let label =
        |l: &str| !l.is_empty() && l.bytes().all(plain) && !l.starts_with('-') && !l.ends_with('-');
    let port_is_valid = port.is_none_or(|p| p.parse::<u16>().is_ok_and(|n| n.to_string() == p));
    let unambiguous = host.contains('.') || port.is_some() || host == "localhost";
    unambiguous && port_is_valid && host.split('.').all(label)
}

/// Every capability of Linux 6.x (capabilities(7)).
const CAPABILITIES: [&str; 41] = [
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "PERFMON",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
];

/// A capability without `CAP_`; `ALL` is none.
pub(crate) fn capability(text: &str) -> Result<String, String> {
    if text == "ALL" {
        return Err("ALL is not allowed; name each capability".to_owned());
    }
    if CAPABILITIES.contains(&text) {
        return Ok(text.to_owned());
    }
    let upper = text.to_ascii_uppercase();
    let meant = upper.strip_prefix("CAP_").unwrap_or(&upper);
    if CAPABILITIES.contains(&meant) {
        Err(format!("write {meant} for {text:?}"))
    } else {
        Err(format!("{text:?} is not a Linux capability"))
    }
}

/// True for a capability that reaches, or helps to reach, beyond the container: there is no user
/// namespace between a container and the host.
pub(crate) fn powerful(capability: &str) -> bool {
    [
        "BPF",
        "CHECKPOINT_RESTORE",
        "DAC_OVERRIDE",
        "DAC_READ_SEARCH",
        "LINUX_IMMUTABLE",
        "MAC_ADMIN",
        "MAC_OVERRIDE",
        "MKNOD",
        "NET_ADMIN",
        "NET_RAW",
        "PERFMON",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYSLOG",
        "SYS_ADMIN",
        "SYS_BOOT",
        "SYS_MODULE",
        "SYS_PTRACE",
        "SYS_RAWIO",
        "SYS_RESOURCE",
        "SYS_TIME",
    ]
    .contains(&capability)
}
