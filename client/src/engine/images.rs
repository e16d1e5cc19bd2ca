//! Images: whether one is here, and getting one that is not.

use std::collections::{BTreeMap, HashMap};

use bollard::query_parameters::{CreateImageOptions, ListImagesOptions};
use futures_util::StreamExt;

use super::{Engine, EngineError};
use aistack_policy::image::ImageRef;

/// How far a pull is, over all layers that are known so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PullProgress {
    /// Bytes that are here.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
}

/// What Docker knows of an image on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Its id, `sha256:…`.
    pub id: String,
    /// `name@sha256:…` for each registry's copy that it was pulled from or pushed to.
    pub digests: Vec<String>,
    /// e.g. `linux/amd64`.
    pub platform: String,
    /// Bytes.
    pub size: u64,
}

impl Engine {
    /// An image by its reference or its id; `None` when it is not on this host.
    ///
    /// # Errors
    /// What the gateway answered.
    pub async fn image(&self, reference: &str) -> Result<Option<Image>, EngineError> {
        match self.ask(|| self.docker.inspect_image(reference)).await {
            Ok(found) => {
                let words = [found.os, found.architecture];
                let words: Vec<String> = words.into_iter().flatten().collect();
                Ok(Some(Image {
                    id: found.id.unwrap_or_default(),
                    digests: found.repo_digests.unwrap_or_default(),
                    platform: words.join("/"),
                    size: found
                        .size
                        .and_then(|size| size.try_into().ok())
                        .unwrap_or_default(),
                }))
            }
            Err(EngineError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Ids of the images on this host, by each normalised reference that stands for one.
    ///
    /// # Errors
    /// What the gateway answered.
    pub async fn images_by_name(&self) -> Result<BTreeMap<String, String>, EngineError> {
        let list = || self.docker.list_images(None::<ListImagesOptions>);
        let listed = self.ask(list).await?;
        let mut ids = BTreeMap::new();
        for image in listed {
            for name in image.repo_tags.iter().chain(&image.repo_digests) {
                if let Ok(name) = ImageRef::parse(name) {
                    ids.insert(name.to_string(), image.id.clone());
                }
            }
        }
        Ok(ids)
    }

    /// Whether the image is on this host.
    ///
    /// # Errors
    /// What the gateway answered.
    pub async fn has_image(&self, reference: &str) -> Result<bool, EngineError> {
        Ok(self.image(reference).await?.is_some())
    }

    /// Pulls an image and tells how far it is.
    ///
    /// # Errors
    /// What the gateway or the registry answered.
    pub async fn pull(
        &self,
        reference: &str,
        mut progress: impl FnMut(PullProgress),
    ) -> Result<(), EngineError> {
        let (name, tag) = split_reference(reference);
        let options = CreateImageOptions {
            from_image: Some(name.to_owned()),
            tag: Some(tag.to_owned()),
            ..CreateImageOptions::default()
        };
        let mut stream = self.docker.create_image(Some(options), None, None);
        let mut layers: HashMap<String, PullProgress> = HashMap::new();
        while let Some(step) = stream.next().await {
            let step = step.map_err(|error| self.error(error))?;
            let Some((id, detail)) = step.id.zip(step.progress_detail) else {
                continue;
            };
            let Some((done, total)) = detail.current.zip(detail.total) else {
                continue;
            };
            let layer = PullProgress {
                done: u64::try_from(done).unwrap_or_default(),
                total: u64::try_from(total).unwrap_or_default(),
            };
            layers.insert(id, layer);
            progress(sum(&layers));
        }
        Ok(())
    }
}

fn sum(layers: &HashMap<String, PullProgress>) -> PullProgress {
    layers
        .values()
        .fold(PullProgress::default(), |sum, layer| PullProgress {
            done: sum.done.saturating_add(layer.done),
            total: sum.total.saturating_add(layer.total),
        })
}

/// Name and tag (or digest) of a reference; a colon before the last slash is a registry's port.
fn split_reference(reference: &str) -> (&str, &str) {
    if let Some((name, digest)) = reference.split_once('@') {
        return (name, digest);
    }
    match reference.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (reference, "latest"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_split_into_name_and_tag() {
        for (reference, expected) in [
            (
                "docker.io/library/redis:8.10.1",
                ("docker.io/library/redis", "8.10.1"),
            ),
            ("localhost:5000/redis", ("localhost:5000/redis", "latest")),
            ("redis@sha256:00ff", ("redis", "sha256:00ff")),
        ] {
            assert_eq!(split_reference(reference), expected);
        }
    }
}
