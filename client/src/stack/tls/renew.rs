//! New certificates for sites, before their time.
//!
//! Caddy 2.11 keeps certificates in memory: it obtains a new one when the old one's files are gone
//! *and* it has been made to forget it, which a configuration without the site does. So the files
//! are put aside, an empty configuration is loaded, and then the real one. What does not work out
//! is undone the same way.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Trust;
use super::sites::{self, Site, SiteState};
use crate::engine::Engine;
use crate::ui;

/// The proxy's service.
pub const PROXY: &str = "caddy";
/// Its certificates, below the tenant's volume: one directory an issuer, in it one a host.
const CERTIFICATES: &str = "data/caddy/caddy/certificates";
/// Where those wait that are to be replaced.
const ASIDE: &str = "data/caddy/before-renewal";
/// A new certificate may take this long; an authority on the internet takes some seconds.
const LIMIT: Duration = Duration::from_secs(90);
/// How often the site is queried in that time.
const AGAIN: Duration = Duration::from_millis(300);

/// The proxy of one tenant.
#[derive(Debug, Clone, Copy)]
pub struct Proxy<'a> {
    /// The engine.
    pub engine: &'a Engine,
    /// Its container.
    pub id: &'a str,
    /// The tenant's volume.
    pub base_dir: &'a Path,
}

impl Proxy<'_> {
    /// Has caddy read its configuration again, and with it look after what is due.
    ///
    /// # Errors
    /// What caddy said.
    pub async fn reload(&self) -> Result<(), String> {
        let own = ["--force", "--config", "/etc/caddy/Caddyfile"];
        self.caddy_reload(&own, "").await
    }

    /// Has caddy forget every certificate and load what is there, or obtain it. No site answers in
    /// between, for less than a second.
    async fn load_anew(&self) -> Result<(), String> {
        let nothing = "{\n\tadmin 127.0.0.1:2019\n\tpersist_config off\n}\n";
        self.caddy_reload(&["--config", "/dev/stdin"], nothing)
            .await?;
        let Err(why) = self.reload().await else {
            return Ok(());
        };
        // Without a configuration no site answers; a start reads it in any case.
        let engine = self.engine;
        let restarted = match engine.stop(self.id).await {
            Ok(()) => engine.start(self.id).await,
            Err(error) => Err(error),
        };
        restarted.map_err(|error| format!("{why}; and it could not be restarted: {error}"))
    }

    async fn caddy_reload(&self, arguments: &[&str], stdin: &str) -> Result<(), String> {
        let always = ["--adapter", "caddyfile", "--address", "127.0.0.1:2019"];
        let command: Vec<String> = ["caddy", "reload"]
            .iter()
            .chain(arguments)
            .chain(&always)
            .map(|&word| word.to_owned())
            .collect();
        let output = self.engine.exec(self.id, &command, stdin).await;
        let output = output.map_err(|error| format!("caddy reload: {error}"))?;
        match output.code {
            0 => Ok(()),
            _ => Err(ui::clean(&format!("caddy reload: {}", output.why("")))),
        }
    }

    /// Has new certificates obtained for these sites, whatever is left of the old ones. A site that
    /// gets none has its old one back.
    ///
    /// # Errors
    /// When files could not be moved or caddy does not listen; sites are as before then.
    pub async fn replace(
        &self,
        trust: &Trust,
        before: &[SiteState],
    ) -> Result<Vec<SiteState>, String> {
        self.put_back_leftovers()?;
        let hosts = before.iter().map(|state| state.site.host.as_str());
        for host in hosts {
            if let Err(error) = self.put_aside(host) {
                self.put_back_leftovers()?;
                return Err(error);
            }
        }
        if let Err(error) = self.load_anew().await {
            self.put_back_leftovers()?;
            return Err(error);
        }
        let mut after = self.wait_for_new(trust, before).await;
        let pairs = || before.iter().zip(&after);
        let (kept, given_back): (Vec<_>, Vec<_>) =
            pairs().partition(|(old, new)| is_unchanged(old, new));
        for (state, _) in kept {
            self.drop_aside(&state.site.host)?;
        }
        if given_back.is_empty() {
            return Ok(after);
        }
        for (state, _) in &given_back {
            self.drop_current(&state.site.host)?;
        }
        let given_back: Vec<Site> = given_back.iter().map(|(old, _)| old.site.clone()).collect();
        self.put_back_leftovers()?;
        self.load_anew().await?;
        for site in given_back {
            let now = sites::look(trust, &site).await;
            for state in after.iter_mut().filter(|state| state.site == site) {
                let why = state.problem.take().unwrap_or_default();
                let again = if now.ok {
                    "; the old one is served again"
                } else {
                    ""
                };
                state.problem = Some(format!("{why}{again}"));
                state.certificate.clone_from(&now.certificate);
                state.ok = false;
            }
        }
        Ok(after)
    }

    /// Connects until every site serves another certificate than before, or the time is up. One that
    /// still has the old one then is not ok.
    pub async fn wait_for_new(&self, trust: &Trust, before: &[SiteState]) -> Vec<SiteState> {
        let sites: Vec<Site> = before.iter().map(|state| state.site.clone()).collect();
        let until = Instant::now() + LIMIT;
        loop {
            let last = Instant::now() >= until;
            let log = last.then_some(self.id);
            let mut now = sites::look_at_all(trust, &sites, self.engine, log).await;
            let all = now.iter().zip(before).all(|(new, old)| is_new(old, new));
            if !last && !all {
                sleep(AGAIN).await;
                continue;
            }
            for (new, old) in now.iter_mut().zip(before) {
                if !is_new(old, new) {
                    new.ok = false;
                    let limit = ui::seconds(LIMIT);
                    let none = format!("no new certificate in {limit}");
                    new.problem.get_or_insert(none);
                }
            }
            return now;
        }
    }

    /// `(below certificates, aside)` of a host, for each issuer that has it in `tree`.
    fn file_pairs(&self, tree: &str, host: &str) -> Vec<(PathBuf, PathBuf)> {
        let entries = fs::read_dir(self.base_dir.join(tree));
        let issuers = entries.into_iter().flatten().flatten();
        let named = issuers.map(|entry| entry.file_name());
        named
            .filter(|issuer| self.base_dir.join(tree).join(issuer).join(host).is_dir())
            .map(|issuer| {
                let place = |tree: &str| self.base_dir.join(tree).join(&issuer).join(host);
                (place(CERTIFICATES), place(ASIDE))
            })
            .collect()
    }

    fn put_aside(&self, host: &str) -> Result<(), String> {
        for (current, aside) in self.file_pairs(CERTIFICATES, host) {
            rename(&current, &aside)?;
        }
        Ok(())
    }

    fn drop_aside(&self, host: &str) -> Result<(), String> {
        for (_, aside) in self.file_pairs(ASIDE, host) {
            remove(&aside)?;
        }
        Ok(())
    }

    /// Removes what came where there is something to give back.
    fn drop_current(&self, host: &str) -> Result<(), String> {
        for (current, aside) in self.file_pairs(CERTIFICATES, host) {
            if aside.exists() {
                remove(&current)?;
            }
        }
        Ok(())
    }

    /// Gives back what is aside, also from a run that was killed, where nothing new has come.
    fn put_back_leftovers(&self) -> Result<(), String> {
        let aside = self.base_dir.join(ASIDE);
        for issuer in names(&aside) {
            for host in names(&aside.join(&issuer)) {
                let old = aside.join(&issuer).join(&host);
                let current = self.base_dir.join(CERTIFICATES).join(&issuer).join(&host);
                if current.exists() {
                    remove(&old)?;
                } else {
                    rename(&old, &current)?;
                }
            }
        }
        if aside.exists() {
            remove(&aside)?;
        }
        Ok(())
    }
}

