//! Images: whether one is here, and getting one that is not.

use std::collections::{BTreeMap, HashMap};

use bollard::models::CreateImageInfo;
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
    /// When it was built, where the image says so.
    pub created: Option<jiff::Timestamp>,
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
                    created: found.created.and_then(|time| time.parse().ok()),
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
        let mut layers = Layers::default();
        while let Some(step) = stream.next().await {
            let step = step.map_err(|error| self.error(error))?;
            if let Some(sum) = layers.read(step) {
                progress(sum);
            }
        }
        Ok(())
    }
}

/// What is known of the layers of one pull.
#[derive(Debug, Default)]
struct Layers(HashMap<String, PullProgress>);

impl Layers {
    /// Reads one line of progress; `Some` when the sum over all layers has changed. Only what is
    /// downloaded counts: while Docker unpacks a layer, the graph drivers start again from zero and
    /// containerd's image store counts seconds. What has ended is here in full, and containerd's store
    /// does not say so in bytes.
    fn read(&mut self, step: CreateImageInfo) -> Option<PullProgress> {
        let layer = match step.status?.as_str() {
            "Downloading" => {
                let detail = step.progress_detail?;
                let bytes = |count: Option<i64>| count.and_then(|count| u64::try_from(count).ok());
                let total = bytes(detail.total)?;
                PullProgress {
                    done: bytes(detail.current)?.min(total),
                    total,
                }
            }
            "Download complete" | "Pull complete" => {
                let total = self.0.get(step.id.as_ref()?)?.total;
                PullProgress { done: total, total }
            }
            _ => return None,
        };
        let before = self.0.insert(step.id?, layer);
        (before != Some(layer)).then(|| self.sum())
    }

    fn sum(&self) -> PullProgress {
        self.0
            .values()
            .fold(PullProgress::default(), |sum, layer| PullProgress {
                done: sum.done.saturating_add(layer.done),
                total: sum.total.saturating_add(layer.total),
            })
    }
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

    /// What both image stores say of a pull of two layers (shortened), and the sum after each line that
    /// changes it.
    #[test]
    fn a_pull_is_counted_alike_in_either_image_store() {
        const GRAPH_DRIVER: &str = r#"
            {"status":"Pulling from x/y","id":"multi"}
            {"status":"Pulling fs layer","progressDetail":{},"id":"a"}
            {"status":"Downloading","progressDetail":{"current":40,"total":100},"id":"a"}
            {"status":"Downloading","progressDetail":{"current":5,"total":50},"id":"b"}
            {"status":"Verifying Checksum","progressDetail":{},"id":"a"}
            {"status":"Download complete","progressDetail":{},"id":"a"}
            {"status":"Extracting","progressDetail":{"current":1,"total":100},"id":"a"}
            {"status":"Extracting","progressDetail":{"current":100,"total":100},"id":"a"}
            {"status":"Pull complete","progressDetail":{},"id":"a"}
            {"status":"Already exists","progressDetail":{},"id":"c"}
            {"status":"Download complete","progressDetail":{},"id":"b"}
            {"status":"Digest: sha256:00"}
        "#;
        const CONTAINERD: &str = r#"
            {"status":"Pulling from x/y","id":"multi"}
            {"status":"Pulling fs layer","progressDetail":{},"id":"a"}
            {"status":"Downloading","progressDetail":{"current":40,"total":100},"id":"a"}
            {"status":"Downloading","progressDetail":{"current":5,"total":50},"id":"b"}
            {"status":"Download complete","progressDetail":{"hidecounts":true},"id":"config"}
            {"status":"Download complete","progressDetail":{"hidecounts":true},"id":"a"}
            {"status":"Extracting","progressDetail":{"current":1,"units":"s"},"id":"a"}
            {"status":"Pull complete","progressDetail":{"hidecounts":true},"id":"a"}
            {"status":"Download complete","progressDetail":{"hidecounts":true},"id":"b"}
            {"status":"Digest: sha256:00"}
        "#;
        for lines in [GRAPH_DRIVER, CONTAINERD] {
            let mut layers = Layers::default();
            let steps = lines.lines().map(str::trim).filter(|line| !line.is_empty());
            let sums: Vec<(u64, u64)> = steps
                .filter_map(|line| layers.read(serde_json::from_str(line).unwrap()))
                .map(|sum| (sum.done, sum.total))
                .collect();
            assert_eq!(sums, [(40, 100), (45, 150), (105, 150), (150, 150)]);
        }
    }
}
