//! Making a container: look up what the decision needs, decide, verify the directories, record,
//! make.

use std::time::Duration;

use aistack_policy::engine::ApiVersion;
use aistack_policy::{Grant, Refusal, Rule};
use http::Method;
use serde_json::{Value, json};

use super::error::GatewayError;
use super::gateway::{Gateway, Tenant};
use super::handlers::Reply;
use super::own::{self, LocalImage, text};
use super::vet::create::{CreateContext, CreateRequest, HostAppArmor, container_name, decide};
use super::vet::existing;
use crate::apparmor;
use crate::docker::{Body, percent_encoded};

/// Time that a create waits for another one of the same UID.
const TURN: Duration = Duration::from_mins(1);

impl Gateway {
    /// The container whose network is joined. Not a 404: the docker command takes every 404 of a
    /// create for a missing image, and would pull one.
    async fn joined(&self, grant: &Grant, reference: &str) -> Result<String, GatewayError> {
        match self.own_container(grant, reference).await {
            Ok(container) => Ok(container.id),
            Err(GatewayError::NotFound(text)) => {
                let message = format!("HostConfig.NetworkMode: {text}");
                let rule = Rule::builtin("own-containers");
                Err(Refusal::new("JOINED_CONTAINER_REFUSED", message, rule).into())
            }
            Err(other) => Err(other),
        }
    }

    /// Makes a container of a body under the API version `api`. One at a time for each UID, so that the limits are counted rightly.
    pub(super) async fn create(
        &self,
        tenant: &Tenant,
        name: &str,
        body: &[u8],
        api: ApiVersion,
    ) -> Result<Reply, GatewayError> {
        let grant = &tenant.grant;
        let name = container_name(grant, name)?;
        let request = CreateRequest::parse(body, api)?;
        let turn = self.locks.turn_of(grant.uid, TURN).await;
        let _turn = turn.ok_or(GatewayError::Busy)?;

        let network = self.own_network(grant).await?;
        let network_id = network.as_ref().map(|network| text(network, "/Id"));
        let joined = match request.joins_network_of() {
            Some(reference) => Some(self.joined(grant, reference).await?),
            None => None,
        };
        let apparmor = HostAppArmor {
            enabled: apparmor::kernel_enforces(),
            loaded: apparmor::published_of(&self.apparmor_dir, grant),
        };
        let image = match self.local_image(grant, request.image()).await {
            Ok(image) => Some(image),
            // The decision comes first: what would be refused anyway is not pulled before.
            Err(GatewayError::NotFound(_)) => None,
            Err(other) => return Err(other),
        };
        let context = CreateContext {
            grant,
            name,
            image_id: image.as_ref().map_or("", |image| image.id.as_str()),
            image_volumes: image.as_ref().map_or(&[], |image| &image.volumes),
            image_working_dir: image.as_ref().map_or("", LocalImage::working_dir),
            network_id,
            joined_container: joined.as_deref(),
            apparmor: &apparmor,
            in_use: self.usage(grant).await?,
        };
        let wanted = request.image().to_string();
        let canonical = decide(&context, request)?;
        self.check_guard(grant)?;
        if image.is_none() {
            return Err(GatewayError::NotFound(format!("No such image: {wanted}")));
        }
        if !canonical.is_read_only() {
            self.admit_writes().await?;
        }
        let sources = canonical.binds().iter();
        own::verify_binds(grant, sources.map(|bind| bind.components.clone()).collect()).await?;

        let path = format!("/containers/create?name={}", percent_encoded(name));
        let render = |api| canonical.render(api);
        let act = self
            .docker
            .json::<Value>(Method::POST, &path, Body::Versioned(&render));
        let intent = tenant.intent("container.create", canonical.audit(), &grant.rules.uid);
        let made = self.recorded(intent, act).await?;
        let id = own::full_id(text(&made, "/Id")).ok_or(GatewayError::Answer)?;
        self.check_made(tenant, name, &id).await?;
        let warnings = made.get("Warnings").cloned().unwrap_or_else(|| json!([]));
        Ok(Reply::Json(201, json!({"Id": id, "Warnings": warnings})))
    }

    /// Removes a container that got from its image what the image did not show before. Where the gateway
    /// ends before this, the container stays; the same is checked before each start.
    async fn check_made(&self, tenant: &Tenant, name: &str, id: &str) -> Result<(), GatewayError> {
        let inspected: Value = self.get(&format!("/containers/{id}/json")).await?;
        let Err(refusal) = existing::check_from_image(&inspected) else {
            return Ok(());
        };
        let arguments = json!({"container": name, "id": id, "because": refusal.message});
        let intent = tenant.intent("container.misled", arguments, &refusal.rule);
        let path = format!("/containers/{id}?force=true&v=true");
        let remove = self.docker.act(Method::DELETE, &path, Body::NONE);
        self.enforced(intent, remove).await?;
        let message = format!(
            "the image's configuration did not match the container's, which was removed: {}",
            refusal.message
        );
        Err(Refusal::new("IMAGE_MISLEADS", message, refusal.rule)
            .with_hint("use another image: this one's index and manifest disagree")
            .into())
    }
}
