//! How much a container has written: the size of its layer, and how many files Docker lists as changed.

use std::collections::{HashMap, HashSet};

use aistack_policy::Grant;
use http::Method;
use http_body_util::BodyExt;
use serde_json::Value;

use crate::docker::{Body, DockerError};
use crate::engine::gateway::Gateway;
use crate::engine::vet::layer::{self, Layer};

/// Rounds of the watch, one after the other, in which Docker cannot measure a container until that is stopped.
const ROUNDS: u32 = 3;

/// Why it is not known what a container has written.
#[derive(Debug, thiserror::Error)]
pub(super) enum MeasureError {
    #[error(transparent)]
    Docker(#[from] DockerError),
    /// An engine before 25 shows -1 where it could not read the layer (moby `layer.Size`).
    #[error("Docker shows no size of it")]
    NoSize,
}

impl MeasureError {
    /// True when Docker has looked and could not measure this container, e.g. for a path that is too long. An
    /// engine that is away, or slow, says nothing of the container.
    pub(super) fn is_of_the_container(&self) -> bool {
        matches!(
            self,
            Self::NoSize | Self::Docker(DockerError::Response { .. })
        )
    }
}

/// How often containers could not be measured since they were last, by full id.
#[derive(Debug, Default)]
pub(super) struct Unmeasured(HashMap<String, u32>);

impl Unmeasured {
    /// Once more; true when it was often enough.
    pub(super) fn again(&mut self, id: &str) -> bool {
        let times = self.0.entry(id.to_owned()).or_default();
        *times = times.saturating_add(1);
        *times >= ROUNDS
    }

    pub(super) fn measured(&mut self, id: &str) {
        self.0.remove(id);
    }

    /// Forgets the containers that are gone.
    pub(super) fn retain(&mut self, ids: &HashSet<&str>) {
        self.0.retain(|id, _| ids.contains(id.as_str()));
    }
}

impl Gateway {
    /// What a container has written into its layer. Files are counted up to one more than the policy
    /// has for the tenant, and not at all where the bytes are too many already.
    pub(super) async fn measure(&self, grant: &Grant, id: &str) -> Result<Layer, MeasureError> {
        let shown = self
            .get(&format!("/containers/{id}/json?size=true"))
            .await?;
        let size = shown.get("SizeRw").and_then(Value::as_i64);
        let bytes = size.and_then(|size| u64::try_from(size).ok());
        let of_bytes = Layer {
            bytes: bytes.ok_or(MeasureError::NoSize)?,
            files: None,
        };
        // Counting may take long, or be an error: it must not hide what is known.
        if layer::excess(grant, of_bytes).is_some() {
            return Ok(of_bytes);
        }
        Ok(Layer {
            files: Some(self.count_changes(grant, id).await?),
            ..of_bytes
        })
    }

    async fn count_changes(&self, grant: &Grant, id: &str) -> Result<u64, DockerError> {
        let path = format!("/containers/{id}/changes");
        let answer = self
            .docker
            .send(Method::GET, &path, &[], Body::NONE)
            .await?;
        if answer.status().as_u16() >= 300 {
            return Err(DockerError::of(answer).await);
        }
        let mut body = answer.into_body();
        let mut files = Paths::default();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| DockerError::Http(error.into()))?;
            if let Ok(data) = frame.into_data() {
                files.read(&data);
            }
            // The rest need not be read, nor sent.
            if files.count > layer::most_files(grant) {
                break;
            }
        }
        Ok(files.count)
    }
}

/// Counts the entries of Docker's list of changes as it comes. A quotation mark in a name is written
/// `\"`, so that these bytes are a key and nothing else.
#[derive(Debug, Default)]
struct Paths {
    count: u64,
    matched: usize,
}

impl Paths {
    const KEY: &'static [u8] = b"\"Path\":";

    fn read(&mut self, data: &[u8]) {
        for byte in data {
            self.matched = match Self::KEY.get(self.matched) {
                Some(expected) if expected == byte => self.matched + 1,
                // The key's first byte is nowhere else in it but at the end of "Path".
                _ => usize::from(*byte == b'"'),
            };
            if self.matched == Self::KEY.len() {
                self.count = self.count.saturating_add(1);
                self.matched = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn changes_are_counted_however_the_answer_is_cut() {
        let list = br#"[{"Path":"/a","Kind":1},{"Path":"/\"Path\":\"","Kind":1},{"Path":"/x"}]"#;
        for size in 1..list.len() {
            let mut paths = Paths::default();
            list.chunks(size).for_each(|part| paths.read(part));
            assert_eq!(paths.count, 3, "in parts of {size}");
        }
        let mut none = Paths::default();
        none.read(b"null");
        none.read(b"\"\"\"Path\"Path\"");
        assert_eq!(none.count, 0);
    }

    #[test]
    fn a_container_that_docker_cannot_measure_is_stopped_in_the_third_round() {
        let mut unmeasured = Unmeasured::default();
        assert!(!unmeasured.again("a"));
        assert!(!unmeasured.again("a"));
        assert!(!unmeasured.again("b"), "each has its own");
        assert!(unmeasured.again("a") && unmeasured.again("a"));
        unmeasured.measured("a");
        assert!(!unmeasured.again("a"), "one after the other");
        unmeasured.retain(&HashSet::from(["a"]));
        assert_eq!(unmeasured.0.len(), 1);

        let of_docker = |status| {
            let message = "file name too long".to_owned();
            MeasureError::Docker(DockerError::Response { status, message })
        };
        assert!(of_docker(StatusCode::INTERNAL_SERVER_ERROR).is_of_the_container());
        assert!(MeasureError::NoSize.is_of_the_container());
        for other in [
            DockerError::TooSlow(std::time::Duration::from_mins(1)),
            DockerError::Http("cut".into()),
            DockerError::Unsettled,
        ] {
            assert!(!MeasureError::Docker(other).is_of_the_container());
        }
    }
}
