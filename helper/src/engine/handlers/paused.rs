//! Paused containers: what lets one run on is verified as a start is.

use http::StatusCode;
use serde_json::json;

use super::{Call, Reply};
use crate::docker::DockerError;
use crate::engine::error::GatewayError;
use crate::engine::gateway::Gateway;
use crate::engine::own::OwnContainer;
use crate::engine::vet::target::ContainerCall;

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
}
