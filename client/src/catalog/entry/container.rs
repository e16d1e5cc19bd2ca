//! The container of a service: its directories, limits, ports, health check and stop.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::template::Template;
use super::super::units::{Bytes, Cpus, Span};

/// Container paths of the service's directories.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mounts {
    /// `etc/<service>`, read-only.
    pub etc: Option<String>,
    /// `data/<service>`.
    pub data: Option<String>,
    /// `data` is that of this other service of the group, which runs as the same user.
    pub data_of: Option<String>,
    /// `logs/<service>`.
    pub logs: Option<String>,
}

/// The container's root file system.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Filesystem {
    /// Mounted read-only.
    pub read_only: bool,
    /// Directories in memory with their largest size: noexec, nosuid, nodev, mode 1777.
    #[serde(default)]
    pub tmpfs: BTreeMap<String, Bytes>,
}

/// What the container may use.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitsEntry {
    /// Memory, what is in its tmpfs included.
    pub memory: Bytes,
    /// Processes and threads.
    pub pids: u32,
    /// CPUs.
    pub cpus: Cpus,
    /// Size of `/dev/shm`; Docker's 64 MiB when it is not said.
    pub shm: Option<Bytes>,
}

/// A published port.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Port {
    /// TCP port in the container.
    pub container: u16,
    /// Key of the manifest that holds the port on the host.
    pub key: String,
    /// Place in the tenant's range that `init` tries first.
    pub offset: u16,
    /// What is spoken there, for its address.
    pub scheme: String,
}

/// Docker's health check. The command is run as it is, without a shell.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// Program and arguments.
    pub command: Vec<Template>,
    /// Between two probes.
    pub interval: Span,
    /// For one probe.
    pub timeout: Span,
    /// Failures in a row until it is unhealthy.
    pub retries: u32,
    /// Failures do not count for this long after a start.
    pub start_period: Span,
}

/// How it is stopped.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stop {
    /// Signal; the image's own when it is not said.
    pub signal: Option<String>,
    /// Time until it is killed.
    pub grace: Span,
}
