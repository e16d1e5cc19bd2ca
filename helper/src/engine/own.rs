//! Resolving what a caller names to a full id that is the caller's. What is not theirs does not
//! exist: both are answered with Docker's own "No such …".

use std::collections::BTreeSet;
use std::path::Path;

use aistack_policy::{Grant, Refusal, Rule};
use http::Method;
use serde_json::Value;

use super::error::GatewayError;
use super::gateway::Gateway;
use super::vet::create::{Usage, is_own_name};
use super::vet::image::ImageRef;
use super::vet::target::Filters;
use super::views::{self, Usable};
use crate::docker::{Body, DockerError, OWNER_LABEL, is_full_id};
use crate::safe_path::{BindError, ComponentError, PathError, verify_bind};

/// A container of the caller's.
#[derive(Debug)]
pub(super) struct OwnContainer {
    pub(super) id: String,
    /// Without the slash.
    pub(super) name: String,
    pub(super) inspected: Value,
}

/// An image that is on this host and that the caller may use, with the names that the caller may see.
#[derive(Debug)]
pub(super) struct LocalImage {
    pub(super) id: String,
    pub(super) volumes: Vec<String>,
    pub(super) inspected: Value,
}

impl LocalImage {
    /// Where its processes start unless somebody says otherwise.
    pub(super) fn working_dir(&self) -> &str {
        text(&self.inspected, "/Config/WorkingDir")
    }
}

impl OwnContainer {
    /// True when its processes are frozen.
    pub(super) fn is_paused(&self) -> bool {
        let paused = self.inspected.pointer("/State/Paused");
        paused.and_then(Value::as_bool).unwrap_or(false)
    }
}

impl Gateway {
    /// The caller's container of that name or id. The start of an id is looked for among the
    /// caller's own only: Docker would look among everybody's, and say so when several have it.
    pub(super) async fn own_container(
        &self,
        grant: &Grant,
        reference: &str,
    ) -> Result<OwnContainer, GatewayError> {
        let absent = || GatewayError::NotFound(format!("No such container: {reference}"));
        let unambiguous = full_id(reference).is_some() || is_own_name(grant, reference);
        let place = if unambiguous {
            reference.to_owned()
        } else {
            let list = self.own_containers(grant).await?;
            by_start(&list, reference).ok_or_else(absent)?
        };
        let path = format!("/containers/{place}/json");
        let inspected: Value = match self.get(&path).await {
            Err(error) if is_absent(&error) => return Err(absent()),
            other => other?,
        };
        let owned = inspected
            .pointer("/Config/Labels")
            .is_some_and(|labels| views::is_owned(labels, grant));
        let name = text(&inspected, "/Name").trim_start_matches('/').to_owned();
        if !owned || !is_own_name(grant, &name) {
            return Err(absent());
        }
        Ok(OwnContainer {
            id: full_id(text(&inspected, "/Id")).ok_or(GatewayError::Answer)?,
            name,
            inspected,
        })
    }

    /// The container of an exec of the caller's, and what Docker says of the exec.
    pub(super) async fn own_exec(
        &self,
        grant: &Grant,
        id: &str,
    ) -> Result<(OwnContainer, Value), GatewayError> {
        let absent = || GatewayError::NotFound(format!("No such exec instance: {id}"));
        let inspected: Value = match self.get(&format!("/exec/{id}/json")).await {
            Err(error) if is_absent(&error) => return Err(absent()),
            other => other?,
        };
        let container = full_id(text(&inspected, "/ContainerID")).ok_or_else(absent)?;
        match self.own_container(grant, &container).await {
            Ok(container) => Ok((container, inspected)),
            Err(GatewayError::NotFound(_)) => Err(absent()),
            Err(other) => Err(other),
        }
    }

    /// The caller's network, where the helper has made it.
    pub(super) async fn own_network(&self, grant: &Grant) -> Result<Option<Value>, GatewayError> {
        let own = self.own_networks(grant, &Filters::default()).await?;
        Ok(own.into_iter().next())
    }

    /// The caller's network, when it is what these filters ask for.
    pub(super) async fn own_networks(
        &self,
        grant: &Grant,
        filters: &Filters,
    ) -> Result<Vec<Value>, GatewayError> {
        let filters = filters.encoded_with("label", &format!("{OWNER_LABEL}={}", grant.uid));
        let list = self.get(&format!("/networks?filters={filters}")).await?;
        let mut own = views::networks(list, grant);
        own.retain(|network| text(network, "/Name") == grant.network.name);
        Ok(own)
    }

