//! What a Docker Engine must be like for aistack to work with it: from what it says of itself to what
//! does not work. Both daemons' logs and the tenants' `doctor` tell this, so that a service which
//! cannot become healthy is not blamed for it.

mod answers;
mod explain;

use std::fmt;

use crate::{Refusal, Rule};

pub use answers::Unreadable;
pub use explain::Fact;

/// A version of the Docker Engine API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiVersion {
    /// Always 1 so far.
    pub major: u32,
    /// What is added with each.
    pub minor: u32,
}

impl ApiVersion {
    /// The oldest that aistack speaks to an engine: Docker Engine 20.10's.
    pub const OLDEST_SPOKEN: Self = Self::v1(41);

    /// The newest that aistack speaks to an engine: every change up to it was read in Docker's
    /// history of the API (github.com/moby/moby/api, `docs/CHANGELOG.md`).
    pub const NEWEST_SPOKEN: Self = Self::v1(56);

    /// `1.<minor>`.
    #[must_use]
    pub const fn v1(minor: u32) -> Self {
        Self { major: 1, minor }
    }

    /// The newest version that both aistack and an engine speak; `None` where there is none.
    /// `oldest` and `newest` are the engine's; an engine that names no oldest has them all.
    #[must_use]
    pub fn negotiated(oldest: Option<Self>, newest: Self) -> Option<Self> {
        let spoken = newest.min(Self::NEWEST_SPOKEN);
        let least = oldest.map_or(Self::OLDEST_SPOKEN, |oldest| {
            oldest.max(Self::OLDEST_SPOKEN)
        });
        (least <= spoken).then_some(spoken)
    }

    /// Reads `1.41`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.split_once('.')?;
        let number = |digits: &str| {
            let plain =
                (1..=4).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
            digits.parse().ok().filter(|_| plain)
        };
        Some(Self {
            major: number(major)?,
            minor: number(minor)?,
        })
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.major, self.minor)
    }
}

/// What an engine says of itself in `/version` and `/info`, each under its own name there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the answers have them one by one"
)]
pub struct EngineFacts {
    /// `Version`.
    pub version: String,
    /// `ApiVersion`: the newest that it speaks.
    pub newest: Option<ApiVersion>,
    /// `MinAPIVersion`: the oldest that it speaks; engines before 1.25 do not say.
    pub oldest: Option<ApiVersion>,
    /// `SecurityOptions`, e.g. `name=seccomp,profile=default`.
    pub security_options: Vec<String>,
    /// `CgroupDriver`; `none` where there are no control groups.
    pub cgroup_driver: String,
    /// `MemoryLimit`, `CpuCfsQuota` and `PidsLimit`: which limits hold. An engine that does not say is
    /// taken at its best.
    pub limits: LimitsHeld,
    /// `LiveRestoreEnabled`.
    pub live_restore: bool,
    /// Which program answers.
    pub kind: EngineKind,
    /// Podman's `Rootless`; Docker says it in [`EngineFacts::security_options`].
    pub rootless: bool,
    /// The seccomp filter that containers get unless they say otherwise.
    pub seccomp: Seccomp,
    /// `CgroupVersion`, `1` or `2`; empty before 20.10.
    pub cgroup_version: String,
    /// `Driver`: where images and layers are kept, e.g. `overlay2`.
    pub storage_driver: String,
    /// `driver-type` of `DriverStatus`: images are in containerd's store.
    pub containerd_image_store: bool,
    /// `FirewallBackend`: `iptables`, `nftables`; empty where the engine does not say (before 28.2).
    pub firewall: String,
    /// `EnableUserlandProxy` of `FirewallBackend`, where it is said.
    pub userland_proxy: Option<bool>,
    /// `NRI`: plugins may change containers. `None` in the answer where they are off.
    pub nri: bool,
    /// `CDISpecDirs`: where descriptions of devices are looked for.
    pub cdi_dirs: Vec<String>,
    /// `DefaultAddressPools`, e.g. `172.17.0.0/16 in parts of /24`; empty for Docker's own.
    pub address_pools: Vec<String>,
    /// Registries that are used without TLS, those of loopback addresses left out.
    pub insecure_registries: Vec<String>,
    /// `DefaultRuntime`.
    pub default_runtime: String,
    /// `Plugins.Authorization`.
    pub authorization: Vec<String>,
    /// `Swarm.LocalNodeState` is another one than `inactive`.
    pub swarm: bool,
    /// `DockerRootDir`; empty where it is not said.
    pub data_root: String,
    /// `Containerd.Address`: the socket of its containerd; engines say so from API 1.46 on.
    pub containerd: String,
}

