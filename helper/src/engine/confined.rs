//! After a start: the container's first process must carry the label that the container was made
//! with. Docker and runc see to that; this looks at what the kernel says.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::error::GatewayError;
use super::gateway::{Gateway, Tenant};
use super::own::{OwnContainer, text};
use super::vet::existing;
use crate::apparmor::label;
use crate::docker::{Body, DockerError};

/// Docker answers a start before runc has become the container's program, which is when the label
/// changes; a slow machine needs a while for it.
const RUNC: Duration = Duration::from_secs(10);
/// The program's name changes a moment before the label does.
const PROGRAM: Duration = Duration::from_millis(500);
/// Time between two looks.
const AGAIN: Duration = Duration::from_millis(20);

/// What the kernel shows of a container's first process.
enum Seen {
    /// There is none any more.
    Ended,
    /// The label, and whether the process is still runc's own.
    Label { found: String, is_runc: bool },
}

impl Gateway {
    /// Stops the container when its first process does not carry the label that it was made with.
    ///
    /// # Errors
    /// When it had to be stopped.
    pub(super) async fn check_confined(
        &self,
        tenant: &Tenant,
        container: &OwnContainer,
    ) -> Result<(), GatewayError> {
        let Some(label) = existing::label_of(&container.inspected) else {
            return Ok(());
        };
        let wanted = format!("{label} (enforce)");
        let began = Instant::now();
        loop {
            let (found, is_runc) = match self.look(&container.id).await? {
                Seen::Ended => return Ok(()),
                Seen::Label { found, .. } if found == wanted => return Ok(()),
                Seen::Label { found, is_runc } => (found, is_runc),
            };
            let patience = if is_runc { RUNC } else { PROGRAM };
            if began.elapsed() >= patience {
                return self
                    .stop_unconfined(tenant, container, &wanted, &found)
                    .await;
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn look(&self, id: &str) -> Result<Seen, GatewayError> {
        let inspected: Value = match self.get(&format!("/containers/{id}/json")).await {
            Err(error) if error.is_not_found() => return Ok(Seen::Ended),
            other => other?,
        };
        let running = inspected.pointer("/State/Running").and_then(Value::as_bool);
        let pid = inspected.pointer("/State/Pid").and_then(Value::as_u64);
        let (Some(true), Some(pid @ 1..)) = (running, pid) else {
            return Ok(Seen::Ended);
        };
        let process = PathBuf::from(format!("/proc/{pid}"));
        // A process that has ended meanwhile is distinguished from one that cannot be looked at by what
        // Docker says the next time.
        let found = label(&process).unwrap_or_else(|error| format!("unreadable: {error}"));
        let program = std::fs::read_to_string(process.join("comm")).unwrap_or_default();
        Ok(Seen::Label {
            found,
            is_runc: program.starts_with("runc:["),
        })
    }

    async fn stop_unconfined(
        &self,
        tenant: &Tenant,
        container: &OwnContainer,
        wanted: &str,
        found: &str,
    ) -> Result<(), GatewayError> {
        let arguments = json!({
            "container": container.name, "id": container.id, "wanted": wanted, "found": found,
        });
        tracing::error!(
            container = container.id,
            wanted,
            found,
            "not confined, stopping it"
        );
        let intent = tenant.intent("container.confine", arguments, &tenant.grant.rules.apparmor);
        let path = format!("/containers/{}/kill", container.id);
        let kill = self.docker.act(http::Method::POST, &path, Body::NONE);
        match self.enforced(intent, kill).await {
            // Docker answers 409 for a container that does not run any more.
            Err(GatewayError::Docker(DockerError::Response { status, .. })) if status == 409 => {}
            other => other?,
        }
        let name = text(&container.inspected, "/Name").trim_start_matches('/');
        Err(GatewayError::Unconfined(name.to_owned()))
    }
}
