//! The names of one tenant's profiles, and which directory on the host is its own.

use crate::Grant;

/// The two profiles that a tenant may narrow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// All services but OpenClaw.
    Platform,
    /// OpenClaw alone: default deny, no capability, nothing both writable and executable.
    Openclaw,
}

impl Kind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Platform, Self::Openclaw];
}

/// The profile names of one tenant, a pure function of its [`Grant`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    base: String,
    platform: String,
    openclaw: String,
    own_dir: Option<OwnDir>,
}

impl Names {
    /// The names that a grant gives.
    #[must_use]
    pub fn of(grant: &Grant) -> Self {
        Self {
            base: format!("ai-base-{}", grant.uid),
            platform: grant.platform_profile.clone(),
            openclaw: grant.openclaw_profile.clone(),
            own_dir: OwnDir::find(&grant.base_dir, grant.uid),
        }
    }

    /// The names of a tenant by its UID, the UID of its OpenClaw and its base directory.
    #[must_use]
    pub fn new(uid: u32, openclaw_uid: u32, base_dir: &str) -> Self {
        Self {
            base: format!("ai-base-{uid}"),
            platform: format!("ai-platform-{uid}"),
            openclaw: format!("ai-platform-openclaw-{openclaw_uid}"),
            own_dir: OwnDir::find(base_dir, uid),
        }
    }

    /// The profile that the tenant may narrow, e.g. `ai-platform-1001`.
    #[must_use]
    pub fn name(&self, kind: Kind) -> &str {
        match kind {
            Kind::Platform => &self.platform,
            Kind::Openclaw => &self.openclaw,
        }
    }

    /// The profile that nobody but the helper writes, e.g. `ai-base-1001`.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The label of the tenant's containers, for Docker's `apparmor=`: the base and the tenant's
    /// profile stacked, so that the kernel enforces what both allow, e.g.
    /// `ai-base-1001//&ai-platform-1001`.
    #[must_use]
    pub fn label(&self, kind: Kind) -> String {
        format!("{}//&{}", self.base, self.name(kind))
    }

    pub(super) fn own_dir(&self) -> Option<&OwnDir> {
        self.own_dir.as_ref()
    }
}

/// A base directory that ends with the tenant's UID, e.g. `/mnt/data-tenant-1001`, so that all
/// directories like it which are not its own can be recognised by a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OwnDir {
    /// Everything before the UID, e.g. `/mnt/data-tenant-`.
    pub(super) prefix: String,
    /// The UID in digits.
    pub(super) uid: String,
}

impl OwnDir {
    /// `None` for a directory whose last component does not end with the UID (or ends with a longer
    /// number), and for one with a character that means something in an AppArmor path: there is then
    /// no pattern for the others.
    fn find(base_dir: &str, uid: u32) -> Option<Self> {
        let uid = uid.to_string();
        let prefix = base_dir.strip_suffix(&uid)?;
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-/".contains(&b);
        let known = prefix.starts_with('/')
            && !prefix.ends_with(|c: char| c.is_ascii_digit())
            && !prefix.contains("//")
            && prefix.bytes().all(plain);
        known.then(|| Self {
            prefix: prefix.to_owned(),
            uid,
        })
    }

    /// True when the last component is nothing but the UID, e.g. `/srv/ai/1001`.
    pub(super) fn is_bare(&self) -> bool {
        self.prefix.ends_with('/')
    }
}
