//! What a tenant sees of itself, and nothing about anyone else.

use std::path::Path;

use aistack_policy::guard::GuardMode;
use aistack_policy::{AppArmorMode, Grant, PolicyWarning, Rule, VolumeGrant, VolumeKind};
use aistack_proto::v1;

use super::perform::CallContext;
use crate::guard::{self, Answer, Probe};
use crate::ops;
use crate::policy_store::LoadedPolicy;

/// The caller's grant and the state of each part of it.
// Taken by value: it passes admission like every operation.
pub(super) async fn answer(context: CallContext<()>) -> Result<v1::WhoAmIResponse, ops::Error> {
    let (grant, policy) = (&context.permission.grant, &context.permission.policy);
    let (volume, network) =
        tokio::join!(ops::volume_state(grant), context.ops.network_state(grant));
    Ok(v1::WhoAmIResponse {
        grant: Some(grant_message(grant)),
        volume: Some(volume),
        network,
        apparmor: Some(context.ops.apparmor().state(grant)),
        helper_version: env!("CARGO_PKG_VERSION").to_owned(),
        policy_digest: policy.digest.clone(),
        warnings: warnings(grant, policy.policy.warnings()),
        guard: Some(network_guard(grant, policy, context.ops.guard())),
    })
}

/// What is open where the guard is not in force.
const OPEN: [&str; 4] = [
    "metadata-address",
    "host-listeners",
    "lan-to-containers",
    "loopback-ports",
];

/// As the kernel answers now. Whether the administrator has closed something by other rules cannot be
/// seen: so everything counts as open where the guard is not in force.
fn network_guard(grant: &Grant, policy: &LoadedPolicy, probe: &Probe) -> v1::NetworkGuard {
    use v1::NetworkGuardState::{InForce, None, Off};
    let (state, open): (_, &[&str]) = match probe.ask(policy.canary) {
        Answer::InForce => (InForce, &[]),
        Answer::NotInForce | Answer::Unknown if policy.canary.is_some() => (None, &OPEN),
        Answer::NotInForce | Answer::Unknown => (Off, &OPEN),
    };
    let problem = match state {
        None => guard::last_error(Path::new(guard::STATE_FILE)).unwrap_or_default(),
        _ => String::new(),
    };
    v1::NetworkGuard {
        state: state.into(),
        open: open.iter().map(|word| (*word).to_owned()).collect(),
        problem,
        required: grant.guard == GuardMode::Required,
        egress: grant.egress.to_string(),
    }
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
        front_door: grant.front_door.map(|door| v1::FrontDoor {
            proxy: door.proxy.to_string(),
            http_port: door.http_port.into(),
            https_port: door.https_port.into(),
        }),
        domains: grant.domains.clone(),
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

/// The parts whose warnings about the defaults name nothing but what each tenant is given by them.
/// The others count tenants or name UIDs; those are for the administrator.
const SHOWN: [&str; 2] = ["capabilities", "images"];

/// Warnings about this tenant, and about the defaults that it has; another tenant's, and how many
/// there are, are nobody's business.
fn warnings(grant: &Grant, all: &[PolicyWarning]) -> Vec<String> {
    let own = format!("tenant[{}].", grant.uid);
    let by_default = |key: &str| {
        let mut rules = grant.rules.iter();
        rules.any(|(part, rule)| SHOWN.contains(&part) && rule.key == key)
    };
    all.iter()
        .filter(|warning| by_default(&warning.key) || warning.key.starts_with(&own))
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
    use aistack_policy::Policy;

    use super::*;

    #[test]
    fn a_tenant_sees_no_warning_about_another_one_nor_how_many_there_are() {
        let warning = |key: &str| PolicyWarning {
            line: 7,
            key: key.to_owned(),
            message: "m".to_owned(),
        };
        let keys = [
            "tenants.ports",
            "tenants.volume",
            "tenants.uids",
            "tenants.images",
            "tenants.capabilities",
            "tenant[1001].ports",
            "tenant[100].ports",
            "tenant[10011].ports",
        ];
        let all = keys.map(warning);
        let text = include_str!("../../tests/corpus/policy.toml");
        let mut grant = Policy::parse(text).unwrap().grant(1001).unwrap();
        grant.rules.images.key = "tenant[1001].images".to_owned();
        assert_eq!(
            warnings(&grant, &all),
            [
                "m [tenants.capabilities (policy.toml:7)]",
                "m [tenant[1001].ports (policy.toml:7)]"
            ]
        );
    }

    #[test]
    fn what_counts_tenants_is_for_the_administrator() {
        let text = "version = 1\n[tenants]\nuids = [\"70001-70250\"]\nports = { first = 33000, \
                    per_tenant = 16 }\nvolume = { kind = \"ebs\", fs = \"ext4\" }\nimages = [\"docker.io/*\"]\n";
        let policy = Policy::parse(text).unwrap();
        let counted = |texts: &[String]| texts.iter().any(|text| text.contains("250"));
        let all: Vec<String> = policy.warnings().iter().map(ToString::to_string).collect();
        assert!(counted(&all), "{all:?}");
        let shown = warnings(&policy.grant(70_001).unwrap(), policy.warnings());
        assert!(!counted(&shown) && shown.len() == 1, "{shown:?}");
    }
}
