//! Who a process in a container is: always numbers, always the tenant's own.

use std::fmt;

use aistack_policy::{Grant, Refusal, Rule};

use super::super::json::shown;

/// A UID and GID of the grant; never root's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine::vet) struct User {
    /// UID.
    pub(in crate::engine::vet) uid: u32,
    /// GID.
    pub(in crate::engine::vet) gid: u32,
}

impl fmt::Display for User {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.uid, self.gid)
    }
}

impl User {
    /// The user that `text` names: nothing for the tenant itself, a UID of the grant, or such a UID
    /// with its GID. Docker would read a name in the image's own `/etc/passwd`, give a lone UID a
    /// GID from there, and take `00`, `+0` and `0:x` for root.
    pub(in crate::engine::vet) fn parse(grant: &Grant, text: &str) -> Result<Self, Refusal> {
        let (uid, gid) = match text.split_once(':') {
            _ if text.is_empty() => (Some(grant.uid), None),
            Some((uid, gid)) => (decimal(uid), Some(gid)),
            None => (decimal(text), None),
        };
        let allowed = uid.and_then(|uid| Some((uid, grant.gid_of(uid)?)));
        let user = allowed.filter(|(_, own)| gid.is_none_or(|gid| decimal(gid) == Some(*own)));
        match user {
            Some((uid, gid)) if uid != 0 && gid != 0 => Ok(Self { uid, gid }),
            Some(_) => Err(refused(text, Rule::builtin("no-root"), grant)),
            None => Err(refused(text, grant.rules.uid.clone(), grant)),
        }
    }

    /// Reads the user of a container of ours: both numbers are there, because we wrote them.
    pub(in crate::engine::vet) fn of_container(grant: &Grant, text: &str) -> Result<Self, Refusal> {
        match Self::parse(grant, text) {
            Ok(user) if user.to_string() == text => Ok(user),
            _ => Err(refused(text, grant.rules.uid.clone(), grant)),
        }
    }
}

/// A number in canonical decimal: no sign, no space, no leading zero.
pub(in crate::engine::vet) fn decimal(text: &str) -> Option<u32> {
    let number: u32 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

fn refused(text: &str, rule: Rule, grant: &Grant) -> Refusal {
    let own: Vec<String> = std::iter::once(&grant.uid)
        .chain(&grant.service_uids)
        .filter_map(|uid| Some(format!("{uid}:{}", grant.gid_of(*uid)?)))
        .collect();
    let message = format!("User \"{}\" is not one of this tenant's", shown(text));
    Refusal::new("USER_REFUSED", message, rule)
        .with_hint(format!("omit it, or use {}", own.join(" or ")))
}
