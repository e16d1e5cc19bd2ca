//! The create body: every field of the API up to 1.56 with its type, or with the reason why it must
//! stay unset. Nothing is ignored.
//!
//! Source of the field list: Docker Engine API 1.41 and its history up to 1.56
//! (github.com/moby/moby/api, `docs/CHANGELOG.md`), moby's `api/types/container`, and bodies recorded
//! from docker 20.10 and 28.2, bollard 0.21 and docker-py 7.1.

use std::collections::{BTreeMap, BTreeSet};

use aistack_policy::Refusal;
use serde_json::Value;

use super::super::json::fields::{At, Field, Words, is_zero, object, unknown, wrong};

object! {
    /// The whole body. Docker reads HostConfig's fields from here when HostConfig is absent, which
    /// is why an unknown key at this level must never be let through.
    Body {
        "Hostname" => hostname: String,
        "User" => user: String,
        "AttachStdin" => attach_stdin: bool,
        "AttachStdout" => attach_stdout: bool,
        "AttachStderr" => attach_stderr: bool,
        "ExposedPorts" => exposed_ports: BTreeSet<String>,
        "Tty" => tty: bool,
        "OpenStdin" => open_stdin: bool,
        "StdinOnce" => stdin_once: bool,
        "Env" => env: Vec<String>,
        "Cmd" => cmd: Words,
        "Healthcheck" => healthcheck: Option<Healthcheck>,
        "Image" => image: String,
        "Volumes" => volumes: BTreeSet<String>,
        "WorkingDir" => working_dir: String,
        "Entrypoint" => entrypoint: Words,
        "Labels" => labels: BTreeMap<String, String>,
        "StopSignal" => stop_signal: String,
        "StopTimeout" => stop_timeout: Option<i64>,
        "HostConfig" => host: HostConfig,
        "NetworkingConfig" => networking: Networking,
    }
    unset {
        "Domainname" => "DOMAINNAME_REFUSED", "no-domainname",
            "a container has a host name only";
        "MacAddress" => "MAC_ADDRESS_REFUSED", "no-addresses",
            "Docker chooses the addresses on the tenant's network";
        "NetworkDisabled" => "NETWORK_DISABLED_REFUSED", "no-network-disabled",
            "it is deprecated; use HostConfig.NetworkMode \"none\"";
        "ArgsEscaped" | "OnBuild" | "Shell" => "IMAGE_FIELD_REFUSED", "no-image-fields",
            "set it in the image";
    }
}

