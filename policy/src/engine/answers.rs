//! Reading an engine's answers to `/version` and `/info`: the only place that knows how they are
//! written. Whoever concludes something from an engine does so from the [`EngineFacts`] read here.

use serde_json::Value;

use super::{ApiVersion, EngineFacts, EngineKind, LimitsHeld, Seccomp};

/// Answers that are none of an engine. Nothing is concluded from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it does not say {0}")]
pub struct Unreadable(&'static str);

impl EngineFacts {
    /// Reads the answers of an engine to `/version` and `/info`.
    ///
    /// # Errors
    /// When one of them is not what an engine answers: an API version and a list of security options
    /// belong to it.
    pub fn read(version: &Value, info: &Value) -> Result<Self, Unreadable> {
        let newest = ApiVersion::parse(&text(version, "/ApiVersion"));
        Ok(Self {
            newest: Some(newest.ok_or(Unreadable("its API version"))?),
            oldest: ApiVersion::parse(&text(version, "/MinAPIVersion")),
            version: text(version, "/Version"),
            kind: kind(version, info),
            ..Self::of_info(info)?
        })
    }

    /// Reads what the gateway shows of an engine: `/info`, and of `/version` which program it is. The
    /// API versions in it are the gateway's own, and are left out.
    ///
    /// # Errors
    /// As [`EngineFacts::read`].
    pub fn read_shown(version: &Value, info: &Value) -> Result<Self, Unreadable> {
        Ok(Self {
            kind: kind(version, info),
            ..Self::of_info(info)?
        })
    }

    fn of_info(info: &Value) -> Result<Self, Unreadable> {
        // With none of them, the engine writes null.
        let security_options = match info.get("SecurityOptions") {
            Some(Value::Null) => Vec::new(),
            Some(Value::Array(options)) => {
                let text = |option: &Value| option.as_str().map(str::to_owned);
                let texts: Option<Vec<String>> = options.iter().map(text).collect();
                texts.ok_or(Unreadable("its security options"))?
            }
            _ => return Err(Unreadable("its security options")),
        };
        let held = |key| flag(info, key).unwrap_or(true);
        Ok(Self {
            version: text(info, "/ServerVersion"),
            seccomp: seccomp(&security_options),
            security_options,
            cgroup_driver: text(info, "/CgroupDriver"),
            cgroup_version: text(info, "/CgroupVersion"),
            limits: LimitsHeld {
                memory: held("/MemoryLimit"),
                cpus: held("/CpuCfsQuota"),
                pids: held("/PidsLimit"),
            },
            live_restore: flag(info, "/LiveRestoreEnabled").unwrap_or(false),
            rootless: flag(info, "/Rootless").unwrap_or(false),
            storage_driver: text(info, "/Driver"),
            containerd_image_store: pair(info, "/DriverStatus", "driver-type")
                .is_some_and(|value| value.starts_with("io.containerd.snapshotter.")),
            firewall: text(info, "/FirewallBackend/Driver"),
            userland_proxy: pair(info, "/FirewallBackend/Info", "EnableUserlandProxy")
                .and_then(|value| value.parse().ok()),
            nri: info.get("NRI").is_some_and(|nri| !nri.is_null()),
            cdi_dirs: texts(info, "/CDISpecDirs"),
            address_pools: address_pools(info),
            insecure_registries: insecure_registries(info),
            default_runtime: text(info, "/DefaultRuntime"),
            authorization: texts(info, "/Plugins/Authorization"),
            swarm: !matches!(
                text(info, "/Swarm/LocalNodeState").as_str(),
                "" | "inactive"
            ),
            data_root: text(info, "/DockerRootDir"),
            containerd: text(info, "/Containerd/Address"),
            ..Self::default()
        })
    }
}

/// Podman names itself among the components (containers/podman, `pkg/api/handlers/compat/version.go`),
/// and says which Buildah it has in `/info`.
fn kind(version: &Value, info: &Value) -> EngineKind {
    let components = list(version, "/Components");
    let mut names = components.filter_map(|component| component.get("Name")?.as_str());
    let names_itself = names.any(|name| name.starts_with("Podman"));
    if names_itself || info.get("BuildahVersion").is_some() {
        EngineKind::Podman
    } else {
        EngineKind::Docker
    }
}

/// 20.10 calls its own filter `default`, later engines `builtin`. Without a kernel for it there is no
/// such option, nor a filter.
fn seccomp(options: &[String]) -> Seccomp {
    let named = options
        .iter()
        .find_map(|option| option.strip_prefix("name=seccomp"));
    let profile = named.and_then(|rest| rest.strip_prefix(",profile="));
    match (named, profile) {
        (None, _) | (_, Some("unconfined")) => Seccomp::Off,
        (_, None | Some("default" | "builtin")) => Seccomp::Default,
        (_, Some(file)) => Seccomp::File(file.to_owned()),
    }
}

fn address_pools(info: &Value) -> Vec<String> {
    let pool = |pool: &Value| {
        let size = pool.get("Size")?.as_u64()?;
        Some(format!("{} in parts of /{size}", text(pool, "/Base")))
    };
    list(info, "/DefaultAddressPools")
        .filter_map(pool)
        .collect()
}

fn insecure_registries(info: &Value) -> Vec<String> {
    let nets = texts(info, "/RegistryConfig/InsecureRegistryCIDRs");
    // Every engine has these two.
    let mut found: Vec<String> = nets
        .into_iter()
        .filter(|net| net != "127.0.0.0/8" && net != "::1/128")
        .collect();
    let named = info.pointer("/RegistryConfig/IndexConfigs");
    let named = named.and_then(Value::as_object).into_iter().flatten();
    found.extend(
        named
            .filter(|(_, settings)| flag(settings, "/Secure") == Some(false))
            .map(|(name, _)| name.clone()),
    );
    found
}

fn text(value: &Value, place: &str) -> String {
    let text = value.pointer(place).and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}

fn flag(value: &Value, place: &str) -> Option<bool> {
    value.pointer(place)?.as_bool()
}

fn list<'a>(value: &'a Value, place: &str) -> impl Iterator<Item = &'a Value> {
    let list = value.pointer(place).and_then(Value::as_array);
    list.into_iter().flatten()
}

fn texts(value: &Value, place: &str) -> Vec<String> {
    let texts = list(value, place).filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}

/// The second of a pair in a list of pairs, by the first.
fn pair<'a>(value: &'a Value, place: &str, name: &str) -> Option<&'a str> {
    list(value, place).find_map(|pair| {
        let first = pair.get(0)?.as_str()?;
        (first == name).then(|| pair.get(1)?.as_str())?
    })
}
