//! What a tenant is told about itself, and nothing about anyone else.

use aistack_policy::{AppArmorMode, Grant, PolicyWarning, Rule, VolumeGrant, VolumeKind};
use aistack_proto::v1;

use super::perform::Acting;
use crate::ops::OpsError;

/// The caller's grant and the state of each part of it.
// Taken by value: it is handed to the choke point like every operation.
pub(super) async fn answer(acting: Acting<()>) -> Result<v1::WhoAmIResponse, OpsError> {
    let (grant, policy) = (&acting.permission.grant, &acting.permission.policy);
    let (volume, network) = tokio::join!(
        acting.ops.volume_state(grant),
        acting.ops.network_state(grant)
    );
    Ok(v1::WhoAmIResponse {
        grant: Some(grant_message(grant)),
        volume: Some(volume),
        network: Some(network),
        apparmor: Some(acting.ops.apparmor_state(grant)),
        helper_version: env!("CARGO_PKG_VERSION").to_owned(),
        policy_digest: policy.digest.clone(),
        warnings: warnings(grant.uid, policy.policy.warnings()),
    })
}

fn grant_message(grant: &Grant) -> v1::Grant {
    v1::Grant {
        uid: grant.uid,
        gid: grant.gid,
        name: grant.name.clone(),
        base_dir: grant.base_dir.clone(),
        domain: grant.domain.clone(),
        network: Some(v1::NetworkGrant {
            name: grant.network.name.clone(),
            subnet: grant.network.subnet.to_string(),
            gateway: grant.network.gateway.to_string(),
            bridge: grant.network.bridge.clone(),
        }),
        ports: Some(v1::PortRange {
            first: grant.ports.first.into(),
            count: grant.ports.count.into(),
        }),
        service_uids: grant.service_uids.clone(),
        platform_profile: grant.platform_profile.clone(),
        openclaw_profile: grant.openclaw_profile.clone(),
        volume: Some(volume_message(&grant.volume)),
        apparmor_mode: match grant.apparmor {
            AppArmorMode::Required => v1::AppArmorMode::Required,
            AppArmorMode::IfAvailable => v1::AppArmorMode::IfAvailable,
        }
        .into(),
        capabilities: grant.capabilities.iter().cloned().collect(),
        images: grant.images.iter().map(ToString::to_string).collect(),
        limits: Some(v1::Limits {
            memory_bytes: grant.limits.memory,
            cpu_millis: grant.limits.cpu_millis,
            pids: grant.limits.pids,
            containers: grant.limits.containers,
        }),
        container_prefix: grant.container_prefix.clone(),
        rules: grant
            .rules
            .iter()
            .map(|(part, rule)| (part.to_owned(), rule.to_string()))
            .collect(),
    }
}

fn volume_message(volume: &VolumeGrant) -> v1::VolumeGrant {
    let (kind, id, size_bytes) = match &volume.kind {
        VolumeKind::Ebs { id } => (v1::VolumeKind::Ebs, id.clone().unwrap_or_default(), 0),
        VolumeKind::Disk { which } => {
            let text = which.as_ref().map(ToString::to_string);
            (v1::VolumeKind::Disk, text.unwrap_or_default(), 0)
        }
        VolumeKind::Loop { size } => (v1::VolumeKind::Loop, String::new(), *size),
    };
    v1::VolumeGrant {
        kind: kind.into(),
        id,
        size_bytes,
        fs: volume.fs.clone(),
    }
}

/// Warnings about the defaults and about this tenant; another tenant's are nobody's business.
fn warnings(uid: u32, all: &[PolicyWarning]) -> Vec<String> {
    let own = format!("tenant[{uid}].");
    all.iter()
        .filter(|warning| warning.key.starts_with("tenants.") || warning.key.starts_with(&own))
        .map(|warning| {
            let rule = Rule {
                key: warning.key.clone(),
                line: Some(warning.line),
            };
            format!("{} [{rule}]", warning.message)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_sees_no_warning_about_another_one() {
        let warning = |key: &str| PolicyWarning {
            line: 7,
            key: key.to_owned(),
            message: "m".to_owned(),
        };
        let all = [
            warning("tenants.ports"),
            warning("tenant[1001].ports"),
            warning("tenant[100].ports"),
            warning("tenant[10011].ports"),
        ];
        assert_eq!(
            warnings(1001, &all),
            [
                "m [tenants.ports (policy.toml:7)]",
                "m [tenant[1001].ports (policy.toml:7)]"
            ]
        );
    }
}