object! {
    /// What the container may do to the host. Resources are in the second half.
    HostConfig {
        "Binds" => binds: Vec<String>,
        "Mounts" => mounts: Vec<Mount>,
        "Tmpfs" => tmpfs: BTreeMap<String, String>,
        "NetworkMode" => network_mode: String,
        "PortBindings" => port_bindings: BTreeMap<String, Vec<PortBinding>>,
        "RestartPolicy" => restart: RestartPolicy,
        "AutoRemove" => auto_remove: bool,
        "LogConfig" => log: LogConfig,
        "CapAdd" => cap_add: Words,
        "CapDrop" => cap_drop: Words,
        "SecurityOpt" => security_opt: Vec<String>,
        "IpcMode" => ipc_mode: String,
        "ReadonlyRootfs" => read_only: bool,
        "Init" => init: Option<bool>,
        "ConsoleSize" => console_size: Vec<i64>,
        "Umask" => umask: Option<i64>,

        "Memory" => memory: i64,
        "MemorySwap" => memory_swap: i64,
        "MemorySwappiness" => memory_swappiness: Option<i64>,
        "MemoryReservation" => memory_reservation: i64,
        "NanoCpus" => nano_cpus: i64,
        "CpuPeriod" => cpu_period: i64,
        "CpuQuota" => cpu_quota: i64,
        "PidsLimit" => pids_limit: i64,
        "ShmSize" => shm_size: i64,
        "Ulimits" => ulimits: Vec<Ulimit>,
    }
    unset {
        "Privileged" => "PRIVILEGED_REFUSED", "no-privileged",
            "a privileged container is root on the host";
        "PidMode" => "PID_MODE_REFUSED", "no-host-namespaces",
            "a container may not share another PID namespace";
        "UTSMode" => "UTS_MODE_REFUSED", "no-host-namespaces",
            "a container may not share the host's UTS namespace", or "private";
        "UsernsMode" => "USERNS_MODE_REFUSED", "no-host-namespaces",
            "the user namespace cannot be chosen", or "private";
        "CgroupnsMode" => "CGROUPNS_MODE_REFUSED", "no-host-namespaces",
            "a container may not share another cgroup namespace", or "private";
        "Cgroup" | "CgroupParent" => "CGROUP_REFUSED", "no-cgroup",
            "another cgroup parent would escape the tenant's limits";
        "Devices" | "DeviceRequests" | "DeviceCgroupRules" => "DEVICES_REFUSED", "no-devices",
            "host devices are not allowed";
        "GroupAdd" => "GROUP_ADD_REFUSED", "no-groups",
            "additional groups are not allowed";
        "MaskedPaths" | "ReadonlyPaths" => "KERNEL_PATHS_REFUSED", "no-kernel-paths",
            "it would replace Docker's list of masked kernel files";
        "Runtime" => "RUNTIME_REFUSED", "no-runtime",
            "the runtime cannot be chosen", or "runc";
        "Isolation" => "ISOLATION_REFUSED", "no-isolation",
            "it is for Windows", or "default";
        "Sysctls" => "SYSCTLS_REFUSED", "no-sysctls",
            "kernel settings cannot be changed";
        "Links" => "LINKS_REFUSED", "no-links",
            "containers of one network find each other by name";
        "VolumesFrom" | "VolumeDriver" => "VOLUMES_REFUSED", "no-volumes",
            "only the tenant's directories can be mounted";
        "StorageOpt" => "STORAGE_OPT_REFUSED", "no-storage-options",
            "storage options cannot be set";
        "Dns" | "DnsOptions" | "DnsSearch" | "ExtraHosts" => "DNS_REFUSED", "no-name-resolution",
            "the tenant's network resolves names";
        "PublishAllPorts" => "PUBLISH_ALL_REFUSED", "no-publish-all",
            "published ports must be listed, within the tenant's range";
        "ContainerIDFile" => "ID_FILE_REFUSED", "no-id-file",
            "it is for the client only";
        "Annotations" => "ANNOTATIONS_REFUSED", "no-annotations",
            "annotations could change the runtime's behaviour";
        "OomScoreAdj" | "OomKillDisable" => "OOM_REFUSED", "no-oom-settings",
            "the OOM killer's choice cannot be changed";
        "KernelMemory" | "KernelMemoryTCP" | "CpuShares" | "CpuRealtimePeriod"
        | "CpuRealtimeRuntime" | "CpusetCpus" | "CpusetMems" | "BlkioWeight" | "BlkioWeightDevice"
        | "BlkioDeviceReadBps" | "BlkioDeviceWriteBps" | "BlkioDeviceReadIOps"
        | "BlkioDeviceWriteIOps" => "RESOURCE_REFUSED", "no-other-resources",
            "only Memory, NanoCpus (or CpuQuota), PidsLimit, ShmSize and Ulimits can be set";
        "CpuCount" | "CpuPercent" | "IOMaximumIOps" | "IOMaximumBandwidth" =>
            "RESOURCE_REFUSED", "no-other-resources", "it is for Windows";
    }
}

/// Fields of HostConfig that are read, and that Docker gets under another name or not at all: binds as
/// `Mounts`, CPUs as `NanoCpus`.
pub(super) const CONVERTED: [&str; 5] = [
    "Binds",
    "Umask",
    "MemorySwappiness",
    "CpuPeriod",
    "CpuQuota",
];

/// Fields of HostConfig that Docker fills where a create does not: which kernel files are hidden from
/// the container, and the runtime that the admin chose.
const FILLED_BY_DOCKER: [&str; 3] = ["MaskedPaths", "ReadonlyPaths", "Runtime"];

/// The first field of an inspected HostConfig that no create of the gateway sets, and that holds
/// something all the same: somebody else made the container.
pub(in crate::engine::vet) fn set_by_others(host: &Value) -> Option<&'static str> {
    let holds = |field: &str| {
        let value = host.get(field).unwrap_or(&Value::Null);
        match HostConfig::unset(field) {
            Some(unset) => !unset.is_met_by(value),
            None => !is_zero(value),
        }
    };
    let unset = HostConfig::UNSET.iter().chain(&CONVERTED);
    unset
        .copied()
        .filter(|field| !FILLED_BY_DOCKER.contains(field))
        .find(|field| holds(field))
}

