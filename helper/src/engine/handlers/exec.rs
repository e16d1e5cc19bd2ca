//! Execs: create, start and resize a process in one of the caller's containers.

use aistack_policy::Grant;
use aistack_policy::engine::ApiVersion;
use http::Method;
use serde_json::{Value, json};

use super::{Call, Reply, about, opened_for};
use crate::docker::Body;
use crate::engine::error::GatewayError;
use crate::engine::gateway::Gateway;
use crate::engine::own::{self, OwnContainer, text};
use crate::engine::vet::exec::{CanonicalExec, ExecStart, check_count, check_existing};
use crate::engine::vet::working_dir::Layout;
use crate::engine::views::AsOf;

impl Gateway {
    pub(super) async fn create_exec(
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

    pub(super) async fn start_exec(
        &self,
        call: &Call,
        as_of: AsOf,
        id: &str,
    ) -> Result<Reply, GatewayError> {
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

    pub(super) async fn resize_exec(
        &self,
        grant: &Grant,
        id: &str,
        height: u32,
        width: u32,
    ) -> Result<Reply, GatewayError> {
        self.own_exec(grant, id).await?;
        let path = format!("/exec/{id}/resize?h={height}&w={width}");
        self.docker.act(Method::POST, &path, Body::NONE).await?;
        Ok(Reply::Empty(201))
    }
}
