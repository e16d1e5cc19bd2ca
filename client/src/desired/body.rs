//! The create body of one container: only what the gateway takes, nothing that it adds itself.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bollard::models::{
    ContainerCreateBody, EndpointIpamConfig, EndpointSettings, HealthConfig, HostConfig, Mount,
    MountType, NetworkingConfig, PortBinding, RestartPolicy, RestartPolicyNameEnum,
};

use super::{Fingerprint, LABEL_FINGERPRINT, LABEL_SERVICE};

/// Everything about a container that its fingerprint is made of. Holds secrets, so it has no `Debug`.
#[derive(Clone, Default)]
pub(super) struct Container {
    pub(super) service: String,
    pub(super) image: String,
    pub(super) entrypoint: Vec<String>,
    pub(super) command: Vec<String>,
    pub(super) environment: BTreeMap<String, String>,
    /// Name and content of each file in `etc/<service>`.
    pub(super) config: BTreeMap<String, String>,
    pub(super) user: String,
    pub(super) capabilities: Vec<String>,
    /// Host directory, container path, read-only.
    pub(super) mounts: Vec<(String, String, bool)>,
    pub(super) read_only: bool,
    /// Path and options.
    pub(super) tmpfs: BTreeMap<String, String>,
    /// Container port and host port.
    pub(super) ports: Vec<(u16, u16)>,
    pub(super) address: String,
    pub(super) network: String,
    /// The address that it has there, where the front door sends visitors to it.
    pub(super) network_address: Option<String>,
    /// The container whose network it is in instead; then it has no ports and no name of its own.
    pub(super) joins: Option<String>,
    pub(super) memory: i64,
    pub(super) pids: i64,
    pub(super) nano_cpus: i64,
    pub(super) shm: Option<i64>,
    pub(super) health: Vec<String>,
    /// Interval, timeout and start period.
    pub(super) health_times: [Duration; 3],
    pub(super) health_retries: i64,
    pub(super) stop_signal: Option<String>,
    pub(super) stop_grace: i64,
}

impl Container {
    pub(super) fn fingerprint(&self) -> Fingerprint {
        let mut parts = Fingerprint::default();
        parts.add("image", &self.image);
        if !self.entrypoint.is_empty() {
            parts.add("entrypoint", &self.entrypoint);
        }
        parts.add("command", &self.command);
        for (name, value) in &self.environment {
            parts.add(format!("environment.{name}"), value);
        }
        for (name, content) in &self.config {
            parts.add(format!("config.{name}"), content);
        }
        parts.add("user", &self.user);
        parts.add("capabilities", &self.capabilities);
        parts.add("mounts", &self.mounts);
        parts.add("filesystem", &(self.read_only, &self.tmpfs));
        parts.add("ports", &(&self.ports, &self.address));
        match &self.network_address {
            None => parts.add("network", &self.network_mode()),
            Some(address) => parts.add("network", &(self.network_mode(), address)),
        }
        parts.add(
            "limits",
            &(self.memory, self.pids, self.nano_cpus, self.shm),
        );
        let times = self.health_times.map(|time| time.as_secs());
        parts.add("health", &(&self.health, times, self.health_retries));
        parts.add("stop", &(&self.stop_signal, self.stop_grace));
        parts
    }

    pub(super) fn body(&self) -> ContainerCreateBody {
        let labels = HashMap::from([
            (LABEL_SERVICE.to_owned(), self.service.clone()),
            (LABEL_FINGERPRINT.to_owned(), self.fingerprint().to_label()),
        ]);
        let environment = self.environment.iter();
        ContainerCreateBody {
            image: Some(self.image.clone()),
            entrypoint: some(self.entrypoint.clone()),
            cmd: some(self.command.clone()),
            env: some(
                environment
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect(),
            ),
            user: Some(self.user.clone()),
            exposed_ports: some(self.ports.iter().map(|(port, _)| tcp(*port)).collect()),
            healthcheck: Some(self.healthcheck()),
            labels: Some(labels),
            stop_signal: self.stop_signal.clone(),
            stop_timeout: Some(self.stop_grace),
            host_config: Some(self.host_config()),
            networking_config: self.joins.is_none().then(|| self.networking()),
            // The same in every container of the service, so that what its data says of the host that
            // wrote it stays true, e.g. openclaw's lease after a crash. A guest has its owner's.
            hostname: self.joins.is_none().then(|| self.service.clone()),
            ..Default::default()
        }
    }

    fn healthcheck(&self) -> HealthConfig {
        let nanoseconds = |time: Duration| i64::try_from(time.as_nanos()).ok();
        let [interval, timeout, start_period] = self.health_times.map(nanoseconds);
        let command = self.health.iter().cloned();
        HealthConfig {
            test: Some(std::iter::once("CMD".to_owned()).chain(command).collect()),
            interval,
            timeout,
            retries: Some(self.health_retries),
            start_period,
            start_interval: None,
        }
    }

    fn host_config(&self) -> HostConfig {
        let binding = |host: u16| PortBinding {
            host_ip: Some(self.address.clone()),
            host_port: Some(host.to_string()),
        };
        let ports = self.ports.iter();
        HostConfig {
            network_mode: Some(self.network_mode()),
            mounts: some(self.mounts.iter().map(bind).collect()),
            port_bindings: self.joins.is_none().then(|| {
                ports
                    .map(|(container, host)| (tcp(*container), Some(vec![binding(*host)])))
                    .collect()
            }),
            readonly_rootfs: Some(self.read_only),
            tmpfs: Some(self.tmpfs.clone().into_iter().collect())
                .filter(|t: &HashMap<_, _>| !t.is_empty()),
            cap_add: some(self.capabilities.clone()),
            memory: Some(self.memory),
            pids_limit: Some(self.pids),
            nano_cpus: Some(self.nano_cpus),
            shm_size: self.shm,
            restart_policy: Some(RestartPolicy {
                name: Some(RestartPolicyNameEnum::UNLESS_STOPPED),
                maximum_retry_count: None,
            }),
            ..Default::default()
        }
    }

    fn network_mode(&self) -> String {
        match &self.joins {
            Some(container) => format!("container:{container}"),
            None => self.network.clone(),
        }
    }

    /// The tenant's network, where the service is found by its name.
    fn networking(&self) -> NetworkingConfig {
        let endpoint = EndpointSettings {
            aliases: Some(vec![self.service.clone()]),
            ipam_config: self
                .network_address
                .clone()
                .map(|address| EndpointIpamConfig {
                    ipv4_address: Some(address),
                    ..Default::default()
                }),
            ..Default::default()
        };
        NetworkingConfig {
            endpoints_config: Some(HashMap::from([(self.network.clone(), endpoint)])),
        }
    }
}

fn bind((source, target, read_only): &(String, String, bool)) -> Mount {
    Mount {
        typ: Some(MountType::BIND),
        source: Some(source.clone()),
        target: Some(target.clone()),
        read_only: Some(*read_only),
        ..Default::default()
    }
}

fn tcp(port: u16) -> String {
    format!("{port}/tcp")
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}
