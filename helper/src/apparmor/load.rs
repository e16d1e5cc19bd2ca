//! Bringing profiles into the kernel and out of it. Everything here runs alone on this host: the
//! list of the kernel is compared before and after.

use std::os::fd::AsFd;

use aistack_policy::Grant;
use aistack_policy::apparmor::{self, Kind, Names};

use super::kernel::Loaded;
use super::published::{self, Published};
use super::source::Sources;
use super::store::Store;
use super::{Paths, ProfileError, parser, tasks};

/// A profile as the helper wrote it.
pub(super) struct Profile {
    pub(super) name: String,
    pub(super) text: String,
}

/// The three profiles of a tenant: the base that no tenant text is in, and the two that the
/// tenant's vetted text narrows.
pub(super) fn rendered(
    paths: &Paths,
    base_dir: impl AsFd,
    grant: &Grant,
) -> Result<Vec<Profile>, ProfileError> {
    let (names, abi) = (Names::of(grant), paths.abi());
    let sources = Sources::open(base_dir, grant)?;
    let mut profiles = vec![Profile {
        name: names.base().to_owned(),
        text: apparmor::render_base(&names, abi),
    }];
    for kind in [Kind::Platform, Kind::Openclaw] {
        let file = apparmor::file_name(kind, &names);
        let source = match sources.read(file)? {
            Some(source) => source,
            None => apparmor::template(kind, &names).into_bytes(),
        };
        let refused = |refusal| ProfileError::Rejected {
            file: file.to_owned(),
            refusal,
        };
        let vetted = apparmor::vet(&source, kind, &names).map_err(refused)?;
        profiles.push(Profile {
            name: names.name(kind).to_owned(),
            text: vetted.render(abi),
        });
    }
    Ok(profiles)
}

/// The files and the kernel's list, while nobody else of this daemon changes them.
pub(super) struct Host<'p> {
    paths: &'p Paths,
    store: Store,
    published: Published,
}

