//! The way back: a container like the one that was there before a change.

use std::collections::HashMap;

use bollard::models::{ContainerCreateBody, Mount};

use crate::engine::{Inspection, LABEL_IMAGE};

/// Labels under this prefix are the gateway's; it refuses them in a request.
const RESERVED_LABELS: &str = "io.aistack.";

/// The create body of what `before` was made of. Security options, user namespaces and the like
/// are left to the gateway, which sets them again.
#[must_use]
pub fn create_body(before: &Inspection, desired: &ContainerCreateBody) -> ContainerCreateBody {
    let config = before.config.clone();
    let mut labels = config.labels.unwrap_or_default();
    let image = labels.get(LABEL_IMAGE).cloned().or(config.image);
    labels.retain(|key, _| !key.starts_with(RESERVED_LABELS));
    let mut body = ContainerCreateBody {
        image,
        env: config.env,
        cmd: config.cmd,
        entrypoint: config.entrypoint,
        user: config.user,
        healthcheck: config.healthcheck,
        exposed_ports: config.exposed_ports,
        labels: Some(labels),
        ..desired.clone()
    };
    if let Some(host) = body.host_config.as_mut() {
        let old = before.host_config.clone();
        host.port_bindings = old.port_bindings;
        host.binds = old.binds.filter(|binds| !binds.is_empty());
        host.mounts = old
            .mounts
            .map(|mounts| mounts.into_iter().map(plain).collect());
        host.tmpfs = old.tmpfs.map(without_owner);
        host.memory = old.memory;
        host.nano_cpus = old.nano_cpus;
        host.pids_limit = old.pids_limit;
        host.restart_policy = old.restart_policy;
        host.readonly_rootfs = old.readonly_rootfs;
        host.shm_size = old.shm_size;
    }
    body
}

/// A mount as a client asks for it: the options in it are the gateway's.
fn plain(mount: Mount) -> Mount {
    Mount {
        target: mount.target,
        source: mount.source,
        typ: mount.typ,
        read_only: mount.read_only,
        ..Mount::default()
    }
}

/// The gateway gives every tmpfs to the container's user itself.
fn without_owner(tmpfs: HashMap<String, String>) -> HashMap<String, String> {
    let owner = |option: &&str| option.starts_with("uid=") || option.starts_with("gid=");
    let kept = |options: String| {
        let kept: Vec<&str> = options.split(',').filter(|option| !owner(option)).collect();
        kept.join(",")
    };
    tmpfs
        .into_iter()
        .map(|(target, options)| (target, kept(options)))
        .collect()
}

#[cfg(test)]
mod tests {
    use bollard::models::{ContainerConfig, HostConfig};

    use super::*;
    use crate::engine::Health;

    #[test]
    fn the_old_values_win_and_the_gateways_labels_are_left_out() {
        let labels = HashMap::from([
            ("aistack.service".to_owned(), "redis".to_owned()),
            ("io.aistack.owner".to_owned(), "1001".to_owned()),
            (LABEL_IMAGE.to_owned(), "redis:1".to_owned()),
        ]);
        let tmpfs = "rw,nosuid,uid=1001,gid=1001,mode=1777".to_owned();
        let before = Inspection {
            id: "abc".to_owned(),
            running: true,
            pid: None,
            restarting: false,
            restarts: 0,
            exit_code: 0,
            oom_killed: false,
            error: String::new(),
            health: Health::Healthy,
            probe: None,
            probes: Vec::new(),
            apparmor: String::new(),
            config: ContainerConfig {
                image: Some("sha256:00ff".to_owned()),
                labels: Some(labels),
                ..ContainerConfig::default()
            },
            host_config: HostConfig {
                memory: Some(1 << 20),
                tmpfs: Some(HashMap::from([("/tmp".to_owned(), tmpfs)])),
                security_opt: Some(vec!["no-new-privileges:true".to_owned()]),
                ..HostConfig::default()
            },
        };
        let desired = ContainerCreateBody {
            image: Some("redis:2".to_owned()),
            host_config: Some(HostConfig {
                network_mode: Some("mine".to_owned()),
                memory: Some(2 << 20),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let body = create_body(&before, &desired);
        assert_eq!(body.image.as_deref(), Some("redis:1"));
        assert_eq!(body.labels.unwrap().len(), 1);
        let host = body.host_config.unwrap();
        assert_eq!(host.memory, Some(1 << 20));
        assert_eq!(host.network_mode.as_deref(), Some("mine"));
        assert_eq!(host.security_opt, None);
        assert_eq!(host.tmpfs.unwrap()["/tmp"], "rw,nosuid,mode=1777");
    }
}