    /// The containers of the caller's, running or not, as Docker lists them.
    pub(super) async fn own_containers(&self, grant: &Grant) -> Result<Value, GatewayError> {
        let filters =
            Filters::default().encoded_with("label", &format!("{OWNER_LABEL}={}", grant.uid));
        let path = format!("/containers/json?all=true&filters={filters}");
        Ok(views::containers(self.get(&path).await?, grant))
    }

    /// What the caller's containers hold of the limits.
    pub(super) async fn usage(&self, grant: &Grant) -> Result<Usage, GatewayError> {
        let list = self.own_containers(grant).await?;
        let mut usage = Usage::default();
        for container in list.as_array().into_iter().flatten() {
            let Some(id) = full_id(text(container, "/Id")) else {
                return Err(GatewayError::Answer);
            };
            let inspected: Value = match self.get(&format!("/containers/{id}/json")).await {
                // Removed since the list was made.
                Err(error) if is_absent(&error) => continue,
                other => other?,
            };
            usage.containers = usage.containers.saturating_add(1);
            let of = |path: &str| inspected.pointer(path).and_then(Value::as_u64).unwrap_or(0);
            usage.memory = usage.memory.saturating_add(of("/HostConfig/Memory"));
            usage.pids = usage.pids.saturating_add(of("/HostConfig/PidsLimit"));
            let millis = of("/HostConfig/NanoCpus").div_ceil(1_000_000);
            usage.cpu_millis = usage.cpu_millis.saturating_add(millis);
        }
        Ok(usage)
    }

    /// What the caller has pulled, or has a container of, as normalised references.
    pub(super) async fn own_images(&self, grant: &Grant) -> Result<BTreeSet<String>, GatewayError> {
        let mut own = self.pulled.of(grant.uid).await;
        let list = self.own_containers(grant).await?;
        let labels = list.as_array().into_iter().flatten();
        let names = labels.filter_map(|one| one.get("Labels")?.get(views::IMAGE)?.as_str());
        own.extend(names.map(str::to_owned));
        Ok(own)
    }

    /// An image of this host that the caller may use.
    pub(super) async fn local_image(
        &self,
        grant: &Grant,
        image: &ImageRef,
    ) -> Result<LocalImage, GatewayError> {
        let absent = || GatewayError::NotFound(format!("No such image: {image}"));
        if !views::is_allowed(image, grant) {
            return Err(absent());
        }
        let own = self.own_images(grant).await?;
        let usable = Usable { grant, own: &own };
        let inspected: Value = match self.get(&format!("/images/{image}/json")).await {
            Err(error) if is_absent(&error) => return Err(absent()),
            other => other?,
        };
        let inspected = usable.inspected(&inspected).ok_or_else(absent)?;
        // Docker has found it by this name; the caller has to have it by this name, too.
        if !views::is_named(&inspected, image) {
            return Err(absent());
        }
        let id = text(&inspected, "/Id").to_owned();
        if full_id(id.trim_start_matches("sha256:")).is_none() {
            return Err(GatewayError::Answer);
        }
        let volumes = inspected
            .pointer("/Config/Volumes")
            .and_then(Value::as_object)
            .map(|volumes| volumes.keys().cloned().collect())
            .unwrap_or_default();
        Ok(LocalImage {
            id,
            volumes,
            inspected,
        })
    }

    /// GET with a JSON answer.
    pub(super) async fn get(&self, path: &str) -> Result<Value, DockerError> {
        self.docker.json(Method::GET, path, Body::NONE).await
    }
}

/// The full id of the one container whose id starts so.
fn by_start(list: &Value, start: &str) -> Option<String> {
    let ids = list.as_array().into_iter().flatten();
    let mut ids = ids.filter_map(|container| full_id(text(container, "/Id")));
    let found = ids.find(|id| !start.is_empty() && id.starts_with(start))?;
    ids.all(|id| !id.starts_with(start)).then_some(found)
}

