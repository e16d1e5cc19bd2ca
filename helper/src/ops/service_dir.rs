//! What a caller may name of its directories: a short service name and two closed enums.

use std::fmt;

use aistack_policy::{Grant, Refusal, Rule};
use aistack_proto::v1;

use crate::service_name::ServiceName;

/// Which of the three trees a service directory is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DirKind {
    /// `etc/<service>`: rendered configuration, the tenant's, readable to the service's group.
    Etc,
    /// `data/<service>`: state.
    Data,
    /// `logs/<service>`.
    Logs,
}

impl DirKind {
    /// The tree's directory below the base directory.
    #[must_use]
    pub fn tree(self) -> &'static str {
        match self {
            Self::Etc => "etc",
            Self::Data => "data",
            Self::Logs => "logs",
        }
    }
}

/// Whom a service directory belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DirOwner {
    /// The tenant's own UID and GID.
    Tenant,
    /// The first service UID of the grant, with the GID of the same number.
    Service,
}

/// One directory that a service has, as the caller may ask for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServiceDir {
    /// Whose.
    pub service: ServiceName,
    /// Which tree.
    pub kind: DirKind,
    /// Who uses it.
    pub owner: DirOwner,
}

/// Numbers and mode that a directory must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ownership {
    /// Owning UID.
    pub uid: u32,
    /// Owning GID.
    pub gid: u32,
    /// Permission bits.
    pub mode: u32,
}

impl ServiceDir {
    /// The owner and mode that this directory has under `grant`. `etc/` stays the tenant's, and
    /// the service that is to read it gets in by its group.
    ///
    /// # Errors
    /// When the directory is for the service UID and the grant has none.
    pub fn ownership(&self, grant: &Grant) -> Result<Ownership, Refusal> {
        let (uid, gid) = match self.owner {
            DirOwner::Tenant => (grant.uid, grant.gid),
            DirOwner::Service => {
                let uid = grant.service_uids.first().copied().ok_or_else(|| {
                    Refusal::new(
                        "NO_SERVICE_UID",
                        format!("the policy gives UID {} no service UID", grant.uid),
                        grant.rules.service_uids.clone(),
                    )
                })?;
                (uid, grant.gid_of(uid).unwrap_or(uid))
            }
        };
        Ok(match self.kind {
            DirKind::Etc => Ownership {
                uid: grant.uid,
                gid,
                mode: 0o750,
            },
            DirKind::Data | DirKind::Logs => Ownership {
                uid,
                gid,
                mode: 0o700,
            },
        })
    }
}

impl fmt::Display for ServiceDir {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.kind.tree(), self.service)
    }
}

impl TryFrom<v1::ServiceDirectory> for ServiceDir {
    type Error = Refusal;

    fn try_from(request: v1::ServiceDirectory) -> Result<Self, Refusal> {
        let kind = match v1::DirectoryKind::try_from(request.kind) {
            Ok(v1::DirectoryKind::Etc) => DirKind::Etc,
            Ok(v1::DirectoryKind::Data) => DirKind::Data,
            Ok(v1::DirectoryKind::Logs) => DirKind::Logs,
            Ok(v1::DirectoryKind::Unspecified) | Err(_) => return Err(unknown("kind")),
        };
        let owner = match v1::DirectoryOwner::try_from(request.owner) {
            Ok(v1::DirectoryOwner::Tenant) => DirOwner::Tenant,
            Ok(v1::DirectoryOwner::Service) => DirOwner::Service,
            Ok(v1::DirectoryOwner::Unspecified) | Err(_) => return Err(unknown("owner")),
        };
        Ok(Self {
            service: ServiceName::try_from(request.service)?,
            kind,
            owner,
        })
    }
}

fn unknown(field: &str) -> Refusal {
    Refusal::new(
        "UNKNOWN_ENUM_VALUE",
        format!("unknown {field} of the directory"),
        Rule::builtin("closed-enums"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service_name::MAX_NAME;

    fn request(service: &str, kind: i32, owner: i32) -> v1::ServiceDirectory {
        v1::ServiceDirectory {
            service: service.to_owned(),
            kind,
            owner,
        }
    }

    #[test]
    fn names_that_are_one_plain_component_pass() {
        let longest = "a".repeat(MAX_NAME);
        for name in ["n8n", "a", "0", "open-claw", "a--b", &longest] {
            let dir = ServiceDir::try_from(request(name, 2, 1)).unwrap();
            assert_eq!(dir.service.as_str(), name);
        }
    }

    #[test]
    fn everything_else_is_refused() {
        let too_long = "a".repeat(MAX_NAME + 1);
        let names = [
            "", ".", "..", "a/b", "/a", "-a", "a-", "A", "a_b", "a b", "a\0", "a\n", "é", &too_long,
        ];
        for name in names {
            let refusal = ServiceDir::try_from(request(name, 2, 1)).unwrap_err();
            assert_eq!(refusal.reason, "BAD_SERVICE_NAME", "{name:?}");
        }
    }

    #[test]
    fn unspecified_and_unknown_enum_values_are_refused() {
        for (kind, owner) in [(0, 1), (4, 1), (-1, 1), (2, 0), (2, 3), (2, i32::MAX)] {
            let refusal = ServiceDir::try_from(request("n8n", kind, owner)).unwrap_err();
            assert_eq!(refusal.reason, "UNKNOWN_ENUM_VALUE", "{kind} {owner}");
        }
    }
}
