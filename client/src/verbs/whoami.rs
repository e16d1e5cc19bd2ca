//! `aistack whoami`: what the host's policy gives the caller.

use serde_json::{Value, json};

use crate::error::CliError;
use crate::exit::Exit;
use crate::guard;
use crate::run::{Context, Session};
use crate::ui::{Table, size};

pub(super) async fn run(context: &Context) -> Result<Exit, CliError> {
    let session = Session::open(context).await?;
    context.printer.document(document(&session))?;
    context
        .printer
        .table(&table(&session, context.printer.verbose))?;
    for warning in &session.who.warnings {
        context.printer.warn(warning);
    }
    let open = guard::sentences(&session.who);
    for open in &open {
        context.printer.warn(open);
    }
    if !open.is_empty() {
        context.printer.note(guard::ADVICE);
    }
    for warning in session.confinement().warnings() {
        context.printer.warn(&warning);
    }
    Ok(Exit::Done)
}

/// With `rules`, each line names the rule of the policy that gives it.
fn table(session: &Session, rules: bool) -> Table {
    let grant = &session.grant;
    let network = grant.network.clone().unwrap_or_default();
    let ports = grant.ports.unwrap_or_default();
    let limits = grant.limits.unwrap_or_default();
    let volume = session.who.volume.unwrap_or_default();
    let mut table = Table::plain();
    let mut row = |name: &str, value: String, part: &str| {
        let rule = grant.rules.get(part).filter(|_| rules);
        let rule = rule.map(|rule| format!("[{rule}]"));
        table.text([name, &value, &rule.unwrap_or_default()]);
    };
    row(
        "tenant",
        format!("{} (UID {}, GID {})", grant.name, grant.uid, grant.gid),
        "uid",
    );
    row("base directory", grant.base_dir.clone(), "base_dir");
    let mounted = if volume.mounted {
        let (free, total) = (size(volume.available_bytes), size(volume.total_bytes));
        format!("mounted, {free} of {total} free")
    } else {
        "not mounted".to_owned()
    };
    row("volume", mounted, "volume");
    row("domain", grant.domain.clone(), "domain");
    let exists = session
        .who
        .network
        .as_ref()
        .is_some_and(|state| state.exists);
    let state = if exists { "exists" } else { "not created yet" };
    row(
        "network",
        format!("{} {} ({state})", network.name, network.subnet),
        "network",
    );
    let last = (ports.first + ports.count).saturating_sub(1);
    row("ports", format!("{}-{last}", ports.first), "ports");
    row(
        "service UIDs",
        join(grant.service_uids.iter()),
        "service_uids",
    );
    row("AppArmor", session.confinement().sentence(), "apparmor");
    let capabilities = join(grant.capabilities.iter());
    let capabilities = if capabilities.is_empty() {
        "none".to_owned()
    } else {
        capabilities
    };
    row("capabilities", capabilities, "capabilities");
    row("images", grant.images.join(", "), "images");
    let memory = size(limits.memory_bytes);
    let cpus = format!(
        "{}.{:03}",
        limits.cpu_millis / 1000,
        limits.cpu_millis % 1000
    );
    row(
        "limits",
        format!(
            "memory {memory}, CPUs {}, processes {}, containers {}",
            cpus.trim_end_matches('0').trim_end_matches('.'),
            limits.pids,
            limits.containers
        ),
        "limits",
    );
    row(
        "container names",
        format!("{}…", grant.container_prefix),
        "",
    );
    let guarded = guard::summary(&session.who);
    let below = if guard::sentences(&session.who).is_empty() {
        ""
    } else {
        ": see below"
    };
    row("network guard", format!("{guarded}{below}"), "guard");
    row("helper", session.who.helper_version.clone(), "");
    table
}

fn join<T: ToString>(items: impl Iterator<Item = T>) -> String {
    items
        .map(|item| item.to_string())
        .collect::<Vec<_>>()
        .join(", ")
}

fn document(session: &Session) -> Value {
    let grant = &session.grant;
    let network = grant.network.clone().unwrap_or_default();
    let ports = grant.ports.unwrap_or_default();
    let limits = grant.limits.unwrap_or_default();
    let volume = session.who.volume.unwrap_or_default();
    let state = session.who.network.clone().unwrap_or_default();
    let apparmor = session.who.apparmor.clone().unwrap_or_default();
    let network_guard = session.who.guard.clone().unwrap_or_default();
    json!({
        "grant": {
            "uid": grant.uid,
            "gid": grant.gid,
            "name": grant.name,
            "base_dir": grant.base_dir,
            "domain": grant.domain,
            "network": {
                "name": network.name, "subnet": network.subnet, "gateway": network.gateway,
                "bridge": network.bridge,
            },
            "ports": {"first": ports.first, "count": ports.count},
            "service_uids": grant.service_uids,
            "platform_profile": grant.platform_profile,
            "openclaw_profile": grant.openclaw_profile,
            "capabilities": grant.capabilities,
            "images": grant.images,
            "limits": {
                "memory_bytes": limits.memory_bytes, "cpu_millis": limits.cpu_millis,
                "pids": limits.pids, "containers": limits.containers,
            },
            "container_prefix": grant.container_prefix,
            "rules": grant.rules,
        },
        "volume": {
            "mounted": volume.mounted, "total_bytes": volume.total_bytes,
            "available_bytes": volume.available_bytes,
        },
        "network": {"exists": state.exists, "id": state.id},
        "apparmor": {
            "mode": session.confinement().mode(),
            "kernel_enabled": apparmor.kernel_enabled,
            "profiles_loaded": apparmor.profiles_loaded, "summary": apparmor.summary,
            "kernel_warning": apparmor.kernel_warning,
        },
        "guard": {
            "state": guard::state(&session.who), "open": guard::open(&session.who),
            "problem": network_guard.problem, "required": network_guard.required,
            "egress": network_guard.egress,
        },
        "warnings": session.who.warnings,
        "helper_version": session.who.helper_version,
        "policy_digest": session.who.policy_digest,
    })
}
