//! `BASE_DIR/config/engine.toml`: the Docker Engine that the stack was deployed on. One with another image store or
//! data directory does not show what the former has, and Docker itself says nothing of that.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::engine::Engine;
use crate::fs::atomic;

/// For people who open it.
const HEADING: &str =
    "# Written by `aistack deploy`: the Docker Engine that your services were deployed on.\n";

/// What tells one Docker Engine from the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct DeployedOn {
    /// Its version, in its own words.
    version: String,
    /// e.g. `overlay2`, or `overlayfs` for containerd's image store.
    storage_driver: String,
}

fn path(base_dir: &Path) -> PathBuf {
    base_dir.join("config/engine.toml")
}

/// Notes that the stack is deployed on this engine. What cannot be noted is not reported later.
pub async fn note(engine: &Engine, base_dir: &Path) {
    let Some(now) = ask(engine).await else {
        return;
    };
    if read(base_dir).as_ref() != Some(&now)
        && let Ok(text) = toml::to_string(&now)
    {
        let text = format!("{HEADING}{text}");
        drop(atomic::write(&path(base_dir), text.as_bytes(), 0o600));
    }
}

/// Forgets it: the containers were removed by their owner.
pub fn forget(base_dir: &Path) {
    drop(std::fs::remove_file(path(base_dir)));
}

/// Why none of a deployed stack's containers is there, of which there are `count` now; `None` where there are
/// some, or nothing was deployed.
pub async fn hidden(engine: &Engine, base_dir: &Path, count: usize) -> Option<String> {
    if count > 0 {
        return None;
    }
    let before = read(base_dir)?;
    Some(sentence(&before, &ask(engine).await?))
}

fn sentence(before: &DeployedOn, now: &DeployedOn) -> String {
    let describe = |engine: &DeployedOn| {
        let DeployedOn {
            version,
            storage_driver,
        } = engine;
        format!("Docker Engine {version} with storage driver {storage_driver}")
    };
    let why = if before.storage_driver == now.storage_driver {
        format!(
            "{} has none of the containers that you deployed: they were removed, or its data directory \
             changed",
            describe(now)
        )
    } else {
        format!(
            "you deployed on {}; the host now runs {}, which does not have its containers and \
             images",
            describe(before),
            describe(now)
        )
    };
    format!("{why}. `aistack deploy` creates them again; your data is on your volume and stays")
}

async fn ask(engine: &Engine) -> Option<DeployedOn> {
    let (version, storage_driver) = engine.version_and_driver().await.ok()?;
    Some(DeployedOn {
        version,
        storage_driver,
    })
}

fn read(base_dir: &Path) -> Option<DeployedOn> {
    toml::from_str(&std::fs::read_to_string(path(base_dir)).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(version: &str, storage_driver: &str) -> DeployedOn {
        DeployedOn {
            version: version.to_owned(),
            storage_driver: storage_driver.to_owned(),
        }
    }

    #[test]
    fn another_image_store_is_distinguished_from_lost_containers() {
        let before = on("20.10.24", "overlay2");
        let moved = sentence(&before, &on("29.4.0", "overlayfs"));
        for words in [
            "20.10.24 with storage driver overlay2",
            "29.4.0 with storage driver overlayfs",
            "does not have its",
            "aistack deploy",
            "data is on your volume and stays",
        ] {
            assert!(moved.contains(words), "{moved}");
        }
        let lost = sentence(&before, &on("29.4.0", "overlay2"));
        assert!(
            lost.contains("data directory") && lost.contains("aistack deploy"),
            "{lost}"
        );
        assert!(!lost.contains("20.10.24"), "{lost}");
    }

    #[test]
    fn what_is_noted_is_read_again_until_it_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("config")).unwrap();
        assert_eq!(read(dir.path()), None);
        let noted = on("20.10.24+dfsg1", "overlay2");
        let text = format!("{HEADING}{}", toml::to_string(&noted).unwrap());
        atomic::write(&path(dir.path()), text.as_bytes(), 0o600).unwrap();
        assert_eq!(read(dir.path()), Some(noted));
        forget(dir.path());
        forget(dir.path());
        assert_eq!(read(dir.path()), None);
    }
}
