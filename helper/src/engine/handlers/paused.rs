//! Paused containers: what lets one run on is verified as a start is.

use http::StatusCode;
use serde_json::json;

use super::{Call, Reply};
use crate::docker::DockerError;
use crate::engine::error::GatewayError;
use crate::engine::gateway::Gateway;
use crate::engine::own::OwnContainer;
use crate::engine::vet::target::{ContainerCall, StopQuery};

impl Gateway {
    pub(super) async fn unpause(
        &self,
        call: &Call,
        container: &OwnContainer,
    ) -> Result<Reply, GatewayError> {
        if !container.is_paused() {
            // Docker's own answer, without what has to be measured before a container runs on.
            return Err(GatewayError::Docker(DockerError::Response {
                status: StatusCode::INTERNAL_SERVER_ERROR,
                message: format!("Container {} is not paused", container.id),
            }));
        }
        self.still_allowed(&call.tenant.grant, container).await?;
        let (method, path) = ContainerCall::Unpause.upstream(&container.id);
        let reply = self
            .change(call, container, json!({}), method, &path)
            .await?;
        self.check_confined(&call.tenant, container).await?;
        Ok(reply)
    }

    /// A signal to a paused container: Docker lets it run on, to take the signal (moby `killWithSignal`). It need
    /// not end of that.
    pub(super) async fn signal_paused(
        &self,
        call: &Call,
        container: &OwnContainer,
        signal: &'static str,
    ) -> Result<Reply, GatewayError> {
        self.may_run_on(call, container).await?;
        let (method, path) = ContainerCall::Kill { signal }.upstream(&container.id);
        let how = json!({"how": format!("signal=SIG{signal}")});
        let reply = self.change(call, container, how, method, &path).await?;
        self.check_confined(&call.tenant, container).await?;
        Ok(reply)
    }

    /// A stop of a paused container, which runs on for as long as the stop gives it to end. What may not
    /// run, or may not be known to, gets no time.
    pub(super) async fn stop_paused(
        &self,
        call: &Call,
        container: &OwnContainer,
        query: &StopQuery,
    ) -> Result<Reply, GatewayError> {
        let mut query = query.clone();
        if self.may_run_on(call, container).await.is_err() {
            query.seconds = Some(0);
        }
        let (method, path) = ContainerCall::Stop(query).upstream(&container.id);
        let how = path.split_once('?').map_or("", |(_, query)| query);
        let how = json!({"how": how});
        self.change(call, container, how, method, &path).await
    }

    async fn may_run_on(&self, call: &Call, container: &OwnContainer) -> Result<(), GatewayError> {
        self.docker.require_supported::<GatewayError>().await?;
        self.still_allowed(&call.tenant.grant, container).await
    }
}