impl EngineFacts {
    /// How the engine is named to people. A build may say anything as its version (`library-import`); its
    /// API version is what counts.
    #[must_use]
    pub fn name(&self) -> String {
        let program = match self.kind {
            EngineKind::Docker => "Docker Engine",
            EngineKind::Podman => "Podman",
        };
        let version = self.version.trim();
        if version.starts_with(|first: char| first.is_ascii_digit()) {
            return format!("{program} {version}");
        }
        let api = self.newest.map(|newest| format!(" of API {newest}"));
        let api = api.unwrap_or_default();
        if version.is_empty() {
            return format!("{program}{api}");
        }
        format!("{program}{api} (it calls its version {version:?})")
    }
}

/// The program behind a socket that speaks Docker's API.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EngineKind {
    /// Docker's own.
    #[default]
    Docker,
    /// Podman's `podman system service`.
    Podman,
}

/// The filter of system calls that containers get.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Seccomp {
    /// It was not read.
    #[default]
    Unknown,
    /// None: neither `name=seccomp` nor a profile, or the profile `unconfined`.
    Off,
    /// The engine's own: `default` or `builtin`.
    Default,
    /// A file of the administrator's.
    File(String),
}

/// Which limits of a container hold on this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitsHeld {
    /// Memory.
    pub memory: bool,
    /// CPUs.
    pub cpus: bool,
    /// Processes.
    pub pids: bool,
}

impl Default for LimitsHeld {
    fn default() -> Self {
        Self {
            memory: true,
            cpus: true,
            pids: true,
        }
    }
}

/// How much does not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// aistack makes nothing on this engine: neither a network nor a container.
    Unsupported,
    /// Containers do not work.
    Failing,
    /// They do, and somebody should know.
    Limited,
}

/// One thing about an engine that aistack cannot do with, or not well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineFinding {
    /// How much does not work.
    pub severity: Severity,
    /// What was seen, one sentence.
    pub found: String,
    /// What does not work because of it.
    pub means: &'static str,
    /// What the administrator does.
    pub next: &'static str,
}

/// What does not work with this engine; nothing where all does.
///
/// A daemon with `no-new-privileges` as its default is none of it: aistack sets that for each
/// container anyway.
#[must_use]
pub fn judge(engine: &EngineFacts) -> Vec<EngineFinding> {
    // The rest would be seen in the same answers, but it does not matter then.
    if let Some(finding) = podman(engine) {
        return vec![finding];
    }
    let refused = [user_namespaces(engine), rootless(engine)];
    let mut findings: Vec<EngineFinding> = refused.into_iter().flatten().collect();
    if let Some(finding) = version(engine) {
        findings.push(finding);
        return findings;
    }
    let others = [
        limits(engine),
        seccomp(engine),
        nri(engine),
        insecure_registries(engine),
        live_restore(engine),
    ];
    findings.extend(others.into_iter().flatten());
    findings
}

