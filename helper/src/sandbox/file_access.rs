//! Where a daemon may write, by Landlock: a file system restriction that no privilege lifts.
//!
//! Reading is left to the file permissions. Landlock does not cover owners and modes; those are what
//! the capabilities are for. A process under Landlock can never mount, so the mount worker has none.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use aistack_policy::Policy;
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, PathBeneath, RestrictionStatus, Ruleset,
    RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

use super::SandboxError;

/// The newest version of Landlock whose rights are requested: those of Linux 6.12. An older kernel
/// takes the part that it knows (Debian 12's 6.1 has version 2).
const NEWEST: ABI = ABI::V6;

/// What a daemon may do to files.
#[derive(Debug, Clone, Default)]
pub struct FileAccess {
    /// Beneath these everything may be written, made and removed.
    pub writable: BTreeSet<PathBuf>,
    /// Programs may be run.
    pub programs: bool,
}

impl FileAccess {
    /// Those of `paths` that this policy needs and that are not among the places: the daemon needs a
    /// restart to reach them.
    pub fn missing<'a>(&self, paths: &'a BTreeSet<PathBuf>) -> impl Iterator<Item = &'a PathBuf> {
        let covered = |path: &Path| path.ancestors().any(|above| self.writable.contains(above));
        paths.iter().filter(move |path| !covered(path))
    }

    /// Restricts this thread, and every thread and program that it starts, for good.
    ///
    /// # Errors
    /// When the kernel has Landlock and refuses.
    pub fn restrict_self(&self) -> Result<(), SandboxError> {
        let status = self.restrict().map_err(SandboxError::Landlock)?;
        match status.ruleset {
            RulesetStatus::FullyEnforced => {}
            RulesetStatus::PartiallyEnforced => {
                tracing::info!(
                    "this kernel supports an older version of Landlock, which is in force"
                );
            }
            RulesetStatus::NotEnforced => tracing::warn!(
                "this kernel has no Landlock: only its user and its unit limit where this daemon writes"
            ),
        }
        Ok(())
    }

    fn restrict(&self) -> Result<RestrictionStatus, RulesetError> {
        let write = AccessFs::from_write(NEWEST);
        let mut handled = write;
        if !self.programs {
            handled |= AccessFs::Execute;
        }
        let mut rules = Ruleset::default()
            .handle_access(handled)?
            // Docker and the other daemons are Unix sockets: no TCP port at all.
            .handle_access(AccessNet::from_all(NEWEST))?
            // Root could otherwise end any other process of root.
            .scope(Scope::Signal)?
            .create()?;
        // Standard input and output of the programs that a daemon runs.
        rules = allow(
            rules,
            Path::new("/dev/null"),
            AccessFs::WriteFile | AccessFs::Truncate,
        )?;
        for place in &self.writable {
            rules = allow(rules, place, write)?;
        }
        rules.restrict_self()
    }
}

/// One more rule; a place that does not exist gets none, and so stays forbidden.
fn allow(
    rules: RulesetCreated,
    place: &Path,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    match open(place) {
        Ok(fd) => rules.add_rule(PathBeneath::new(fd, access)),
        Err(errno) => {
            let error = io::Error::from(errno);
            tracing::debug!(place = %place.display(), %error, "nothing can be written there");
            Ok(rules)
        }
    }
}

fn open(place: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(CWD, place, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
}

/// The directories in which the tenants' volumes are mounted.
#[must_use]
pub fn parents_of_base_dirs(policy: &Policy) -> BTreeSet<PathBuf> {
    let uids = policy.tenants().iter().cloned().flatten();
    uids.filter_map(|uid| policy.grant(uid))
        .filter_map(|grant| {
            Path::new(grant.base_dir.as_str())
                .parent()
                .map(Path::to_owned)
        })
        .collect()
}
