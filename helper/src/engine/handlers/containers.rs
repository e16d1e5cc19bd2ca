//! Containers: list, inspect, start, stop, logs and the other calls on one of the caller's own.

use aistack_policy::Grant;
use http::Method;
use serde_json::{Value, json};

use super::{Call, Reply, about, ok, opened_for};
use crate::docker::{Body, DockerError, OWNER_LABEL};
use crate::engine::changing;
use crate::engine::error::GatewayError;
use crate::engine::gateway::Gateway;
use crate::engine::own::{self, OwnContainer, text};
use crate::engine::vet::create::container_name;
use crate::engine::vet::existing;
use crate::engine::vet::target::{ContainerCall, Filters};
use crate::engine::views::{self, AsOf};

impl Gateway {
    /// The caller's own containers.
    pub(super) async fn list_containers(
        &self,
        grant: &Grant,
        as_of: AsOf,
        all: bool,
        limit: Option<u32>,
        size: bool,
        filters: &Filters,
    ) -> Result<Reply, GatewayError> {
        let filters = filters.encoded_with("label", &format!("{OWNER_LABEL}={}", grant.uid));
        let limit = limit.map_or(String::new(), |limit| format!("&limit={limit}"));
        // Docker measures what the filters leave: the caller's own containers.
        let size = if size { "&size=true" } else { "" };
        let path = format!("/containers/json?all={all}{limit}{size}&filters={filters}");
        let changing = self.changing.now();
        let mut own = views::containers(self.get(&path).await?, grant);
        changing::label(&mut own, &changing);
        Ok(ok(as_of.containers(own)))
    }

    pub(super) async fn on_container(
        &self,
        call: &Call,
        as_of: AsOf,
        reference: &str,
        on: &ContainerCall,
    ) -> Result<Reply, GatewayError> {
        let tenant = &call.tenant;
        let grant = &tenant.grant;
        let container = self.own_container(grant, reference).await?;
        let (method, path) = on.upstream(&container.id);
        match on {
            ContainerCall::Inspect { size } => {
                let stopped = self.disk.why_stopped(&container.id);
                let inspected = if *size {
                    self.get(&path).await?
                } else {
                    container.inspected
                };
                Ok(ok(as_of.container(views::container(inspected, stopped))))
            }
            ContainerCall::Logs(_) => {
                let answer = self.stream(method, &path).await?;
                Ok(Reply::Stream(as_of.stream_type(&answer), answer))
            }
            // What `top` prints is as long as the tenant's processes make it, and changes are as many as its files.
            ContainerCall::Stats { .. }
            | ContainerCall::Wait { .. }
            | ContainerCall::Top { .. }
            | ContainerCall::Changes => {
                let answer = self.stream(method, &path).await?;
                Ok(Reply::Stream("application/json", answer))
            }
            ContainerCall::Resize { .. } => {
                self.docker.act(method, &path, Body::NONE).await?;
                Ok(Reply::Empty(200))
            }
            ContainerCall::Rename { name } => {
                container_name(grant, name)?;
                self.change(call, &container, json!({"to": name}), method, &path)
                    .await
            }
            ContainerCall::Start | ContainerCall::Restart(_) => {
                self.still_allowed(grant, &container).await?;
                let reply = self
                    .change(call, &container, json!({}), method, &path)
                    .await?;
                self.disk.forget(&container.id);
                self.check_confined(tenant, &container).await?;
                Ok(reply)
            }
            ContainerCall::Unpause => self.unpause(call, &container).await,
            ContainerCall::Pause => {
                self.change(call, &container, json!({}), method, &path)
                    .await
            }
            ContainerCall::Kill { signal } if *signal != "KILL" && container.is_paused() => {
                self.signal_paused(call, &container, signal).await
            }
            ContainerCall::Stop(query) if container.is_paused() => {
                self.stop_paused(call, &container, query).await
            }
            ContainerCall::Stop(_) | ContainerCall::Kill { .. } | ContainerCall::Remove { .. } => {
                let how = path.split_once('?').map_or("", |(_, query)| query);
                self.change(call, &container, json!({"how": how}), method, &path)
                    .await
            }
            ContainerCall::Attach { .. } => {
                let upgrade = self.upgrade(&path, Body::NONE);
                let opened = self
                    .recorded(about(call, &container, json!({})), upgrade)
                    .await?;
                opened_for(call, as_of, opened).await
            }
            ContainerCall::CreateExec => self.create_exec(call, as_of.0, &container, &path).await,
        }
    }

    /// A change without a body whose answer is a status.
    pub(super) async fn change(
        &self,
        call: &Call,
        container: &OwnContainer,
        more: Value,
        method: Method,
        path: &str,
    ) -> Result<Reply, GatewayError> {
        let operation = call.endpoint.audited().unwrap_or("request");
        let _mark = self.changing.begin(&container.id, operation);
        let act = async {
            let answer = self.docker.send(method, path, &[], Body::NONE).await?;
            let status = answer.status().as_u16();
            if status < 300 || status == 304 {
                return Ok(status);
            }
            Err(DockerError::of(answer).await)
        };
        let intent = about(call, container, more);
        Ok(Reply::Empty(self.recorded(intent, act).await?))
    }

    /// Whether a container that exists may be started: as the policy is now, and the bind sources
    /// are now.
    pub(super) async fn still_allowed(
        &self,
        grant: &Grant,
        container: &OwnContainer,
    ) -> Result<(), GatewayError> {
        let network = self.own_network(grant).await?;
        let network_id = network.as_ref().map(|network| text(network, "/Id"));
        existing::check(grant, network_id, &container.inspected)?;
        self.check_guard(grant)?;
        own::verify_binds_of(grant, container).await?;
        self.admit_writes_of(container).await?;
        self.check_layer(grant, container).await
    }
}