fn names(directory: &Path) -> Vec<std::ffi::OsString> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name()).collect()
}

fn rename(from: &Path, to: &Path) -> Result<(), String> {
    let failed = |error: io::Error| format!("cannot move {}: {error}", from.display());
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    fs::rename(from, to).map_err(failed)
}

fn remove(path: &Path) -> Result<(), String> {
    fs::remove_dir_all(path).map_err(|error| format!("cannot remove {}: {error}", path.display()))
}

fn is_new(old: &SiteState, new: &SiteState) -> bool {
    let serial = |state: &SiteState| {
        state
            .certificate
            .as_ref()
            .map(|served| served.serial.clone())
    };
    new.certificate.is_some() && serial(new) != serial(old)
}

/// A new certificate stays where it is right, and where the old one was not either.
fn is_unchanged(old: &SiteState, new: &SiteState) -> bool {
    is_new(old, new) && (new.ok || !old.ok)
}

/// Whether caddy would renew it: less than a third of its life is left (certmagic's ratio), or
/// something is wrong with it.
#[must_use]
pub fn is_due(state: &SiteState) -> bool {
    let Some(served) = state.certificate.as_ref().filter(|_| state.ok) else {
        return true;
    };
    let life = served.not_after.as_second() - served.not_before.as_second();
    let left = served.not_after.as_second() - jiff::Timestamp::now().as_second();
    left < life / 3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(base: &Path) -> Vec<String> {
        let mut found = Vec::new();
        for tree in [CERTIFICATES, ASIDE] {
            for issuer in names(&base.join(tree)) {
                for host in names(&base.join(tree).join(&issuer)) {
                    let content = base.join(tree).join(&issuer).join(&host).join("crt");
                    let content = fs::read_to_string(content).unwrap();
                    let tree = tree.rsplit('/').next().unwrap();
                    found.push(format!("{tree}/{}/{content}", host.to_string_lossy()));
                }
            }
        }
        found.sort();
        found
    }

    fn make(base: &Path, host: &str, content: &str) {
        let directory = base.join(CERTIFICATES).join("local").join(host);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("crt"), content).unwrap();
    }

    #[test]
    fn what_is_put_aside_comes_back_unless_something_new_came() {
        let dir = tempfile::tempdir().unwrap();
        let engine = Engine::at(Path::new("/dev/null")).unwrap();
        let proxy = Proxy {
            engine: &engine,
            id: "x",
            base_dir: dir.path(),
        };
        for host in ["a", "b", "c"] {
            make(dir.path(), host, "old");
        }
        proxy.put_aside("a").unwrap();
        proxy.put_aside("b").unwrap();
        assert_eq!(
            tree(dir.path()),
            [
                "before-renewal/a/old",
                "before-renewal/b/old",
                "certificates/c/old"
            ]
        );
        make(dir.path(), "a", "new");
        proxy.put_back_leftovers().unwrap();
        assert_eq!(
            tree(dir.path()),
            [
                "certificates/a/new",
                "certificates/b/old",
                "certificates/c/old"
            ]
        );
        assert!(!dir.path().join(ASIDE).exists());
        proxy.put_back_leftovers().unwrap();
    }
}
