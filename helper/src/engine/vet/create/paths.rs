//! Paths in a container, judged by their text.

/// The longest path, bytes.
const MAX_PATH: usize = 512;

/// Kernel file systems: a mount or a working directory there has defeated the container's walls
/// before (CVE-2019-16884, CVE-2019-19921, CVE-2023-27561, CVE-2024-21626, CVE-2025-31133).
const KERNEL: [&str; 3] = ["/proc", "/sys", "/dev"];

/// Files that say who is who, and what is loaded, inside a container.
const IDENTITY: [&str; 13] = [
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

/// True for a clean path that a process may start in.
pub(in crate::engine::vet) fn may_work_in(path: &str) -> bool {
    path == "/" || (is_clean(path) && !KERNEL.iter().any(|dir| is_at_or_below(path, dir)))
}

/// True for a clean path that something may be mounted on.
pub(in crate::engine::vet) fn may_mount_on(path: &str) -> bool {
    is_clean(path)
        && !KERNEL.iter().any(|dir| is_at_or_below(path, dir))
        && !IDENTITY
            .iter()
            .any(|file| is_at_or_below(path, file) || is_at_or_below(file, path))
}