object! {
    /// One entry of `Mounts`.
    Mount {
        "Type" => kind: String,
        "Source" => source: String,
        "Target" => target: String,
        "ReadOnly" => read_only: bool,
        "BindOptions" => bind: BindOptions,
        "TmpfsOptions" => tmpfs: TmpfsOptions,
    }
    unset {
        "VolumeOptions" | "ImageOptions" | "ClusterOptions" =>
            "MOUNTS_REFUSED", "no-volumes", "only bind and tmpfs mounts are allowed";
        "Consistency" => "MOUNTS_REFUSED", "no-volumes",
            "it is for macOS", or "default" | "consistent" | "cached" | "delegated";
    }
}

object! {
    /// Options of a bind.
    BindOptions {
        "Propagation" => propagation: String,
    }
    unset {
        "NonRecursive" | "CreateMountpoint" | "ReadOnlyNonRecursive" | "ReadOnlyForceRecursive" =>
            "MOUNTS_REFUSED", "bind-options", "a bind mount may only have the option Propagation \"rprivate\"";
    }
}

object! {
    /// Options of a tmpfs mount.
    TmpfsOptions {
        "SizeBytes" => size: i64,
        "Mode" => mode: i64,
    }
    unset {
        "Options" => "MOUNTS_REFUSED", "tmpfs-options",
            "options of a tmpfs are given in HostConfig.Tmpfs";
    }
}

object! {
    /// Where a port is published.
    PortBinding {
        "HostIp" => host_ip: String,
        "HostPort" => host_port: String,
    }
    unset {}
}

object! {
    /// What happens when the container ends.
    RestartPolicy {
        "Name" => name: String,
        "MaximumRetryCount" => retries: i64,
    }
    unset {}
}

object! {
    /// Where its output goes.
    LogConfig {
        "Type" => kind: String,
        "Config" => config: BTreeMap<String, String>,
    }
    unset {}
}

object! {
    /// One process limit.
    Ulimit {
        "Name" => name: String,
        "Soft" => soft: i64,
        "Hard" => hard: i64,
    }
    unset {}
}

object! {
    /// How Docker asks whether the service is well; times in nanoseconds.
    Healthcheck {
        "Test" => test: Vec<String>,
        "Interval" => interval: i64,
        "Timeout" => timeout: i64,
        "StartPeriod" => start_period: i64,
        "Retries" => retries: i64,
        "StartInterval" [44..] => start_interval: i64,
    }
    unset {}
}

/// The networks that the container is attached to, which is not what NetworkMode says.
#[derive(Debug, Default)]
pub(super) struct Networking {
    pub(super) endpoints: BTreeMap<String, Endpoint>,
    /// Names beside `EndpointsConfig` that hold nothing. docker-py's `create(network=…)` writes the network
    /// there, and Docker does not read it; it must be the tenant's all the same.
    pub(super) beside: Vec<String>,
}

impl Field for Networking {
    fn read(at: At<'_>, value: Value) -> Result<Self, Refusal> {
        let values = match value {
            Value::Null => return Ok(Self::default()),
            Value::Object(values) => values,
            _ => return Err(wrong(at.path, "an object")),
        };
        let mut read = Self::default();
        for (key, value) in values {
            match (key.as_str(), value) {
                ("EndpointsConfig", value) => {
                    read.endpoints = Field::read(at.to(&at.below(&key)), value)?;
                }
                (_, Value::Null) => read.beside.push(key),
                _ => return Err(unknown(at, &key, &["EndpointsConfig"], &[])),
            }
        }
        Ok(read)
    }
}

object! {
    /// How it is attached to one network.
    Endpoint {
        "Aliases" => aliases: Vec<String>,
        "IPAMConfig" => ipam: EndpointIpam,
    }
    unset {
        "NetworkID" | "EndpointID" => "ENDPOINT_REFUSED", "no-endpoint-settings",
            "a container may join only one network";
        "MacAddress" | "Gateway" | "IPAddress" | "IPPrefixLen" | "IPv6Gateway"
        | "GlobalIPv6Address" | "GlobalIPv6PrefixLen" => "ENDPOINT_REFUSED", "no-addresses",
            "Docker chooses the addresses on the tenant's network";
        "Links" | "DNSNames" => "ENDPOINT_REFUSED", "no-links",
            "names on the network are given in Aliases";
        "DriverOpts" | "GwPriority" => "ENDPOINT_REFUSED", "no-endpoint-settings",
            "the tenant's network has no options";
    }
}

object! {
    /// The address that it asks for there.
    EndpointIpam {
        "IPv4Address" => ipv4: String,
    }
    unset {
        "IPv6Address" | "LinkLocalIPs" => "ENDPOINT_REFUSED", "no-addresses",
            "Docker chooses the addresses on the tenant's network";
    }
}
