//! The way back: a container like the one that was there before a change.

use std::collections::HashMap;

use bollard::models::ContainerCreateBody;

use crate::engine::Inspection;

/// Labels under this prefix are the gateway's; it refuses them in a request.
const RESERVED_LABELS: &str = "io.aistack.";

/// The create body of what `before` was made of. Security options, user namespaces and the like
/// are left to the gateway, which sets them anew.
#[must_use]
pub fn create_body(before: &Inspection, desired: &ContainerCreateBody) -> ContainerCreateBody {
    let config = before.config.clone();
    let labels: HashMap<String, String> = config
        .labels
        .unwrap_or_default()
        .into_iter()
        .filter(|(key, _)| !key.starts_with(RESERVED_LABELS))
        .collect();
    let mut body = ContainerCreateBody {
        image: config.image,
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
        host.mounts = old.mounts;
        host.tmpfs = old.tmpfs;
        host.memory = old.memory;
        host.memory_swap = old.memory_swap;
        host.nano_cpus = old.nano_cpus;
        host.pids_limit = old.pids_limit;
        host.restart_policy = old.restart_policy;
        host.readonly_rootfs = old.readonly_rootfs;
        host.shm_size = old.shm_size;
    }
    body
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
        ]);
        let before = Inspection {
            id: "abc".to_owned(),
            running: true,
            restarting: false,
            restarts: 0,
            exit_code: 0,
            oom_killed: false,
            error: String::new(),
            health: Health::Healthy,
            probe: None,
            config: ContainerConfig {
                image: Some("redis:1".to_owned()),
                labels: Some(labels),
                ..ContainerConfig::default()
            },
            host_config: HostConfig {
                memory: Some(1 << 20),
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
    }
}
