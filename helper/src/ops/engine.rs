//! What the engine is, and whether it sees the tenant's volume.
//!
//! An engine in a mount namespace of its own (a snap, a unit with private mounts) does not see what was
//! mounted after its start, and nothing on this side shows that: /proc/PID of its process is closed to
//! a daemon with fewer capabilities, and behind a socket of systemd's even the PID is unknown. So the
//! engine itself is tried.

use aistack_policy::Grant;
use aistack_policy::engine::{EngineFinding, Severity, judge, unseen_volume};
use aistack_proto::v1;
use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::json;

use super::directories::open_tree;
use super::paths::{blocking, open_base};
use super::{Error, Ops};
use crate::docker::{Body, Docker, DockerError, UNSEEN_SOURCE};

/// One of the fixed directories: it is on the volume, and not below the place where that is mounted.
const ON_THE_VOLUME: &str = "data";

/// No image has this digest, so that no container can be made of it.
const NO_IMAGE: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

impl Ops {
    /// What the engine is, and whether it sees the tenant's volume.
    ///
    /// # Errors
    /// When the engine does not say what it is.
    pub async fn check_engine(&self, grant: &Grant) -> Result<v1::CheckEngineResponse, Error> {
        let facts = self.docker.facts().await?;
        let mut findings = judge(&facts);
        let mut volume = v1::VolumeSight::Unspecified;
        // What cannot be used anyway is not tried.
        if findings
            .iter()
            .all(|finding| finding.severity == Severity::Limited)
        {
            match sees_volume(&self.docker, grant).await? {
                None => {}
                Some(true) => volume = v1::VolumeSight::Seen,
                Some(false) => {
                    volume = v1::VolumeSight::Unseen;
                    findings.push(unseen_volume(&grant.base_dir));
                }
            }
        }
        Ok(v1::CheckEngineResponse {
            engine: facts.name(),
            findings: findings.into_iter().map(message).collect(),
            volume: volume.into(),
        })
    }
}

fn message(finding: EngineFinding) -> v1::EngineFinding {
    let severity = match finding.severity {
        Severity::Unsupported => v1::EngineSeverity::Unsupported,
        Severity::Failing => v1::EngineSeverity::Failing,
        Severity::Limited => v1::EngineSeverity::Limited,
    };
    v1::EngineFinding {
        severity: severity.into(),
        found: finding.found,
        means: finding.means.to_owned(),
        next: finding.next.to_owned(),
    }
}

/// Whether the engine sees what is mounted at the tenant's base directory; `None` where nothing is, or
/// nothing on it.
///
/// # Errors
/// When the engine does not answer as one does.
pub async fn sees_volume(docker: &Docker, grant: &Grant) -> Result<Option<bool>, Error> {
    let base_dir = grant.base_dir.clone();
    let there = move || Ok(open_tree(&open_base(&base_dir)?, ON_THE_VOLUME).is_ok());
    match blocking(there).await {
        Ok(true) => {}
        Ok(false) | Err(Error::VolumeNotMounted { .. }) => return Ok(None),
        Err(error) => return Err(error),
    }
    let place = format!("{}/{ON_THE_VOLUME}", grant.base_dir);
    Ok(Some(sees(docker, &place).await?))
}

/// Whether there is something at this path for the engine. It gets a create of a container with that as a
/// bind source and of an image that cannot be: it looks at the source before it looks for the image
/// (moby, `daemon/create.go`: the settings are verified first), and makes nothing either way.
async fn sees(docker: &Docker, place: &str) -> Result<bool, DockerError> {
    let body = json!({
        "Image": NO_IMAGE,
        "HostConfig": {
            "Mounts": [{"Type": "bind", "Source": place, "Target": "/volume", "ReadOnly": true}],
        },
    });
    let body = Body::Plain(Bytes::from(body.to_string()));
    match docker.act(Method::POST, "/containers/create", body).await {
        Err(error) if error.is_not_found() => Ok(true),
        Err(DockerError::Response { status, message })
            if status == StatusCode::BAD_REQUEST && message.contains(UNSEEN_SOURCE) =>
        {
            Ok(false)
        }
        Err(error) => Err(error),
        Ok(()) => Err(DockerError::Http(
            "it created a container from an image that does not exist".into(),
        )),
    }
}
