//! The create body as Docker gets it: own keys in fixed order, made of decided values only. Every
//! setting that matters is said outright, so that no default of Docker's decides.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use aistack_policy::engine::ApiVersion;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::lifetime::{Health, Log, Restart};
use super::network::Network;
use super::ports::HOST_IP;
use super::{CONSOLE_SIZE, Canonical, ConsoleSize};

/// Pairs as a JSON object, in their order.
struct Pairs<'a>(Vec<(&'a str, &'a str)>);

impl Serialize for Pairs<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let mut map = out.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// A set as Docker writes it: an object of empty objects.
struct Keys(BTreeSet<String>);

impl Serialize for Keys {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.collect_map(self.0.iter().map(|key| (key, Empty {})))
    }
}

#[derive(Serialize)]
struct Empty {}

/// A list that is always empty.
type Nothing = [(); 0];

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(clippy::struct_excessive_bools, reason = "the API has them one by one")]
struct Body<'a> {
    hostname: &'a str,
    user: String,
    attach_stdin: bool,
    attach_stdout: bool,
    attach_stderr: bool,
    exposed_ports: Keys,
    tty: bool,
    open_stdin: bool,
    stdin_once: bool,
    env: &'a [String],
    cmd: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    healthcheck: Option<Health>,
    image: &'a str,
    working_dir: &'a str,
    entrypoint: Option<&'a [String]>,
    #[serde(skip_serializing_if = "str::is_empty")]
    stop_signal: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop_timeout: Option<u32>,
    host_config: Host<'a>,
    networking_config: Networking<'a>,
    labels: Pairs<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(clippy::struct_excessive_bools, reason = "the API has them one by one")]
struct Host<'a> {
    privileged: bool,
    cap_add: &'a BTreeSet<String>,
    cap_drop: [&'static str; 1],
    security_opt: Vec<String>,
    group_add: Nothing,
    devices: Nothing,
    device_requests: Nothing,
    device_cgroup_rules: Nothing,
    pid_mode: &'static str,
    ipc_mode: &'static str,
    #[serde(rename = "UTSMode")]
    uts_mode: &'static str,
    userns_mode: &'static str,
    cgroupns_mode: &'static str,
    cgroup_parent: &'static str,
    runtime: &'static str,
    sysctls: Empty,
    binds: Nothing,
    volumes_from: Nothing,
    volume_driver: &'static str,
    mounts: Vec<Mount<'a>>,
    tmpfs: BTreeMap<&'a str, String>,
    readonly_rootfs: bool,
    network_mode: String,
    publish_all_ports: bool,
    port_bindings: BTreeMap<String, Vec<PortBinding>>,
    links: Nothing,
    dns: Nothing,
    dns_options: Nothing,
    dns_search: Nothing,
    extra_hosts: Nothing,
    memory: u64,
    memory_swap: u64,
    memory_reservation: u64,
    nano_cpus: u64,
    pids_limit: u64,
    shm_size: u64,
    ulimits: Vec<Ulimit>,
    oom_kill_disable: bool,
    oom_score_adj: i32,
    restart_policy: Restart,
    auto_remove: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    init: Option<bool>,
    log_config: LogConfig,
    #[serde(skip_serializing_if = "Option::is_none")]
    console_size: Option<ConsoleSize>,
}

