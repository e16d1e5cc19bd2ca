//! The network guard on this host: the policy's table given to the kernel by root's commands
//! ([`crate::admin::guard`]), and seen to be in force by daemons that have no privilege ([`Probe`]).

mod facts;
mod nft;
mod probe;
mod state;

use aistack_policy::Policy;
use aistack_policy::guard::{Canary, Facts, render};
use sha2::{Digest, Sha256};

pub use facts::of_host;
pub use nft::{Nft, NftError};
pub use probe::{Answer, Probe};
pub use state::{STATE_FILE, State, StateError, last_error};

use crate::hex::hex;

/// Where the kernel answers whether the table of this very policy is in force; `None` when the policy
/// wants none.
#[must_use]
pub fn canary(policy: &Policy) -> Option<Canary> {
    let text = render(policy, &Facts::default(), None)?;
    let digest = Sha256::digest(text.as_bytes());
    let first = digest.first_chunk::<4>()?;
    Some(Canary::of(*first))
}

/// The text for `nft -f`; `None` when the policy wants no guard.
#[must_use]
pub fn table(policy: &Policy, facts: &Facts) -> Option<String> {
    render(policy, facts, canary(policy))
}

/// What stands for a text in [`State`].
fn digest(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

/// Puts what the policy wants in the place of what the kernel has, and looks at what it has then.
/// `problem` of the state file tells the daemons of a failure; the table that was there stays.
///
/// # Errors
/// When nft cannot be run or refuses, or the kernel does not do what it took.
pub fn apply(
    policy: &Policy,
    facts: &Facts,
    nft: &Nft,
    state: &State,
) -> Result<Applied, ApplyError> {
    let Some(table) = table(policy, facts) else {
        return Ok(Applied::Off(off(nft, state)?));
    };
    let done = load(policy, &table, nft);
    let saved = match &done {
        Ok(listing) => state.in_force(&digest(&table), &digest(listing)),
        Err(error) => state.failed(error.for_tenants()),
    };
    done?;
    saved?;
    Ok(Applied::InForce)
}

/// What the kernel lists afterwards.
fn load(policy: &Policy, table: &str, nft: &Nft) -> Result<String, ApplyError> {
    nft.load(table)?;
    let listing = nft.list()?.ok_or(ApplyError::Missing("the table"))?;
    if let Some(head) = first_missing(table, &listing) {
        return Err(ApplyError::Missing(head));
    }
    match Probe::open().ask(canary(policy)) {
        Answer::InForce => Ok(listing),
        Answer::NotInForce | Answer::Unknown => Err(ApplyError::NotInForce),
    }
}

/// Removes the table; false when there was none.
///
/// # Errors
/// When nft cannot be run or refuses.
pub fn off(nft: &Nft, state: &State) -> Result<bool, ApplyError> {
    let removed = nft.remove()?;
    state.remove()?;
    Ok(removed)
}

/// What [`apply`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// The table is in force.
    InForce,
    /// The policy wants none; true when there was one.
    Off(bool),
}

/// Why the guard is not in force as the policy wants it.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// nft(8) was not run to a good end.
    #[error(transparent)]
    Nft(#[from] NftError),
    /// The state file cannot be written.
    #[error(transparent)]
    State(#[from] StateError),
    /// nft listed less than it was given.
    #[error("the kernel accepted the table, but lists it without {0}")]
    Missing(&'static str),
    /// The table is listed, and a packet that it drops passes.
    #[error("the kernel lists the table, but does not apply it")]
    NotInForce,
}

impl ApplyError {
    /// The same for tenants: nothing of what nft said.
    fn for_tenants(&self) -> &'static str {
        match self {
            Self::Nft(NftError::NotInstalled) => "nftables is not installed on this host",
            Self::Nft(_) => "the kernel or nft(8) of this host rejected the table",
            Self::State(_) => "the state could not be recorded",
            Self::Missing(_) | Self::NotInForce => {
                "the kernel of this host does not apply the table"
            }
        }
    }
}

/// How the kernel's table stands beside what the policy wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// As the policy wants it, and untouched since.
    InForce,
    /// The policy wants none, and there is none.
    Off,
    /// There is none: it was never applied, or somebody removed it (`nft flush ruleset`).
    Missing,
    /// The policy or the host's name servers have changed since it was applied.
    Outdated,
    /// Somebody has changed it since it was applied.
    Changed,
    /// The policy wants none, and there is one.
    Unwanted,
}

impl Status {
    /// A word for programs.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::InForce => "in-force",
            Self::Off => "off",
            Self::Missing => "missing",
            Self::Outdated => "outdated",
            Self::Changed => "changed",
            Self::Unwanted => "unwanted",
        }
    }

    /// True when nothing is to be done.
    #[must_use]
    pub fn is_right(self) -> bool {
        matches!(self, Self::InForce | Self::Off)
    }
}

/// Compares the kernel's table with what the policy wants.
///
/// # Errors
/// When nft cannot be run.
pub fn status(
    policy: &Policy,
    facts: &Facts,
    nft: &Nft,
    state: &State,
) -> Result<Status, NftError> {
    let Some(table) = table(policy, facts) else {
        // Without nft there is nothing that could have made a table.
        return match nft.list() {
            Ok(None) | Err(NftError::NotInstalled) => Ok(Status::Off),
            Ok(Some(_)) => Ok(Status::Unwanted),
            Err(error) => Err(error),
        };
    };
    let Some(listing) = nft.list()? else {
        return Ok(Status::Missing);
    };
    Ok(match state.applied() {
        Some((of_table, of_listing)) if of_table == digest(&table) => {
            if of_listing == digest(&listing) {
                Status::InForce
            } else {
                Status::Changed
            }
        }
        _ => Status::Outdated,
    })
}

/// The kind of the first chain, set or map of the text that the listing has not.
fn first_missing(table: &str, listing: &str) -> Option<&'static str> {
    let listed: std::collections::BTreeSet<&str> = listing.lines().map(str::trim).collect();
    let kinds = [("chain ", "a chain"), ("set ", "a set"), ("map ", "a map")];
    table.lines().map(str::trim).find_map(|line| {
        let (_, kind) = kinds.iter().find(|(word, _)| line.starts_with(word))?;
        (!listed.contains(line)).then_some(*kind)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_does_not_list_is_seen() {
        let table = "table inet aistack {\n\tset a {\n\t}\n\tchain owner_1 {\n\t\tdrop\n\t}\n}\n";
        assert_eq!(first_missing(table, table), None);
        assert_eq!(
            first_missing(table, &table.replace("owner_1", "owner_11")),
            Some("a chain")
        );
        assert_eq!(
            first_missing(table, &table.replace("set a {", "")),
            Some("a set")
        );
    }

    #[test]
    fn the_canary_follows_what_the_table_says_and_nothing_else() {
        let policy = |more: &str| {
            let text = format!("version = 1\n[tenants]\nuids = ['1001-1009']\n{more}");
            canary(&Policy::parse(&text).unwrap())
        };
        assert_eq!(policy(""), policy("images = ['docker.io/library/redis']"));
        assert_ne!(policy(""), policy("egress = 'none'"));
        assert_eq!(policy("[guard]\nenabled = false"), None);
    }
}
