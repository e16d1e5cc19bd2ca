//! What a Docker Engine must be like for aistack to work with it: from what it says of itself to what
//! does not work. Both daemons' logs and the tenants' `doctor` tell this, so that a service which
//! cannot become healthy is not blamed for it.

use std::fmt;

/// A version of the Docker Engine API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiVersion {
    /// Always 1 so far.
    pub major: u32,
    /// What is added with each.
    pub minor: u32,
}

impl ApiVersion {
    /// What aistack speaks to the engine.
    pub const SPOKEN: Self = Self {
        major: 1,
        minor: 41,
    };

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
    /// Containers do not work.
    Broken,
    /// They do, and somebody should know.
    Limited,
}

/// One thing about an engine that aistack cannot do with, or not well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineFault {
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
pub fn judge(engine: &EngineFacts) -> Vec<EngineFault> {
    // The rest would be seen in the same answers, but it does not matter then.
    if let Some(fault) = version(engine) {
        return vec![fault];
    }
    let faults = [
        user_namespaces(engine),
        rootless(engine),
        limits(engine),
        live_restore(engine),
    ];
    faults.into_iter().flatten().collect()
}

/// What to do where the engine does not speak aistack's version: 29.0 to 29.2 have 1.44 as their
/// oldest (moby#51186), 29.3 has 1.40 again; 20.10 is the first that speaks 1.41.
pub const OTHER_ENGINE: &str = "install Docker Engine 20.10 to 28, or 29.3 or later";

fn version(engine: &EngineFacts) -> Option<EngineFault> {
    let spoken = ApiVersion::SPOKEN;
    let newest = engine.newest?;
    let oldest = engine.oldest.unwrap_or(spoken);
    if (oldest..=newest).contains(&spoken) {
        return None;
    }
    Some(EngineFault {
        severity: Severity::Broken,
        found: format!(
            "Docker Engine {} speaks API {oldest} to {newest}, and this aistack speaks {spoken}",
            engine.version
        ),
        means: "containers and networks can be neither seen nor changed; those that run go on",
        next: OTHER_ENGINE,
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

fn user_namespaces(engine: &EngineFacts) -> Option<EngineFault> {
    has_option(engine, "userns").then(|| EngineFault {
        severity: Severity::Broken,
        found: "Docker maps the users of containers to others (userns-remap)".to_owned(),
        means: "a service runs as another UID than the tenant's and cannot write its own \
                directories, so most do not become healthy",
        next: "remove `userns-remap` from /etc/docker/daemon.json and restart Docker",
    })
}

fn rootless(engine: &EngineFacts) -> Option<EngineFault> {
    has_option(engine, "rootless").then(|| EngineFault {
        severity: Severity::Broken,
        found: "Docker runs without root (rootless)".to_owned(),
        means: "a service runs as another UID than the tenant's, cannot write its own directories, \
                and no AppArmor profile can hold it",
        next: "give aistack the socket of a Docker Engine that runs as root (--docker-socket)",
    })
}

fn limits(engine: &EngineFacts) -> Option<EngineFault> {
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
    Some(EngineFault {
        severity: Severity::Broken,
        found: format!("Docker cannot hold a container to {without} on this host"),
        means: "a container without the limits of the policy is not started (CONTAINER_OUTDATED)",
        next: "turn the control groups on: the controllers memory, cpu and pids in \
               /sys/fs/cgroup/cgroup.controllers, on some systems by cgroup_enable=memory on the \
               kernel's command line",
    })
}

fn live_restore(engine: &EngineFacts) -> Option<EngineFault> {
    engine.live_restore.then(|| EngineFault {
        severity: Severity::Limited,
        found: "Docker leaves containers running when it stops (live-restore)".to_owned(),
        means: "while Docker is down nothing sees or stops them, their health is not asked, and \
                their volumes cannot be unmounted",
        next: "stop the containers before Docker where they shall stop with it, or remove \
               `live-restore` from /etc/docker/daemon.json",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine(oldest: &str, newest: &str) -> EngineFacts {
        EngineFacts {
            version: "x".to_owned(),
            newest: ApiVersion::parse(newest),
            oldest: ApiVersion::parse(oldest),
            ..EngineFacts::default()
        }
    }

    #[test]
    fn only_an_engine_that_speaks_our_version_will_do() {
        for (oldest, newest, fine) in [
            ("1.12", "1.41", true),
            ("1.24", "1.52", true),
            ("1.40", "1.56", true),
            ("1.41", "1.41", true),
            ("1.44", "1.52", false),
            ("1.42", "1.52", false),
            ("1.12", "1.40", false),
            ("1.12", "1.9", false),
            ("", "1.41", true),
            ("", "", true),
        ] {
            let faults = judge(&engine(oldest, newest));
            assert_eq!(faults.is_empty(), fine, "{oldest} {newest}: {faults:?}");
        }
    }

    #[test]
    fn an_option_counts_by_its_whole_name() {
        let with = |option: &str| {
            let mut engine = engine("1.12", "1.41");
            engine.security_options = vec![option.to_owned()];
            judge(&engine).len()
        };
        for option in ["name=userns", "name=rootless"] {
            assert_eq!(with(option), 1, "{option}");
        }
        for option in [
            "name=seccomp,profile=userns",
            "name=no-new-privileges",
            "userns",
            "name=userns2",
        ] {
            assert_eq!(with(option), 0, "{option}");
        }
    }

    #[test]
    fn missing_limits_are_named() {
        let mut engine = engine("1.12", "1.41");
        engine.limits.memory = false;
        engine.limits.pids = false;
        assert!(
            judge(&engine)[0]
                .found
                .contains("memory and process limits")
        );
        engine.cgroup_driver = "none".to_owned();
        assert!(judge(&engine)[0].found.contains("any limit"));
    }
}
