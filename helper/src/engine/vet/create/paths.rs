//! Paths in a container, judged by their text.

/// The longest path, bytes.
const MAX_PATH: usize = 512;

/// Kernel file systems: a mount or a working directory there has defeated the container's isolation
/// before (CVE-2019-16884, CVE-2019-19921, CVE-2023-27561, CVE-2024-21626, CVE-2025-31133).
const KERNEL: [&str; 3] = ["/proc", "/sys", "/dev"];

/// Files that say who is who, and what is loaded, inside a container; and the place of Docker's own
/// init, which Docker mounts there: inside of another mount that place could be led astray.
const IDENTITY: [&str; 14] = [
    "/.dockerenv",
    "/etc/group",
    "/etc/gshadow",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/ld.so.preload",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/resolv.conf",
    "/etc/shadow",
    "/etc/sudoers",
    "/etc/sudoers.d",
    "/usr/sbin/docker-init",
];

/// Links that images have (FHS 3.0, merged `/usr`), and where they lead: a path through one of them is
/// a path to there. An image without such a link is judged as if it had it.
const LINKS: [(&str, &str); 9] = [
    ("/var/run", "/run"),
    ("/var/lock", "/run/lock"),
    ("/run/shm", "/dev/shm"),
    ("/usr/tmp", "/var/tmp"),
    ("/var/spool/mail", "/var/mail"),
    ("/bin", "/usr/bin"),
    ("/sbin", "/usr/sbin"),
    ("/lib", "/usr/lib"),
    ("/lib64", "/usr/lib64"),
];

/// True for an absolute path without empty, `.` and `..` components and control characters, and
/// that is not `/` itself: lexical cleaning would not change it.
pub(in crate::engine::vet) fn is_clean(path: &str) -> bool {
    let component = |part: &str| !matches!(part, "" | "." | "..");
    path.len() <= MAX_PATH
        && !path.chars().any(char::is_control)
        && path
            .strip_prefix('/')
            .is_some_and(|rest| rest.split('/').all(component))
}

/// True when `path` is `dir` or stands below it.
pub(in crate::engine::vet) fn is_at_or_below(path: &str, dir: &str) -> bool {
    path.strip_prefix(dir)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Where a path leads by the links that images usually have. Other links of an image are not seen.
pub(in crate::engine::vet) fn resolved(path: &str) -> String {
    // No link of the list leads to a longer way: two steps reach the end of /var/run/shm.
    let step = |path: String| {
        let link = LINKS.iter().find(|(link, _)| is_at_or_below(&path, link));
        match link.and_then(|(link, to)| Some((path.strip_prefix(link)?, to))) {
            Some((rest, to)) => format!("{to}{rest}"),
            None => path,
        }
    };
    step(step(path.to_owned()))
}

/// True for a clean path that a process may start in, as far as its text says.
pub(in crate::engine::vet) fn may_work_in(path: &str) -> bool {
    path == "/" || (is_clean(path) && !is_kernels(&resolved(path)))
}

fn is_kernels(path: &str) -> bool {
    KERNEL.iter().any(|dir| is_at_or_below(path, dir))
}

/// True for a clean path that something may be mounted on.
pub(in crate::engine::vet) fn may_mount_on(path: &str) -> bool {
    let real = resolved(path);
    is_clean(path)
        && !is_kernels(&real)
        && !IDENTITY
            .iter()
            .any(|file| is_at_or_below(&real, file) || is_at_or_below(file, &real))
}
