//! What each endpoint does, after the caller and the target were vetted.

use std::sync::Arc;

use aistack_policy::engine::ApiVersion;
use aistack_policy::{Grant, Refusal, Rule};
use bytes::Bytes;
use http::{Method, Response, header};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use serde_json::{Value, json};

use super::changing;
use super::error::GatewayError;
use super::gateway::{Gateway, Tenant};
use super::own::{self, OwnContainer, text};
use super::pulled::Pulling;
use super::vet::create::container_name;
use super::vet::exec::{CanonicalExec, ExecStart, check_count, check_existing};
use super::vet::existing;
use super::vet::image::{ImageRef, Version};
use super::vet::target::{ContainerCall, Endpoint, Filters, Offered};
use super::vet::working_dir::Layout;
use super::views::{self, AsOf, Usable};
use crate::audit::Intent;
use crate::docker::{Body, DockerError, OWNER_LABEL, percent_encoded};

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
    /// Bytes both ways, for a caller who asked for no upgrade.
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
    /// Does what was asked for; a refusal is recorded.
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
            Endpoint::Info => {
                let containers = self.own_containers(grant).await?;
                Ok(ok(views::info(
                    &self.get("/info").await?,
                    &containers,
                    grant,
                    &self.disk_warnings().await,
                )))
            }
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
                let filters =
                    filters.encoded_with("label", &format!("{OWNER_LABEL}={}", grant.uid));
                let limit = limit.map_or(String::new(), |limit| format!("&limit={limit}"));
                // Docker measures what the filters leave: the caller's own containers.
                let size = if *size { "&size=true" } else { "" };
                let path = format!("/containers/json?all={all}{limit}{size}&filters={filters}");
                let changing = self.changing.now();
                let mut own = views::containers(self.get(&path).await?, grant);
                changing::label(&mut own, &changing);
                Ok(ok(as_of.containers(own)))
            }
            Endpoint::CreateContainer { name } => self.create(tenant, name, &call.body, api).await,
            Endpoint::Container {
                reference,
                call: on,
            } => self.on_container(&call, as_of, reference, on).await,
            Endpoint::StartExec { id } => self.start_exec(&call, as_of, id).await,
            Endpoint::InspectExec { id } => Ok(ok(self.own_exec(grant, id).await?.1)),
            Endpoint::ResizeExec { id, height, width } => {
                self.own_exec(grant, id).await?;
                let path = format!("/exec/{id}/resize?h={height}&w={width}");
                self.docker.act(Method::POST, &path, Body::NONE).await?;
                Ok(Reply::Empty(201))
            }
            Endpoint::ListImages { manifests, filters } => {
                let manifests = if *manifests { "&manifests=true" } else { "" };
                let path = format!("/images/json?filters={}{manifests}", filters.encoded());
                Ok(ok(as_of.images(self.usable_images(grant, &path).await?)))
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

    async fn events(
        &self,
        tenant: &Tenant,
        as_of: AsOf,
        [since, until]: [&str; 2],
        filters: &Filters,
    ) -> Result<Reply, GatewayError> {
        // Where the caller wants other types only, it gets nothing: no line of those passes.
        let types = filters.of("type");
        let filters = if types.is_empty() || types.iter().any(|kind| kind == "container") {
            filters.clone().only("type", "container")
        } else {
            filters.clone()
        };
        let filters = filters.encoded_with("label", &format!("{OWNER_LABEL}={}", tenant.grant.uid));
        let mut parts = vec![format!("filters={filters}")];
        for (key, time) in [("since", since), ("until", until)] {
            if !time.is_empty() {
                parts.push(format!("{key}={time}"));
            }
        }
        let path = format!("/events?{}", parts.join("&"));
        let answer = self.stream(Method::GET, &path).await?;
        Ok(Reply::Events(answer, Arc::clone(&tenant.grant), as_of))
    }

    async fn on_container(
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
            // What `top` prints is as long as the tenant's processes make it.
            ContainerCall::Stats { .. } | ContainerCall::Wait { .. } | ContainerCall::Top => {
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
    async fn change(
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
    async fn still_allowed(
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

    async fn create_exec(
        &self,
        call: &Call,
        api: ApiVersion,
        container: &OwnContainer,
        path: &str,
    ) -> Result<Reply, GatewayError> {
        let user = text(&container.inspected, "/Config/User");
        check_count(&container.inspected)?;
        let layout = Layout::of_container(&container.inspected);
        let exec = CanonicalExec::decide(&call.tenant.grant, user, &layout, &call.body, api)?;
        self.admit_writes_of(container).await?;
        let render = |api| exec.render(api);
        let act = self
            .docker
            .json::<Value>(Method::POST, path, Body::Versioned(&render));
        let intent = about(call, container, json!({"exec": exec.audit()}));
        let made = self.recorded(intent, act).await?;
        let id = own::full_id(text(&made, "/Id")).ok_or(GatewayError::Answer)?;
        Ok(Reply::Json(201, json!({"Id": id})))
    }

    async fn start_exec(&self, call: &Call, as_of: AsOf, id: &str) -> Result<Reply, GatewayError> {
        let (container, exec) = self.own_exec(&call.tenant.grant, id).await?;
        check_existing(&call.tenant.grant, &exec)?;
        let start = ExecStart::parse(&call.body, as_of.0)?;
        self.admit_writes_of(&container).await?;
        let path = format!("/exec/{id}/start");
        let intent = about(call, &container, json!({"exec": id}));
        let render = |api| start.render(api);
        if start.detach {
            let body = Body::Versioned(&render);
            let act = self.docker.act(Method::POST, &path, body);
            self.recorded(intent, act).await?;
            return Ok(Reply::Empty(200));
        }
        let opened = self
            .recorded(intent, self.upgrade(&path, Body::Versioned(&render)))
            .await?;
        opened_for(call, as_of, opened).await
    }

    async fn pull(
        &self,
        tenant: &Tenant,
        image: &ImageRef,
        has_credentials: bool,
    ) -> Result<Reply, GatewayError> {
        let grant = &tenant.grant;
        let rule = &grant.rules.images;
        if !views::is_allowed(image, grant) {
            let message = format!("the image {image} is none that the policy allows");
            return Err(Refusal::new("IMAGE_REFUSED", message, rule.clone()).into());
        }
        if has_credentials {
            let message =
                "credentials for a registry are not passed on; images are pulled anonymously";
            let rule = Rule::builtin("no-registry-credentials");
            let refusal = Refusal::new("REGISTRY_AUTH_REFUSED", message, rule);
            return Err(refusal
                .with_hint("run `docker logout` for this registry")
                .into());
        }
        self.admit_writes().await?;
        let (Version::Tag(version) | Version::Digest(version)) = &image.version;
        let path = format!(
            "/images/create?fromImage={}&tag={}",
            percent_encoded(&image.repository),
            percent_encoded(version)
        );
        let intent = tenant.intent("image.pull", json!({"image": image.to_string()}), rule);
        let answer = self
            .recorded(intent, self.stream_of(Method::POST, &path))
            .await?;
        let pulling = Pulling::new(self.pulled.clone(), grant.uid, image.clone());
        Ok(Reply::Pull(answer, pulling))
    }

    /// An id is looked for among the images that the caller may see, never by Docker.
    async fn inspect_image_by_id(&self, grant: &Grant, start: &str) -> Result<Value, GatewayError> {
        let absent = || GatewayError::NotFound(format!("No such image: {start}"));
        let list = self.usable_images(grant, "/images/json").await?;
        let ids = list.as_array().into_iter().flatten();
        let mut ids = ids.map(|image| text(image, "/Id"));
        let starts = |id: &str| id.trim_start_matches("sha256:").starts_with(start);
        let id = ids.find(|id| starts(id)).ok_or_else(absent)?;
        if ids.any(starts) {
            return Err(absent());
        }
        let inspected = self.get(&format!("/images/{id}/json")).await?;
        let own = self.own_images(grant).await?;
        let usable = Usable { grant, own: &own };
        usable.inspected(&inspected).ok_or_else(absent)
    }

    /// Of a list of Docker's, the images that the caller may use.
    async fn usable_images(&self, grant: &Grant, path: &str) -> Result<Value, GatewayError> {
        let own = self.own_images(grant).await?;
        let usable = Usable { grant, own: &own };
        Ok(usable.images(self.get(path).await?))
    }

    async fn inspect_network(
        &self,
        tenant: &Tenant,
        reference: &str,
    ) -> Result<Reply, GatewayError> {
        let absent = || GatewayError::NotFound(format!("network {reference} not found"));
        let own = self.own_network(&tenant.grant).await?.ok_or_else(absent)?;
        let id = own::full_id(text(&own, "/Id")).ok_or(GatewayError::Answer)?;
        let named = reference == text(&own, "/Name");
        if !named && (reference.len() < 12 || !id.starts_with(reference)) {
            return Err(absent());
        }
        Ok(ok(self.get(&format!("/networks/{id}")).await?))
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

    /// Asks Docker for a stream; only its 101 is one.
    async fn upgrade(&self, path: &str, body: Body<'_>) -> Result<Response<Incoming>, DockerError> {
        let headers = [(header::CONNECTION, "Upgrade"), (header::UPGRADE, "tcp")];
        let answer = self.docker.send(Method::POST, path, &headers, body).await?;
        match answer.status().as_u16() {
            101 => return Ok(answer),
            // An answer of success that is no stream may be one without end: it is not read.
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

/// Docker's stream for the caller, who need not have asked for an upgrade: what it says is sent as the
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