/// Why nothing is made on this engine: its processes would not be the tenants', or it is not a Docker
/// Engine. `None` where containers and networks may be made.
#[must_use]
pub fn refusal(engine: &EngineFacts) -> Option<Refusal> {
    let mut findings = judge(engine).into_iter();
    let finding = findings.find(|finding| finding.severity == Severity::Unsupported)?;
    let rule = Rule::builtin(SUPPORTED_ENGINE);
    let refusal = Refusal::new("ENGINE_REFUSED", finding.sentence(), rule);
    Some(refusal.with_hint(format!("ask the administrator to {}", finding.next)))
}

/// The name of the rule that refuses an engine.
pub const SUPPORTED_ENGINE: &str = "supported-engine";

impl EngineFinding {
    /// What was seen and what it means.
    #[must_use]
    pub fn sentence(&self) -> String {
        format!("{}: {}", self.found, self.means)
    }
}

/// The engine does not see what is mounted at `base_dir` on the host.
#[must_use]
pub fn unseen_volume(base_dir: &str) -> EngineFinding {
    EngineFinding {
        severity: Severity::Failing,
        found: format!("Docker does not see the volume that is mounted at {base_dir}"),
        means: "no container can mount a directory of the volume: the engine runs in its own mount \
                namespace, as in a snap, in a container or under a unit with MountFlags=private",
        next: SHOW_THE_VOLUME,
    }
}

/// What to do where the engine does not see a volume.
pub const SHOW_THE_VOLUME: &str = "restart Docker, which makes current mounts visible; to fix it permanently, run Docker in the \
     host's mount namespace, as its packages do: not as a snap, and without MountFlags= in docker.service";

fn podman(engine: &EngineFacts) -> Option<EngineFinding> {
    (engine.kind == EngineKind::Podman).then(|| EngineFinding {
        severity: Severity::Unsupported,
        found: format!(
            "the socket is Podman's, not a Docker Engine's ({})",
            engine.name()
        ),
        means: "nothing is created on it, because Podman interprets requests and confines containers \
                differently",
        next: "point aistack to the socket of a Docker Engine that runs as root (--docker-socket)",
    })
}

/// What to do where an engine is older than what aistack speaks: 20.10 is the first with API 1.41.
pub const NEWER_ENGINE: &str = "install Docker Engine 20.10 or later";

/// What to do where an engine refuses even the newest version that aistack speaks.
pub const NEWER_AISTACK: &str = "install a newer aistack, or an older Docker Engine";

/// What to do about an engine with which no version is shared; `newest` is the engine's.
#[must_use]
pub fn other_version(newest: ApiVersion) -> &'static str {
    if newest < ApiVersion::OLDEST_SPOKEN {
        NEWER_ENGINE
    } else {
        NEWER_AISTACK
    }
}

fn version(engine: &EngineFacts) -> Option<EngineFinding> {
    let newest = engine.newest?;
    if ApiVersion::negotiated(engine.oldest, newest).is_some() {
        return None;
    }
    let range = match engine.oldest {
        Some(oldest) => format!("{oldest} to {newest}"),
        None => format!("{newest} and earlier"),
    };
    Some(EngineFinding {
        severity: Severity::Failing,
        found: format!(
            "Docker Engine {} speaks API {range}, and this aistack speaks {} to {}",
            engine.version,
            ApiVersion::OLDEST_SPOKEN,
            ApiVersion::NEWEST_SPOKEN
        ),
        means: "containers and networks cannot be listed or changed; running ones keep running",
        next: other_version(newest),
    })
}

fn has_option(engine: &EngineFacts, name: &str) -> bool {
    engine.security_options.iter().any(|option| {
        let parts = option.split(',');
        parts
            .filter_map(|part| part.strip_prefix("name="))
            .any(|other| other == name)
    })
}

fn user_namespaces(engine: &EngineFacts) -> Option<EngineFinding> {
    has_option(engine, "userns").then(|| EngineFinding {
        severity: Severity::Unsupported,
        found: "Docker maps the users of containers to others (userns-remap)".to_owned(),
        means: "nothing is created on it, because a service would run as another UID than the tenant's \
                and could not write its own directories",
        next: "remove `userns-remap` from /etc/docker/daemon.json and restart Docker",
    })
}

