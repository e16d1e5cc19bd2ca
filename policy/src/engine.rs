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

fn version(engine: &EngineFacts) -> Option<EngineFault> {
    let newest = engine.newest?;
    if ApiVersion::negotiated(engine.oldest, newest).is_some() {
        return None;
    }
    let range = match engine.oldest {
        Some(oldest) => format!("{oldest} to {newest}"),
        None => format!("{newest} and earlier"),
    };
    Some(EngineFault {
        severity: Severity::Broken,
        found: format!(
            "Docker Engine {} speaks API {range}, and this aistack speaks {} to {}",
            engine.version,
            ApiVersion::OLDEST_SPOKEN,
            ApiVersion::NEWEST_SPOKEN
        ),
        means: "containers and networks can be neither seen nor changed; those that run go on",
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
    fn the_newest_version_that_both_speak_is_negotiated() {
        for (oldest, newest, spoken) in [
            ("1.12", "1.41", Some(41)),
            ("1.24", "1.47", Some(47)),
            ("1.24", "1.51", Some(51)),
            // 29.0 to 29.2.
            ("1.44", "1.52", Some(52)),
            ("1.40", "1.56", Some(56)),
            ("1.40", "1.99", Some(56)),
            ("1.56", "1.60", Some(56)),
            ("1.41", "1.41", Some(41)),
            ("", "1.41", Some(41)),
            ("1.57", "1.60", None),
            ("1.12", "1.40", None),
            ("1.12", "1.9", None),
            ("1.40", "2.0", Some(56)),
            ("2.0", "2.1", None),
        ] {
            let found = ApiVersion::negotiated(
                ApiVersion::parse(oldest),
                ApiVersion::parse(newest).unwrap(),
            );
            assert_eq!(found, spoken.map(ApiVersion::v1), "{oldest} {newest}");
            let faults = judge(&engine(oldest, newest));
            assert_eq!(
                faults.is_empty(),
                spoken.is_some(),
                "{oldest} {newest}: {faults:?}"
            );
        }
        assert!(judge(&engine("", "")).is_empty());
    }

    #[test]
    fn an_engine_that_shares_no_version_is_named_with_what_to_install() {
        let fault = |oldest, newest| judge(&engine(oldest, newest)).remove(0);
        let old = fault("1.12", "1.40");
        assert_eq!(
            old.found,
            "Docker Engine x speaks API 1.12 to 1.40, and this aistack speaks 1.41 to 1.56"
        );
        assert_eq!(old.next, NEWER_ENGINE);
        assert_eq!(fault("1.57", "1.60").next, NEWER_AISTACK);
        assert!(fault("", "1.24").found.contains("API 1.24 and earlier"));
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
