//! What keeps a container in: no capabilities, no new privileges, the tenant's AppArmor profile.

use std::collections::BTreeSet;

use aistack_policy::apparmor::{Kind, Names};
use aistack_policy::{AppArmorMode, Grant, Refusal, Rule};

use super::super::json::shown;
use super::CreateContext;
use super::body::HostConfig;
use super::user::User;

/// Security settings; everything else is Docker's default, said outright when rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Security {
    /// Without `CAP_`; all others are dropped.
    pub(super) capabilities: BTreeSet<String>,
    /// The label of the container's processes. `None`: Docker's own profile, where the kernel has
    /// AppArmor at all.
    pub(super) apparmor: Option<String>,
    /// `IpcMode` is `none` instead of `private`.
    pub(super) no_ipc: bool,
}

impl Security {
    pub(super) fn decide(
        context: &CreateContext<'_>,
        user: User,
        host: &HostConfig,
    ) -> Result<Self, Refusal> {
        let capabilities = capabilities(context, host.cap_add.0.as_deref().unwrap_or_default())?;
        let apparmor = apparmor(context, user)?;
        for (index, option) in host.security_opt.iter().enumerate() {
            check_option(index, option, context.grant, user, apparmor.as_deref())?;
        }
        let no_ipc = match host.ipc_mode.as_str() {
            "" | "private" => false,
            "none" => true,
            other => {
                let message = format!(
                    "HostConfig.IpcMode is \"{}\"; sharing memory is not allowed",
                    shown(other)
                );
                let rule = Rule::builtin("no-host-namespaces");
                return Err(Refusal::new("IPC_MODE_REFUSED", message, rule));
            }
        };
        Ok(Self {
            capabilities,
            apparmor,
            no_ipc,
        })
    }
}

fn capabilities(
    context: &CreateContext<'_>,
    requested: &[String],
) -> Result<BTreeSet<String>, Refusal> {
    let one = |name: &String| {
        let upper = name.to_ascii_uppercase();
        let plain = upper.strip_prefix("CAP_").unwrap_or(&upper).to_owned();
        if context.grant.capabilities.contains(&plain) {
            return Ok(plain);
        }
        let rule = context.grant.rules.capabilities.clone();
        let message = format!(
            "HostConfig.CapAdd: the capability \"{}\" is not allowed by policy",
            shown(name)
        );
        Err(Refusal::new("CAPABILITY_REFUSED", message, rule))
    };
    requested.iter().map(one).collect()
}

/// Which of the tenant's profiles a container runs under: OpenClaw's for a service UID, else the
/// platform's.
pub(in super::super) fn kind_of(grant: &Grant, user: User) -> Kind {
    if user.uid == grant.uid {
        Kind::Platform
    } else {
        Kind::Openclaw
    }
}

/// The label that the container gets: the helper's base and the tenant's profile, stacked.
fn apparmor(context: &CreateContext<'_>, user: User) -> Result<Option<String>, Refusal> {
    let grant = context.grant;
    let (names, kind) = (Names::of(grant), kind_of(grant, user));
    let is_missing = |name: &&str| !context.apparmor.loaded.iter().any(|loaded| loaded == name);
    let missing = [names.base(), names.name(kind)]
        .into_iter()
        .find(is_missing);
    if context.apparmor.enabled && missing.is_none() {
        return Ok(Some(names.label(kind)));
    }
    if grant.apparmor == AppArmorMode::IfAvailable {
        return Ok(None);
    }
    let why = match missing {
        Some(profile) if context.apparmor.enabled => {
            format!("the AppArmor profile {profile} is not loaded")
        }
        _ => "this kernel does not enforce AppArmor".to_owned(),
    };
    let message = format!("{why}, and the policy requires it");
    let refusal = Refusal::new("APPARMOR_MISSING", message, grant.rules.apparmor.clone());
    Err(if context.apparmor.enabled {
        refusal.with_hint("run aistack init, which loads the profiles")
    } else {
        refusal.with_hint("ask the admin to enable AppArmor, or to set apparmor = \"if-available\"")
    })
}

/// Only what holds anyway may be said: the label, or the tenant's own part of it.
fn check_option(
    index: usize,
    option: &str,
    grant: &Grant,
    user: User,
    label: Option<&str>,
) -> Result<(), Refusal> {
    let (key, value) = match option.split_once(['=', ':']) {
        Some((key, value)) => (key, Some(value)),
        None => (option, None),
    };
    let holds = match (key, value) {
        ("no-new-privileges", None | Some("true")) => true,
        ("apparmor", Some(name)) => label.is_some_and(|label| {
            name == label || name == Names::of(grant).name(kind_of(grant, user))
        }),
        _ => false,
    };
    if holds {
        return Ok(());
    }
    let message = format!(
        "HostConfig.SecurityOpt[{index}] is \"{}\"; a container's confinement cannot be \
         changed",
        shown(option)
    );
    let rule = Rule::builtin("no-security-options");
    Err(Refusal::new("SECURITY_OPT_REFUSED", message, rule))
}
