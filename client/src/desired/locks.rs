//! `BASE_DIR/config/images.lock`: which image each service's reference stood for when it was locked.
//! Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use aistack_policy::image::{ImageError, ImageRef};

/// Version of the file.
const VERSION: u32 = 1;
/// For people who open it.
const HEADING: &str = "\
# Written by `aistack images lock`: the images that your services run, by digest. Deploy uses these
# as long as the reference is the one here. `aistack images lock --update SERVICE` takes a newer one.
";

/// The locked images, by service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Locks {
    services: BTreeMap<String, Locked>,
}

/// One locked image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Locked {
    /// The reference that it was pulled by, e.g. `docker.io/library/redis:8.10.1`.
    pub reference: String,
    /// The registry's digest, `sha256:…`.
    pub digest: String,
    /// Docker's id of the image on this host, `sha256:…`.
    pub id: String,
    /// e.g. `linux/amd64`.
    pub platform: String,
    /// When it was locked, RFC 3339.
    pub locked: String,
}

/// The file as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    #[serde(default)]
    image: BTreeMap<String, Locked>,
}

impl Locks {
    /// Parses the file.
    ///
    /// # Errors
    /// What is wrong, with line and column where TOML knows them.
    pub fn parse(text: &str) -> Result<Self, String> {
        let document: Document =
            toml::from_str(text).map_err(|error| error.to_string().trim().to_owned())?;
        if document.version != VERSION {
            return Err(format!(
                "version {} is not one that this client reads; it reads {VERSION}",
                document.version
            ));
        }
        for (service, locked) in &document.image {
            let pinned = locked.pinned();
            let problem = pinned.map_err(|why| format!("image.{service}: {why}"))?;
            if !problem.contains("@sha256:") {
                return Err(format!("image.{service}: its digest is none"));
            }
        }
        Ok(Self {
            services: document.image,
        })
    }

    /// The file's text.
    ///
    /// # Errors
    /// When it cannot be written as TOML.
    pub fn render(&self) -> Result<String, String> {
        let document = Document {
            version: VERSION,
            image: self.services.clone(),
        };
        let text = toml::to_string(&document).map_err(|error| error.to_string())?;
        Ok(format!("{HEADING}{text}"))
    }

    /// True when nothing is locked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.services.is_empty()
    }

    /// What a service is locked to, whatever its reference is now.
    #[must_use]
    pub fn get(&self, service: &str) -> Option<&Locked> {
        self.services.get(service)
    }

    /// What holds for a service with this reference.
    #[must_use]
    pub fn holding(&self, service: &str, reference: &str) -> Option<&Locked> {
        self.get(service)
            .filter(|locked| locked.reference == reference)
    }

    /// Locks a service.
    pub fn set(&mut self, service: &str, locked: Locked) {
        self.services.insert(service.to_owned(), locked);
    }

    /// Takes a lock away; false when there was none.
    pub fn remove(&mut self, service: &str) -> bool {
        self.services.remove(service).is_some()
    }

    /// Names of the services that are locked.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.services.keys().map(String::as_str)
    }
}

impl Locked {
    /// The reference that can mean this image only: `docker.io/library/redis@sha256:…`.
    ///
    /// # Errors
    /// Why its parts make no reference.
    pub fn pinned(&self) -> Result<String, ImageError> {
        let name = ImageRef::parse(&self.reference)?;
        let pinned = ImageRef::parse(&format!("{}@{}", name.repository, self.digest))?;
        Ok(pinned.to_string())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn locked(reference: &str) -> Locked {
        Locked {
            reference: reference.to_owned(),
            digest: format!("sha256:{}", "a".repeat(64)),
            id: format!("sha256:{}", "b".repeat(64)),
            platform: "linux/amd64".to_owned(),
            locked: "2026-01-31T12:00:00Z".to_owned(),
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut locks = Locks::default();
        locks.set("redis", locked("docker.io/library/redis:8.10.1"));
        let text = locks.render().unwrap();
        assert!(text.starts_with("# Written by"), "{text}");
        assert_eq!(Locks::parse(&text).unwrap(), locks);
        assert!(locks.remove("redis") && !locks.remove("redis"));
        let nothing = Locks::parse(&locks.render().unwrap()).unwrap();
        assert!(nothing.is_empty());
    }

    #[test]
    fn a_lock_holds_for_its_reference_only() {
        let mut locks = Locks::default();
        locks.set("redis", locked("docker.io/library/redis:8.10.1"));
        let holding = locks.holding("redis", "docker.io/library/redis:8.10.1");
        let digest = "a".repeat(64);
        let pinned = format!("docker.io/library/redis@sha256:{digest}");
        assert_eq!(holding.unwrap().pinned().unwrap(), pinned);
        assert!(
            locks
                .holding("redis", "docker.io/library/redis:8.10.2")
                .is_none()
        );
        assert!(
            locks
                .holding("n8n", "docker.io/library/redis:8.10.1")
                .is_none()
        );
    }

    #[test]
    fn an_invalid_file_is_reported() {
        let line = Locks::parse("version = 1\nnonsense\n").unwrap_err();
        assert!(line.contains("line 2"), "{line}");
        assert!(
            Locks::parse("version = 2\n")
                .unwrap_err()
                .contains("version 2")
        );
        let mut locks = Locks::default();
        locks.set("redis", locked("docker.io/library/redis:8.10.1"));
        let text = locks
            .render()
            .unwrap()
            .replace("sha256:aaaa", "sha256:zzzz");
        assert!(Locks::parse(&text).unwrap_err().contains("image.redis"));
    }
}