/// A bind; a source that is missing is an error here, where `Binds` would make it as root.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Mount<'a> {
    #[serde(rename = "Type")]
    kind: &'static str,
    source: String,
    target: &'a str,
    read_only: bool,
    bind_options: BindOptions,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct BindOptions {
    propagation: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PortBinding {
    host_ip: &'static str,
    host_port: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Ulimit {
    name: &'static str,
    soft: u64,
    hard: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct LogConfig {
    #[serde(rename = "Type")]
    kind: &'static str,
    config: BTreeMap<&'static str, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Networking<'a> {
    endpoints_config: BTreeMap<&'a str, Endpoint<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Endpoint<'a> {
    aliases: &'a [String],
    #[serde(rename = "IPAMConfig", skip_serializing_if = "Option::is_none")]
    ipam_config: Option<EndpointIpam>,
}

#[derive(Serialize)]
struct EndpointIpam {
    #[serde(rename = "IPv4Address")]
    ipv4_address: Ipv4Addr,
}

/// The body's bytes. Serialising these types cannot fail, as every map has text for keys; if it
/// did, Docker would refuse the empty body.
pub(super) fn body(canonical: &Canonical, api: ApiVersion) -> Vec<u8> {
    let process = &canonical.process;
    let own = canonical
        .own_labels
        .iter()
        .map(|(key, value)| (*key, value.as_str()));
    let labels = process
        .labels
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()));
    let exposed = canonical.ports.exposed.iter();
    let health = canonical.lifetime.health.as_ref();
    let body = Body {
        hostname: &process.hostname,
        user: canonical.user.to_string(),
        attach_stdin: process.attach_stdin,
        attach_stdout: process.attach_stdout,
        attach_stderr: process.attach_stderr,
        exposed_ports: Keys(exposed.map(ToString::to_string).collect()),
        tty: process.tty,
        open_stdin: process.open_stdin,
        stdin_once: process.stdin_once,
        env: &process.env,
        cmd: process.cmd.as_deref(),
        healthcheck: health.map(|health| health.under(api)),
        image: &canonical.image_id,
        working_dir: &process.working_dir,
        entrypoint: process.entrypoint.as_deref(),
        stop_signal: &process.stop_signal,
        stop_timeout: process.stop_timeout,
        host_config: host(canonical, api),
        networking_config: networking(&canonical.network),
        labels: Pairs(labels.chain(own).collect()),
    };
    serde_json::to_vec(&body).unwrap_or_default()
}

fn host(canonical: &Canonical, api: ApiVersion) -> Host<'_> {
    let (limits, security) = (&canonical.limits, &canonical.security);
    Host {
        privileged: false,
        cap_add: &security.capabilities,
        cap_drop: ["ALL"],
        security_opt: security_options(security.apparmor.as_deref()),
        group_add: [],
        devices: [],
        device_requests: [],
        device_cgroup_rules: [],
        pid_mode: "",
        ipc_mode: if security.no_ipc { "none" } else { "private" },
        uts_mode: "",
        userns_mode: "",
        cgroupns_mode: "private",
        cgroup_parent: "",
        runtime: "",
        sysctls: Empty {},
        binds: [],
        volumes_from: [],
        volume_driver: "",
        mounts: mounts(canonical),
        tmpfs: tmpfs(canonical),
        readonly_rootfs: canonical.read_only,
        network_mode: network_mode(&canonical.network),
        publish_all_ports: false,
        port_bindings: port_bindings(canonical),
        links: [],
        dns: [],
        dns_options: [],
        dns_search: [],
        extra_hosts: [],
        memory: limits.memory,
        memory_swap: limits.memory,
        memory_reservation: limits.reservation,
        nano_cpus: limits.nano_cpus,
        pids_limit: limits.pids,
        shm_size: limits.shm,
        ulimits: ulimits(canonical),
        oom_kill_disable: false,
        oom_score_adj: 0,
        restart_policy: canonical.lifetime.restart,
        auto_remove: canonical.lifetime.auto_remove,
        init: canonical.lifetime.init,
        log_config: log_config(canonical.lifetime.log),
        console_size: canonical.console_size.filter(|_| api >= CONSOLE_SIZE),
    }
}

fn security_options(apparmor: Option<&str>) -> Vec<String> {
    let profile = apparmor.map(|name| format!("apparmor={name}"));
    std::iter::once("no-new-privileges:true".to_owned())
        .chain(profile)
        .collect()
}

fn mounts(canonical: &Canonical) -> Vec<Mount<'_>> {
    let mount = |bind| Mount {
        kind: "bind",
        source: canonical.source(bind),
        target: &bind.target,
        read_only: bind.read_only,
        bind_options: BindOptions {
            propagation: "rprivate",
        },
    };
    canonical.mounts.binds.iter().map(mount).collect()
}

fn tmpfs(canonical: &Canonical) -> BTreeMap<&str, String> {
    let mounts = canonical.mounts.tmpfs.iter();
    mounts
        .map(|(target, tmpfs)| (target.as_str(), tmpfs.to_string()))
        .collect()
}

fn port_bindings(canonical: &Canonical) -> BTreeMap<String, Vec<PortBinding>> {
    let binding = |port: &u16| PortBinding {
        host_ip: HOST_IP,
        host_port: port.to_string(),
    };
    let published = canonical.ports.published.iter();
    published
        .map(|(port, hosts)| (port.to_string(), hosts.iter().map(binding).collect()))
        .collect()
}

fn ulimits(canonical: &Canonical) -> Vec<Ulimit> {
    let limits = canonical.limits.ulimits.iter();
    limits
        .map(|(&name, &(soft, hard))| Ulimit { name, soft, hard })
        .collect()
}

fn log_config(log: Log) -> LogConfig {
    let config = [
        ("max-file", log.files.to_string()),
        ("max-size", log.bytes.to_string()),
    ];
    LogConfig {
        kind: "json-file",
        config: config.into(),
    }
}

fn network_mode(network: &Network) -> String {
    match network {
        Network::Own { id, .. } => id.clone(),
        Network::Nothing => "none".to_owned(),
        Network::Joined(id) => format!("container:{id}"),
    }
}

fn networking(network: &Network) -> Networking<'_> {
    let endpoint = match network {
        Network::Own {
            id,
            aliases,
            address,
        } => {
            let ipam_config = address.map(|ipv4_address| EndpointIpam { ipv4_address });
            Some((
                id.as_str(),
                Endpoint {
                    aliases,
                    ipam_config,
                },
            ))
        }
        Network::Nothing | Network::Joined(_) => None,
    };
    Networking {
        endpoints_config: endpoint.into_iter().collect(),
    }
}
