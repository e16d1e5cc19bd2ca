//! What each endpoint does, after the caller and the target were vetted: one handler for each kind of
//! object.

mod containers;
mod exec;
mod images;
mod paused;
mod system;

use std::sync::Arc;

use aistack_policy::Grant;
use aistack_policy::engine::ApiVersion;
use bytes::Bytes;
use http::{Method, Response, header};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use serde_json::{Value, json};

use crate::audit::Intent;
use crate::docker::{Body, DockerError};
use crate::engine::error::GatewayError;
use crate::engine::gateway::{Gateway, Tenant};
use crate::engine::own::OwnContainer;
use crate::engine::pulled::Pulling;
use crate::engine::vet::target::{Endpoint, Offered};
use crate::engine::views::{self, AsOf};

/// What a caller gets.
pub(super) enum Reply {
    /// A status alone.
    Empty(u16),
    /// Plain text.
    Text(&'static str),
    /// JSON.
    Json(u16, Value),
    /// Docker's bytes as they come, with their content type.
    Stream(&'static str, Response<Incoming>),
    /// The progress of a pull, which is noted at its end.
    Pull(Response<Incoming>, Pulling),
    /// Docker's events, of which the caller sees its own.
    Events(Response<Incoming>, Arc<Grant>, AsOf),
    /// Bytes both ways, after an upgrade, with their content type.
    Tunnel(&'static str, Upgraded),
    /// Bytes both ways, for a caller who wanted no upgrade.
    Raw(Upgraded),
}

/// One vetted request.
pub(super) struct Call {
    pub(super) tenant: Tenant,
    /// The API version before the path; without one the newest that is offered.
    pub(super) version: Option<ApiVersion>,
    pub(super) endpoint: Endpoint,
    pub(super) body: Bytes,
    pub(super) upgrade: bool,
    pub(super) has_registry_auth: bool,
}

impl Gateway {
    /// Does what was requested; a refusal is recorded.
    pub(super) async fn perform(&self, call: Call) -> Result<Reply, GatewayError> {
        let tenant = call.tenant.clone();
        let operation = call.endpoint.audited().unwrap_or("request");
        match self.route(call).await {
            Err(GatewayError::Refusal(refusal)) => {
                let intent = tenant.intent(operation, json!({}), &refusal.rule);
                Err(self.refused(intent, refusal).await)
            }
            other => other,
        }
    }

    async fn route(&self, call: Call) -> Result<Reply, GatewayError> {
        let tenant = &call.tenant;
        let grant = &tenant.grant;
        // The line was read when perhaps nothing was known of the engine, or another one was there.
        let spoken = self.docker.api().await?.spoken;
        let api = call.version.unwrap_or(spoken);
        Offered::with(Some(spoken)).check(api)?;
        let as_of = AsOf(api);
        if call.endpoint.makes_something() {
            self.docker.require_supported::<GatewayError>().await?;
        }
        match &call.endpoint {
            Endpoint::Ping => {
                self.docker.act(Method::GET, "/_ping", Body::NONE).await?;
                Ok(Reply::Text("OK"))
            }
            Endpoint::Version => Ok(ok(views::version(&self.get("/version").await?, spoken))),
            Endpoint::Info => self.info(grant).await,
            Endpoint::Events {
                since,
                until,
                filters,
            } => self.events(tenant, as_of, [since, until], filters).await,
            Endpoint::ListContainers {
                all,
                limit,
                size,
                filters,
            } => {
                self.list_containers(grant, as_of, *all, *limit, *size, filters)
                    .await
            }
            Endpoint::CreateContainer { name } => self.create(tenant, name, &call.body, api).await,
            Endpoint::Container {
                reference,
                call: on,
            } => self.on_container(&call, as_of, reference, on).await,
            Endpoint::StartExec { id } => self.start_exec(&call, as_of, id).await,
            Endpoint::InspectExec { id } => Ok(ok(self.own_exec(grant, id).await?.1)),
            Endpoint::ResizeExec { id, height, width } => {
                self.resize_exec(grant, id, *height, *width).await
            }
            Endpoint::ListImages {
                manifests,
                within,
                filters,
            } => {
                self.list_images(grant, as_of, *manifests, within, filters)
                    .await
            }
            Endpoint::ImageHistory { image } => self.image_history(grant, image).await,
            Endpoint::DiskUsage { of, verbose } => {
                self.disk_usage(grant, as_of, of, *verbose).await
            }
            Endpoint::InspectImage { image } => {
                let image = self.local_image(grant, image).await?.inspected;
                Ok(ok(as_of.image(image)))
            }
            Endpoint::InspectImageById { start } => {
                let image = self.inspect_image_by_id(grant, start).await?;
                Ok(ok(as_of.image(image)))
            }
            Endpoint::PullImage { image } => self.pull(tenant, image, call.has_registry_auth).await,
            Endpoint::ListNetworks { filters } => {
                let own = self.own_networks(grant, filters).await?;
                Ok(ok(Value::Array(own)))
            }
            Endpoint::InspectNetwork { reference } => self.inspect_network(tenant, reference).await,
            Endpoint::Absent { text } => Err(GatewayError::NotFound(text.clone())),
            Endpoint::ListVolumes => Ok(ok(json!({"Volumes": [], "Warnings": null}))),
        }
    }

    async fn stream(&self, method: Method, path: &str) -> Result<Response<Incoming>, GatewayError> {
        Ok(self.stream_of(method, path).await?)
    }

    async fn stream_of(
        &self,
        method: Method,
        path: &str,
    ) -> Result<Response<Incoming>, DockerError> {
        let answer = self.docker.send(method, path, &[], Body::NONE).await?;
        if answer.status().as_u16() < 300 {
            return Ok(answer);
        }
        Err(DockerError::of(answer).await)
    }

    /// Requests a stream from Docker; only its 101 is one.
    async fn upgrade(&self, path: &str, body: Body<'_>) -> Result<Response<Incoming>, DockerError> {
        let headers = [(header::CONNECTION, "Upgrade"), (header::UPGRADE, "tcp")];
        let answer = self.docker.send(Method::POST, path, &headers, body).await?;
        match answer.status().as_u16() {
            101 => return Ok(answer),
            // An answer of success that is not a stream may be one without end: it is not read.
            0..300 => return Err(DockerError::Http("Docker did not open a stream".into())),
            _ => {}
        }
        Err(DockerError::of(answer).await)
    }
}

/// The record of a change of one container.
fn about(call: &Call, container: &OwnContainer, more: Value) -> Intent {
    let mut arguments = json!({"container": container.name, "id": container.id});
    if let (Some(all), Value::Object(more)) = (arguments.as_object_mut(), more) {
        all.extend(more);
    }
    let operation = call.endpoint.audited().unwrap_or("request");
    let rule = &call.tenant.grant.rules.uid;
    call.tenant.intent(operation, arguments, rule)
}

/// Docker's stream for the caller, who need not have wanted an upgrade: what it says is sent as the
/// body of a plain answer then.
async fn opened_for(
    call: &Call,
    as_of: AsOf,
    opened: Response<Incoming>,
) -> Result<Reply, GatewayError> {
    let content_type = as_of.stream_type(&opened);
    let upgraded = hyper::upgrade::on(opened)
        .await
        .map_err(|error| DockerError::Http(error.into()))?;
    Ok(if call.upgrade {
        Reply::Tunnel(content_type, upgraded)
    } else {
        Reply::Raw(upgraded)
    })
}

fn ok(value: Value) -> Reply {
    Reply::Json(200, value)
}
