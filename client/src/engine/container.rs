//! What the client keeps of Docker's answers about containers.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bollard::models::{
    ContainerConfig, ContainerInspectResponse, ContainerSummary, ContainerSummaryStateEnum,
    HealthStatusEnum, HostConfig,
};

use crate::desired::{Fingerprint, LABEL_FINGERPRINT, LABEL_SERVICE};
use crate::plan::{Held, Host, Observed, ObservedService, State};

/// Label that the gateway stamps with the image reference of the request: it makes containers
/// from image ids, so that a tag that moves in between changes nothing.
pub const LABEL_IMAGE: &str = "io.aistack.image";
/// Label that the gateway puts into a list where a request is changing the container, its caller
/// still there or not. It holds the operation.
const LABEL_CHANGING: &str = "io.aistack.changing";

/// One container as Docker lists it.
#[derive(Debug, Clone)]
pub struct Container {
    /// Full id.
    pub id: String,
    /// Name without the slash.
    pub name: String,
    /// The stack's service that it is.
    pub service: String,
    /// Image reference it was made from.
    pub image: String,
    /// Docker's id of that image, `sha256:…`.
    pub image_id: String,
    /// Docker's own word, e.g. `running`.
    pub state: String,
    /// What the plan makes of it.
    pub plan_state: State,
    /// Docker's own sentence, e.g. `Up 5 minutes (healthy)`.
    pub status: String,
    /// Published ports of the host, ascending.
    pub ports: Vec<u16>,
    /// From its label.
    pub fingerprint: Option<Fingerprint>,
    /// A request that was changing it when it was listed, e.g. `container.stop`.
    pub changing: Option<String>,
    /// What it holds by identity, as far as the list tells it.
    pub held: Held,
}

impl Container {
    /// `None` for a container that is not a service of a stack.
    pub(super) fn from_summary(summary: ContainerSummary) -> Option<Self> {
        let labels = summary.labels.unwrap_or_default();
        let service = labels.get(LABEL_SERVICE)?.clone();
        let status = summary.status.unwrap_or_default();
        let state = summary.state.unwrap_or(ContainerSummaryStateEnum::EMPTY);
        let mut ports: Vec<u16> = summary
            .ports
            .unwrap_or_default()
            .iter()
            .filter_map(|port| port.public_port)
            .collect();
        ports.sort_unstable();
        ports.dedup();
        let networks = summary.network_settings.and_then(|own| own.networks);
        let mode = summary.host_config.and_then(|host| host.network_mode);
        let mode = mode.unwrap_or_default();
        let full_id = |text: &str| is_full_id(text).then(|| text.to_owned());
        let held = Held {
            made_for: full_id(&mode),
            joins: mode.strip_prefix("container:").and_then(full_id),
            networks: networks
                .into_iter()
                .flat_map(HashMap::into_values)
                .filter_map(|network| network.network_id)
                .filter(|id| !id.is_empty())
                .collect(),
            ..Held::default()
        };
        Some(Self {
            changing: labels.get(LABEL_CHANGING).cloned(),
            held,
            id: summary.id?,
            name: summary
                .names
                .and_then(|names| names.into_iter().next())
                .map(|name| name.trim_start_matches('/').to_owned())?,
            service,
            image: labels
                .get(LABEL_IMAGE)
                .cloned()
                .or(summary.image)
                .unwrap_or_default(),
            image_id: summary.image_id.unwrap_or_default(),
            plan_state: plan_state(state, &status),
            state: state.to_string(),
            status,
            ports,
            fingerprint: labels
                .get(LABEL_FINGERPRINT)
                .and_then(|label| serde_json::from_str(label).ok()),
        })
    }

    /// How long it has been in its state, in Docker's words, e.g. `5 minutes`.
    #[must_use]
    pub fn uptime(&self) -> Option<&str> {
        let time = self.status.strip_prefix("Up ")?;
        Some(time.split(" (").next().unwrap_or(time))
    }