/// Verifies that every bind source of an existing container still is a directory that only root
/// could replace: Docker resolves it again at each start.
pub(super) async fn verify_binds_of(
    grant: &Grant,
    container: &OwnContainer,
) -> Result<(), GatewayError> {
    let mounts = container
        .inspected
        .pointer("/Mounts")
        .and_then(Value::as_array);
    let mut sources = Vec::new();
    for mount in mounts.into_iter().flatten() {
        if text(mount, "/Type") != "bind" {
            continue;
        }
        let source = text(mount, "/Source");
        let below = source
            .strip_prefix(grant.base_dir.as_str())
            .and_then(|rest| rest.strip_prefix('/'))
            .ok_or_else(|| bind_refused(grant, &BindSourceError::Elsewhere))?;
        sources.push(below.split('/').map(str::to_owned).collect());
    }
    verify_binds(grant, sources).await
}

/// Verifies bind sources, each given by its components below the base directory.
pub(super) async fn verify_binds(
    grant: &Grant,
    sources: Vec<Vec<String>>,
) -> Result<(), GatewayError> {
    let base_dir = grant.base_dir.clone();
    let uids: Vec<u32> = std::iter::once(grant.uid)
        .chain(grant.service_uids.iter().copied())
        .collect();
    let verified = tokio::task::spawn_blocking(move || {
        sources.iter().try_for_each(|components| {
            let components: Vec<&str> = components.iter().map(String::as_str).collect();
            verify_bind(Path::new(&base_dir), &components, &uids)
        })
    });
    let verified = verified.await.map_err(|_| GatewayError::Internal)?;
    verified.map_err(|error| bind_refused(grant, &error.into()))
}

/// Why a directory is not a bind source.
#[derive(Debug, thiserror::Error)]
enum BindSourceError {
    #[error("a bind source is not on this tenant's volume")]
    Elsewhere,
    #[error(transparent)]
    Judged(#[from] BindError),
}

fn bind_refused(grant: &Grant, why: &BindSourceError) -> GatewayError {
    let message = format!("HostConfig.Mounts: {why}");
    let rule = Rule {
        key: "builtin.bind-sources".to_owned(),
        line: None,
    };
    let base = &grant.base_dir;
    let hint = match why {
        // Docker makes a source that is not there, as root; here nobody does it through Docker.
        BindSourceError::Judged(BindError::Path(PathError {
            problem: ComponentError::Missing,
            ..
        })) => format!(
            "binding does not create a directory: aistack creates {base}/data/NAME, etc/NAME and \
             logs/NAME for each service of the catalog (aistack init) or of your own (docs/own-services.md); create other directories below one of these and bind that one"
        ),
        _ => format!("run aistack init, which creates the directories in {base}"),
    };
    GatewayError::Refusal(Refusal::new("BIND_REFUSED", message, rule).with_hint(hint))
}

/// A text in a JSON value, empty when it is not there.
pub(super) fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The text, when it is a full id.
pub(super) fn full_id(text: &str) -> Option<String> {
    is_full_id(text).then(|| text.to_owned())
}

/// Docker answers 400 to a start of an id that several have, and 404 to what is not there.
fn is_absent(error: &DockerError) -> bool {
    matches!(error, DockerError::Response { status, .. } if matches!(status.as_u16(), 400 | 404 | 409))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Docker would make it; here the error says what can.
    #[test]
    fn a_bind_source_that_is_not_there_is_reported_with_what_makes_one() {
        let policy = include_str!("../../tests/corpus/policy.toml");
        let grant = aistack_policy::Policy::parse(policy).unwrap();
        let grant = grant.grant(1001).unwrap();
        let hint = |error: BindSourceError| match bind_refused(&grant, &error) {
            GatewayError::Refusal(refusal) => refusal.hint.unwrap_or_default(),
            other => panic!("{other:?}"),
        };
        let missing = BindError::Path(PathError {
            path: "/x".into(),
            problem: ComponentError::Missing,
        });
        let said = hint(missing.into());
        assert!(said.contains("docs/own-services.md"), "{said}");
        assert!(
            said.contains(&format!("{}/data/NAME", grant.base_dir)),
            "{said}"
        );
        assert!(!hint(BindSourceError::Elsewhere).contains("own-services"));
    }

    #[test]
    fn the_start_of_an_id_names_one_container_of_the_list() {
        let (a, b) = ("ab".repeat(32), format!("ac{}", "0".repeat(62)));
        let list = json!([{"Id": a}, {"Id": b}]);
        for (start, found) in [
            ("ab", Some(&a)),
            ("ac0", Some(&b)),
            ("a", None),
            ("", None),
            ("ff", None),
        ] {
            assert_eq!(by_start(&list, start).as_ref(), found, "{start}");
        }
    }
}