impl<'p> Host<'p> {
    pub(super) fn open(paths: &'p Paths) -> Result<Self, ProfileError> {
        Ok(Self {
            paths,
            store: Store::open(&paths.kept, &paths.cache)?,
            published: Published::open(&paths.published)?,
        })
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// True when the profile needs no load: this very text is kept, no load of it was cut off, and
    /// the kernel enforces it. It is published then.
    pub(super) fn is_settled(&self, profile: &Profile) -> Result<bool, ProfileError> {
        let name = &profile.name;
        let unchanged = !self.store.is_staged(name)?
            && self.store.read(name)?.as_ref() == Some(&profile.text)
            && self.loaded()?.enforces(name);
        if unchanged && self.published.of(name) != Some(published::digest(&profile.text)) {
            self.published.publish(name, &profile.text)?;
        }
        Ok(unchanged)
    }

    /// Loads the profile, keeps it and publishes it. Where that fails, the kernel gets the kept text
    /// again.
    pub(super) fn install(&self, profile: &Profile) -> Result<(), ProfileError> {
        let Profile { name, text } = profile;
        let previous = self.store.read(name)?;
        self.store.stage(name, text)?;
        let loaded = self
            .load_alone(profile)
            .and_then(|()| self.store.commit(name));
        if let Err(error) = loaded {
            self.restore(profile, previous);
            return Err(error);
        }
        self.store.sync()?;
        self.published.publish(name, text)
    }

    /// Verifies that a kept profile is loaded, loads it where it is not, and publishes it.
    pub(super) fn revive(&self, name: &str) -> Result<(), ProfileError> {
        let Some(text) = self.store.read(name)? else {
            return Ok(());
        };
        let profile = Profile {
            name: name.to_owned(),
            text,
        };
        if self.is_settled(&profile)? {
            return Ok(());
        }
        parser::check(&self.paths.parser, name, &profile.text).map_err(parser_error(name))?;
        self.load_alone(&profile)?;
        self.store.unstage(name)?;
        self.published.publish(name, &profile.text)
    }

    /// Takes the profiles out of the kernel, and their copies off the disk; false when there was
    /// nothing. Refused as a whole while a task runs under one of them.
    pub(super) fn remove(&self, names: &[&str]) -> Result<bool, ProfileError> {
        self.require_idle(names)?;
        let mut changed = false;
        for name in names {
            changed |= self.published.withdraw(name)?;
        }
        // Again, now that the gateway makes and starts nothing under them any more.
        self.require_idle(names)?;
        for name in names {
            if self.paths.kernel_enforces() && self.loaded()?.has(name) {
                self.unload_alone(name)?;
                changed = true;
            }
            self.store.unstage(name)?;
            changed |= self.store.remove(name)?;
        }
        Ok(changed)
    }

    fn require_idle(&self, names: &[&str]) -> Result<(), ProfileError> {
        for name in names {
            let tasks = self.tasks(name)?;
            if tasks > 0 {
                return Err(ProfileError::InUse {
                    profile: (*name).to_owned(),
                    tasks,
                });
            }
        }
        Ok(())
    }

    fn tasks(&self, name: &str) -> Result<usize, ProfileError> {
        let proc = &self.paths.proc;
        tasks::count(proc, name).map_err(|source| ProfileError::Io {
            step: "read",
            path: proc.display().to_string(),
            source,
        })
    }

    fn loaded(&self) -> Result<Loaded, ProfileError> {
        Loaded::read(&self.paths.loaded)
    }

    fn load_alone(&self, profile: &Profile) -> Result<(), ProfileError> {
        let Profile { name, text } = profile;
        let after = self.alone(name, || parser::load(&self.paths.parser, text))?;
        if after.enforces(name) {
            return Ok(());
        }
        Err(not_verified(name, "the kernel does not enforce it"))
    }

    fn unload_alone(&self, name: &str) -> Result<(), ProfileError> {
        let text = format!("profile {name} {{\n}}\n");
        let after = self.alone(name, || parser::unload(&self.paths.parser, &text))?;
        if after.has(name) {
            return Err(not_verified(name, "the kernel still has it"));
        }
        Ok(())
    }

    /// Runs the parser; no profile but `name` may come, go or change its mode by it.
    fn alone(
        &self,
        name: &str,
        act: impl FnOnce() -> Result<(), parser::ParserError>,
    ) -> Result<Loaded, ProfileError> {
        let before = self.loaded()?;
        act().map_err(parser_error(name))?;
        let after = self.loaded()?;
        let others = before.differences(&after, name);
        if others.is_empty() {
            return Ok(after);
        }
        tracing::error!(
            profile = name,
            ?others,
            "other profiles changed during a load"
        );
        Err(not_verified(
            name,
            "other profiles changed at the same time",
        ))
    }

    /// Gives the kernel what it had. Where that fails too, the profile is not published any more and
    /// stays marked as cut off, so that the next load starts over.
    fn restore(&self, failed: &Profile, previous: Option<String>) {
        let name = &failed.name;
        let restored = match previous {
            Some(text) => {
                let previous = Profile {
                    name: name.clone(),
                    text,
                };
                self.load_alone(&previous)
            }
            None => self.withdraw_new(name),
        };
        let restored = restored.and_then(|()| self.store.unstage(name));
        if let Err(error) = restored {
            tracing::error!(profile = %name, %error, "cannot restore the previous profile");
            if let Err(error) = self.published.withdraw(name) {
                tracing::error!(profile = %name, %error, "cannot withdraw the profile");
            }
        }
    }

    /// There was no text before: the kernel must have none either.
    fn withdraw_new(&self, name: &str) -> Result<(), ProfileError> {
        self.published.withdraw(name)?;
        if !self.loaded()?.has(name) {
            return Ok(());
        }
        self.require_idle(&[name])?;
        self.unload_alone(name)
    }
}

pub(super) fn parser_error(name: &str) -> impl Fn(parser::ParserError) -> ProfileError + use<> {
    let profile = name.to_owned();
    move |source| ProfileError::Parser {
        profile: profile.clone(),
        source,
    }
}

fn not_verified(name: &str, what: &'static str) -> ProfileError {
    ProfileError::NotVerified {
        profile: name.to_owned(),
        what,
    }
}
