//! What the kernel says about its profiles.

use std::collections::BTreeSet;
use std::path::Path;

use aistack_policy::apparmor::is_loaded;

use super::ProfileError;

/// The kernel's list at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Loaded(String);

impl Loaded {
    /// Reads the list; needs securityfs and root.
    pub(super) fn read(list: &Path) -> Result<Self, ProfileError> {
        // A name may hold any byte; such a line is never one of ours.
        let bytes = std::fs::read(list).map_err(|source| ProfileError::Io {
            step: "read",
            path: list.display().to_string(),
            source,
        })?;
        Ok(Self(String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// True when the profile is there in enforce mode.
    pub(super) fn enforces(&self, name: &str) -> bool {
        is_loaded(&self.0, name)
    }

    /// True when the profile is there in any mode.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.lines().any(|line| name_of(line) == name)
    }

    /// The lines of all profiles but one that one of the two lists has and the other has not.
    pub(super) fn differences(&self, other: &Self, but: &str) -> Vec<String> {
        let lines = |list: &Self| -> BTreeSet<String> {
            let others = list.0.lines().filter(|line| name_of(line) != but);
            others.map(str::to_owned).collect()
        };
        let (before, after) = (lines(self), lines(other));
        before.symmetric_difference(&after).cloned().collect()
    }
}

/// A line is `name (mode)`; a name may hold blanks and brackets itself.
fn name_of(line: &str) -> &str {
    line.rsplit_once(" (").map_or(line, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Loaded {
        Loaded(text.to_owned())
    }

    #[test]
    fn a_profile_counts_only_by_its_whole_line() {
        let loaded = list(
            "docker-default (enforce)\nai-platform-1001 (complain)\nai-platform-10 (enforce)\n\
             ai-platform-7 (enforce) (complain)\n",
        );
        assert!(loaded.enforces("ai-platform-10"));
        assert!(!loaded.enforces("ai-platform-1001") && loaded.has("ai-platform-1001"));
        assert!(!loaded.enforces("ai-platform-1") && !loaded.has("ai-platform-1"));
        assert!(!loaded.enforces("ai-platform-7") && !loaded.has("ai-platform-7"));
        assert!(!loaded.has(""));
    }

    #[test]
    fn a_change_of_any_other_profile_is_seen() {
        let before = list("docker-default (enforce)\nai-platform-1001 (enforce)\n");
        for (after, differs) in [
            ("docker-default (enforce)\nai-platform-1001 (enforce)\n", 0),
            ("docker-default (enforce)\n", 0),
            ("docker-default (complain)\nai-platform-1001 (enforce)\n", 2),
            (
                "docker-default (enforce)\nai-platform-1001 (enforce)\nx (enforce)\n",
                1,
            ),
            (
                "docker-default (enforce)\nai-platform-1001 (enforce)\nai-platform-10011 (enforce)\n",
                1,
            ),
            ("ai-platform-1001 (enforce)\n", 1),
        ] {
            let found = before.differences(&list(after), "ai-platform-1001");
            assert_eq!(found.len(), differs, "{after} {found:?}");
        }
    }
}
