//! How a tenant's containers are confined on this host, in the same words everywhere.

use aistack_proto::v1::{AppArmorMode, AppArmorState, WhoAmIResponse};

use crate::error::CliError;
use crate::exit::Exit;

/// What the policy wants, and what the kernel has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confinement {
    /// Containers run only under the tenant's profiles.
    pub required: bool,
    /// The kernel enforces AppArmor.
    pub kernel: bool,
    /// It enforces the tenant's profiles.
    pub loaded: bool,
    /// A sentence when the kernel lacks fixes that profiles depend on.
    pub kernel_warning: Option<String>,
    summary: String,
    rule: Option<String>,
}

impl Confinement {
    /// As the helper tells it.
    #[must_use]
    pub fn of(who: &WhoAmIResponse) -> Self {
        let AppArmorState {
            kernel_enabled,
            profiles_loaded,
            summary,
            kernel_warning,
        } = who.apparmor.clone().unwrap_or_default();
        let grant = who.grant.clone().unwrap_or_default();
        Self {
            required: grant.apparmor_mode() == AppArmorMode::Required,
            kernel: kernel_enabled,
            loaded: kernel_enabled && profiles_loaded,
            summary,
            kernel_warning: Some(kernel_warning).filter(|warning| !warning.is_empty()),
            rule: grant.rules.get("apparmor").cloned(),
        }
    }

    /// The policy's word.
    #[must_use]
    pub fn mode(&self) -> &'static str {
        if self.required {
            "required"
        } else {
            "if-available"
        }
    }

    /// One line: the policy's word and what the host has.
    #[must_use]
    pub fn sentence(&self) -> String {
        format!("{}: {}", self.mode(), self.summary)
    }

    /// A sentence when containers do not run under the profiles.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let why = &self.summary;
        match (self.loaded, self.required) {
            (true, _) => None,
            (false, true) => Some(format!(
                "the policy requires AppArmor, so no container may start: {why}"
            )),
            (false, false) => Some(format!(
                "containers run WITHOUT your AppArmor profiles: {why} (the policy says if-available)"
            )),
        }
    }

    /// [`Confinement::warning`], and what is known of the kernel.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let kernel = self.kernel_warning.clone();
        self.warning().into_iter().chain(kernel).collect()
    }

    /// What to do about [`Confinement::warning`]; `None` where a tenant need not and cannot.
    #[must_use]
    pub fn next(&self) -> Option<&'static str> {
        match (self.kernel, self.required) {
            _ if self.loaded => None,
            (true, _) => Some("aistack apparmor load"),
            (false, true) => Some(
                "ask the administrator to boot this host with AppArmor, or to set \
                 apparmor = \"if-available\" in the policy",
            ),
            (false, false) => None,
        }
    }

    /// The refusal of a deploy that could never start a container.
    ///
    /// # Errors
    /// [`Exit::Policy`] when the policy requires what the kernel has not.
    pub fn check(&self) -> Result<(), CliError> {
        if self.kernel || !self.required {
            return Ok(());
        }
        let mut failure = CliError::new(
            Exit::Policy,
            "the policy requires AppArmor, which this host does not support; nothing was changed",
        )
        .by_rule(self.summary.as_str(), self.rule.clone());
        failure.next = self.next().map(str::to_owned);
        Err(failure)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::HashMap;

    use aistack_proto::v1::Grant;

    use super::*;

    pub(crate) fn who(mode: AppArmorMode, kernel: bool, loaded: bool) -> WhoAmIResponse {
        let rule = ("apparmor".to_owned(), "tenants.apparmor (p:1)".to_owned());
        WhoAmIResponse {
            grant: Some(Grant {
                uid: 1001,
                apparmor_mode: mode.into(),
                platform_profile: "ai-platform-1001".to_owned(),
                openclaw_profile: "ai-platform-openclaw-2001".to_owned(),
                service_uids: vec![2001],
                base_dir: "/mnt/data-tenant-1001".to_owned(),
                rules: HashMap::from([rule]),
                ..Grant::default()
            }),
            apparmor: Some(AppArmorState {
                kernel_enabled: kernel,
                profiles_loaded: loaded,
                summary: "why".to_owned(),
                kernel_warning: String::new(),
            }),
            ..WhoAmIResponse::default()
        }
    }

    #[test]
    fn only_loaded_profiles_are_no_warning_and_only_required_without_a_kernel_is_refused() {
        use AppArmorMode::{IfAvailable, Required};
        for (mode, kernel, loaded, warned, refused) in [
            (Required, true, true, false, false),
            (Required, true, false, true, false),
            (Required, false, false, true, true),
            (IfAvailable, true, true, false, false),
            (IfAvailable, true, false, true, false),
            (IfAvailable, false, false, true, false),
            // What a kernel without AppArmor says of profiles is not believed.
            (Required, false, true, true, true),
        ] {
            let confinement = Confinement::of(&who(mode, kernel, loaded));
            let case = format!("{mode:?} kernel {kernel} loaded {loaded}");
            assert_eq!(confinement.warning().is_some(), warned, "{case}");
            assert_eq!(confinement.check().is_err(), refused, "{case}");
        }
    }

    #[test]
    fn a_kernel_with_known_holes_is_reported_although_profiles_are_loaded() {
        let mut who = who(AppArmorMode::Required, true, true);
        assert!(Confinement::of(&who).warnings().is_empty());
        who.apparmor.as_mut().unwrap().kernel_warning = "the kernel lacks fixes".to_owned();
        let confinement = Confinement::of(&who);
        assert_eq!(confinement.warning(), None);
        assert_eq!(confinement.warnings(), ["the kernel lacks fixes"]);
    }

    #[test]
    fn the_refusal_names_the_rule_and_what_to_do() {
        let failure = Confinement::of(&who(AppArmorMode::Required, false, false))
            .check()
            .unwrap_err();
        assert_eq!(failure.exit, Exit::Policy);
        assert_eq!(
            failure.causes[0].rule.as_deref(),
            Some("tenants.apparmor (p:1)")
        );
        assert!(failure.next.unwrap().contains("if-available"));
    }
}
