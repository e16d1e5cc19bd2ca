//! Which features a profile is compiled for.

/// Which features of AppArmor a profile is compiled for: the `abi` line. It decides what is mediated
/// at all, so that the newest that the host's parser has should be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Abi {
    /// `abi <abi/3.0>,`: Debian 12. User namespaces and message queues are not mediated.
    V3,
    /// `abi <abi/4.0>,`: Debian 13. User namespaces are denied, because no rule allows them.
    V4,
}

impl Abi {
    pub(super) fn line(self) -> &'static str {
        match self {
            Self::V3 => "abi <abi/3.0>,",
            Self::V4 => "abi <abi/4.0>,",
        }
    }
}