    /// Containers as the plan wants them, on such a host.
    #[must_use]
    pub fn observed(containers: &[Self], host: Host) -> Observed {
        let services: BTreeMap<String, ObservedService> = containers
            .iter()
            .map(|container| {
                let observed = ObservedService {
                    id: container.id.clone(),
                    container: container.name.clone(),
                    image: container.image.clone(),
                    image_id: container.image_id.clone(),
                    fingerprint: container.fingerprint.clone(),
                    held: container.held.clone(),
                    state: container.plan_state,
                };
                (container.service.clone(), observed)
            })
            .collect();
        Observed { services, host }
    }
}

/// The gateway names the tenant's network to Docker by its full id.
fn is_full_id(text: &str) -> bool {
    let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.len() == 64 && text.bytes().all(hex)
}

/// The list holds the health in its sentence under every version, and from API 1.52 on in a field, too.
fn plan_state(state: ContainerSummaryStateEnum, status: &str) -> State {
    match state {
        ContainerSummaryStateEnum::CREATED => State::Created,
        ContainerSummaryStateEnum::RUNNING if status.contains("(unhealthy)") => State::Unhealthy,
        ContainerSummaryStateEnum::RUNNING if status.contains("(health: starting)") => {
            State::Starting
        }
        ContainerSummaryStateEnum::RUNNING => State::Healthy,
        _ => State::Stopped,
    }
}

/// Health as the engine judges it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// The container has no health check.
    None,
    /// Not decided yet.
    Starting,
    /// The probe passes.
    Healthy,
    /// The probe failed as often as it may.
    Unhealthy,
}

/// One run of a container's health check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// When it began, as Docker writes it.
    pub start: String,
    /// 0 when it passed, -1 when the engine could not run it to its end.
    pub code: i64,
    /// What it said, or what the engine says of it.
    pub output: String,
}

/// One container in detail.
#[derive(Clone)]
pub struct Inspection {
    /// Full id.
    pub id: String,
    /// Whether its process runs.
    pub running: bool,
    /// Its process on the host, where it runs.
    pub pid: Option<u32>,
    /// Whether it waits to be started again after it exited.
    pub restarting: bool,
    /// How often the engine restarted it.
    pub restarts: u64,
    /// Code of its last exit.
    pub exit_code: i64,
    /// Whether the kernel killed it for its memory.
    pub oom_killed: bool,
    /// Why it could not be started, in Docker's words.
    pub error: String,
    /// Its health.
    pub health: Health,
    /// Output of the last probe.
    pub probe: Option<String>,
    /// The last probes, oldest first.
    pub probes: Vec<Probe>,
    /// The AppArmor label that Docker gives its processes; empty for Docker's own choice.
    pub apparmor: String,
    /// What it was made of, to make it again.
    pub config: ContainerConfig,
    /// What it was made of, to make it again.
    pub host_config: HostConfig,
}

/// The configuration's environment holds secrets, so `Debug` leaves it out.
impl std::fmt::Debug for Inspection {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Inspection")
            .field("id", &self.id)
            .field("running", &self.running)
            .field("exit_code", &self.exit_code)
            .field("error", &self.error)
            .field("health", &self.health)
            .finish_non_exhaustive()
    }
}

impl Inspection {
    /// The stack's service that it is; `None` for a container that is none.
    #[must_use]
    pub fn service(&self) -> Option<&String> {
        self.config.labels.as_ref()?.get(LABEL_SERVICE)
    }

    /// How long it has to stop before it is killed, where it says so itself.
    #[must_use]
    pub fn stop_grace(&self) -> Option<Duration> {
        let seconds = self.config.stop_timeout?.try_into().ok()?;
        Some(Duration::from_secs(seconds))
    }

