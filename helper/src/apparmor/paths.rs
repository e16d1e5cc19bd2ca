//! Where things are on this host. The tests point these at directories of their own.

use std::path::PathBuf;

use aistack_policy::apparmor::Abi;

/// Files and directories of AppArmor's.
#[derive(Debug, Clone)]
pub struct Paths {
    /// The compiler and loader, apparmor_parser(8).
    pub parser: PathBuf,
    /// Where vetted copies are kept; the distribution loads them at boot. Flat: a sub-directory
    /// would not be loaded.
    pub kept: PathBuf,
    /// The distribution's cache of compiled profiles, one directory for each set of kernel features.
    pub cache: PathBuf,
    /// `Y` when the kernel was started with AppArmor (kernel, security/apparmor/lsm.c).
    pub enabled: PathBuf,
    /// One `name (mode)` a line; needs securityfs and root.
    pub loaded: PathBuf,
    /// Where the gateway reads which profiles are verified.
    pub published: PathBuf,
    /// procfs.
    pub proc: PathBuf,
}

/// Where the gateway reads which profiles are verified, unless set otherwise.
pub const PUBLISHED: &str = "/run/aistack/apparmor";

impl Default for Paths {
    fn default() -> Self {
        Self {
            parser: "/usr/sbin/apparmor_parser".into(),
            kept: "/etc/apparmor.d".into(),
            cache: "/var/cache/apparmor".into(),
            enabled: "/sys/module/apparmor/parameters/enabled".into(),
            loaded: "/sys/kernel/security/apparmor/profiles".into(),
            published: PUBLISHED.into(),
            proc: "/proc".into(),
        }
    }
}

impl Paths {
    /// The newest `abi <…>` that this host's parser ships and that the profiles are written for.
    pub(super) fn abi(&self) -> Abi {
        if self.kept.join("abi/4.0").is_file() {
            Abi::V4
        } else {
            Abi::V3
        }
    }

    /// True when the running kernel enforces AppArmor.
    pub(super) fn kernel_enforces(&self) -> bool {
        std::fs::read_to_string(&self.enabled).is_ok_and(|enabled| enabled.trim() == "Y")
    }
}
