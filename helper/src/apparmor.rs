//! Whether the kernel enforces AppArmor, and whether this tenant's profiles are in it.

use aistack_policy::Grant;
use aistack_proto::v1::AppArmorState;

/// `Y` when the kernel was started with AppArmor (kernel's apparmor/lsm.c, module parameter).
const ENABLED: &str = "/sys/module/apparmor/parameters/enabled";
/// One `name (mode)` a line; needs securityfs and root.
const PROFILES: &str = "/sys/kernel/security/apparmor/profiles";

/// The state of this host for this tenant.
pub(crate) fn state(grant: &Grant) -> AppArmorState {
    let kernel_enabled = is_enabled();
    let loaded = std::fs::read_to_string(PROFILES).unwrap_or_default();
    let profiles_loaded = kernel_enabled
        && enforces(&loaded, &grant.platform_profile)
        && enforces(&loaded, &grant.openclaw_profile);
    let summary = match (kernel_enabled, profiles_loaded) {
        (false, _) => "the kernel of this host does not enforce AppArmor",
        (true, false) => "the kernel enforces AppArmor; your profiles are not loaded",
        (true, true) => "the kernel enforces AppArmor with your profiles",
    };
    AppArmorState {
        kernel_enabled,
        profiles_loaded,
        summary: summary.to_owned(),
    }
}

/// True when the running kernel enforces AppArmor.
pub(crate) fn is_enabled() -> bool {
    std::fs::read_to_string(ENABLED).is_ok_and(|enabled| enabled.trim() == "Y")
}

/// Those of the tenant's profiles that the kernel enforces; none where it does not say.
pub(crate) fn loaded_of(grant: &Grant) -> Vec<String> {
    let loaded = std::fs::read_to_string(PROFILES).unwrap_or_default();
    [&grant.platform_profile, &grant.openclaw_profile]
        .into_iter()
        .filter(|profile| enforces(&loaded, profile))
        .cloned()
        .collect()
}

fn enforces(loaded: &str, profile: &str) -> bool {
    loaded
        .lines()
        .any(|line| line.strip_suffix(" (enforce)") == Some(profile))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_counts_only_by_its_whole_name_and_enforced() {
        let loaded =
            "docker-default (enforce)\nai-platform-1001 (complain)\nai-platform-10 (enforce)\n";
        assert!(enforces(loaded, "docker-default"));
        assert!(enforces(loaded, "ai-platform-10"));
        assert!(!enforces(loaded, "ai-platform-1001"));
        assert!(!enforces(loaded, "ai-platform-1"));
        assert!(!enforces("", ""));
    }
}