    pub(super) fn from_response(response: ContainerInspectResponse) -> Self {
        let state = response.state.unwrap_or_default();
        let health = state.health.unwrap_or_default();
        let log = health.log.unwrap_or_default().into_iter();
        let probes: Vec<Probe> = log
            .map(|probe| Probe {
                start: probe.start.unwrap_or_default(),
                code: probe.exit_code.unwrap_or_default(),
                output: probe.output.unwrap_or_default(),
            })
            .collect();
        Self {
            id: response.id.unwrap_or_default(),
            running: state.running.unwrap_or_default(),
            pid: state
                .pid
                .and_then(|pid| pid.try_into().ok())
                .filter(|pid| *pid > 0),
            restarting: state.restarting.unwrap_or_default(),
            restarts: u64::try_from(response.restart_count.unwrap_or_default()).unwrap_or_default(),
            exit_code: state.exit_code.unwrap_or_default(),
            oom_killed: state.oom_killed.unwrap_or_default(),
            error: state.error.unwrap_or_default(),
            health: match health.status {
                Some(HealthStatusEnum::HEALTHY) => Health::Healthy,
                Some(HealthStatusEnum::UNHEALTHY) => Health::Unhealthy,
                Some(HealthStatusEnum::STARTING) => Health::Starting,
                Some(HealthStatusEnum::EMPTY | HealthStatusEnum::NONE) | None => Health::None,
            },
            probe: probes
                .last()
                .map(|probe| probe.output.clone())
                .filter(|output| !output.trim().is_empty()),
            probes,
            apparmor: response.app_armor_profile.unwrap_or_default(),
            config: response.config.unwrap_or_default(),
            host_config: response.host_config.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A container that runs and is healthy.
    pub(crate) fn container(service: &str) -> Container {
        let mut summary = summary(ContainerSummaryStateEnum::RUNNING, "Up 5 seconds (healthy)");
        summary.labels = Some(HashMap::from([(
            LABEL_SERVICE.to_owned(),
            service.to_owned(),
        )]));
        Container::from_summary(summary).unwrap()
    }

    /// A container in detail of which nothing is said.
    pub(crate) fn inspection() -> Inspection {
        Inspection::from_response(ContainerInspectResponse::default())
    }

    fn summary(state: ContainerSummaryStateEnum, status: &str) -> ContainerSummary {
        ContainerSummary {
            id: Some("abc".to_owned()),
            names: Some(vec!["/tenant-1001-redis".to_owned()]),
            labels: Some(HashMap::from([(
                LABEL_SERVICE.to_owned(),
                "redis".to_owned(),
            )])),
            state: Some(state),
            status: Some(status.to_owned()),
            ..ContainerSummary::default()
        }
    }

    #[test]
    fn the_state_is_read_from_dockers_sentence() {
        use ContainerSummaryStateEnum as Docker;
        for (state, status, expected) in [
            (Docker::RUNNING, "Up 5 seconds (healthy)", State::Healthy),
            (Docker::RUNNING, "Up 5 seconds", State::Healthy),
            (
                Docker::RUNNING,
                "Up 5 seconds (health: starting)",
                State::Starting,
            ),
            (Docker::RUNNING, "Up 2 hours (unhealthy)", State::Unhealthy),
            (Docker::CREATED, "Created", State::Created),
            (Docker::EXITED, "Exited (1) 2 minutes ago", State::Stopped),
            (
                Docker::RESTARTING,
                "Restarting (1) 2 seconds ago",
                State::Stopped,
            ),
        ] {
            let container = Container::from_summary(summary(state, status)).unwrap();
            assert_eq!(container.plan_state, expected, "{status}");
        }
    }

    #[test]
    fn uptime_is_dockers_without_the_health() {
        let running = summary(ContainerSummaryStateEnum::RUNNING, "Up 3 hours (healthy)");
        let running = Container::from_summary(running).unwrap();
        assert_eq!(running.uptime(), Some("3 hours"));
        assert_eq!(running.name, "tenant-1001-redis");
        let exited = summary(ContainerSummaryStateEnum::EXITED, "Exited (1) 1 minute ago");
        assert_eq!(Container::from_summary(exited).unwrap().uptime(), None);
    }

    #[test]
    fn a_container_without_the_service_label_is_none_of_the_stacks() {
        let mut foreign = summary(ContainerSummaryStateEnum::RUNNING, "Up 1 second");
        foreign.labels = None;
        assert!(Container::from_summary(foreign).is_none());
    }
}