fn rootless(engine: &EngineFacts) -> Option<EngineFinding> {
    let rootless = engine.rootless || has_option(engine, "rootless");
    rootless.then(|| EngineFinding {
        severity: Severity::Unsupported,
        found: "Docker runs without root (rootless)".to_owned(),
        means: "nothing is created on it, because a service would run as another UID than the tenant's, \
                could not write its own directories, and no AppArmor profile could hold it",
        next: "point aistack to the socket of a Docker Engine that runs as root (--docker-socket)",
    })
}

fn limits(engine: &EngineFacts) -> Option<EngineFinding> {
    let held = engine.limits;
    let without = if engine.cgroup_driver == "none" {
        "any limit".to_owned()
    } else {
        let kinds = [
            (held.memory, "memory"),
            (held.cpus, "CPU"),
            (held.pids, "process"),
        ];
        let missing: Vec<&str> = kinds
            .iter()
            .filter_map(|(held, kind)| (!held).then_some(*kind))
            .collect();
        if missing.is_empty() {
            return None;
        }
        format!("{} limits", missing.join(" and "))
    };
    Some(EngineFinding {
        severity: Severity::Failing,
        found: format!("Docker cannot enforce {without} of a container on this host"),
        means: "a container without the limits of the policy is not started (CONTAINER_OUTDATED)",
        next: "enable the cgroup controllers memory, cpu and pids \
               (/sys/fs/cgroup/cgroup.controllers), on some systems with cgroup_enable=memory on the kernel's command line",
    })
}

fn seccomp(engine: &EngineFacts) -> Option<EngineFinding> {
    let (found, next) = match &engine.seccomp {
        Seccomp::Unknown | Seccomp::Default => return None,
        Seccomp::Off => (
            "Docker starts containers without a seccomp filter".to_owned(),
            "remove `seccomp-profile` from /etc/docker/daemon.json and restart Docker; the kernel needs \
             CONFIG_SECCOMP_FILTER",
        ),
        Seccomp::File(file) => (
            format!("Docker's seccomp filter is a file of this host's ({file})"),
            "compare it with Docker's own, or remove `seccomp-profile` from /etc/docker/daemon.json",
        ),
    };
    Some(EngineFinding {
        severity: Severity::Limited,
        found,
        means: "containers may use system calls that Docker's own filter blocks",
        next,
    })
}

fn nri(engine: &EngineFacts) -> Option<EngineFinding> {
    engine.nri.then(|| EngineFinding {
        severity: Severity::Limited,
        found: "Docker lets NRI plugins change containers".to_owned(),
        means: "aistack does not vet what a plugin adds to a container (mounts, devices, limits)",
        next: "remove `nri-opts` from /etc/docker/daemon.json where no plugin is needed",
    })
}

fn insecure_registries(engine: &EngineFacts) -> Option<EngineFinding> {
    let registries = &engine.insecure_registries;
    (!registries.is_empty()).then(|| EngineFinding {
        severity: Severity::Limited,
        found: format!(
            "Docker does not verify the registry ({})",
            registries.join(", ")
        ),
        means: "an image from there may have been replaced, unless it is named by its \
                digest",
        next: "give the registry a certificate and remove `insecure-registries` from \
               /etc/docker/daemon.json",
    })
}

fn live_restore(engine: &EngineFacts) -> Option<EngineFinding> {
    engine.live_restore.then(|| EngineFinding {
        severity: Severity::Limited,
        found: "Docker leaves containers running when it stops (live-restore)".to_owned(),
        means: "while Docker is down nothing lists or stops them, their health is not checked, \
                and their volumes cannot be unmounted",
        next: "stop the containers before Docker, or remove \
               `live-restore` from /etc/docker/daemon.json",
    })
}

#[cfg(test)]
mod tests;
