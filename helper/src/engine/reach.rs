//! Which refusals of a tenant tell of an attempt to get out of a container: privileges, host
//! namespaces, devices, paths of the host, requests that can be read in two ways. The audit log
//! lists each of them.

use aistack_policy::Refusal;

use crate::audit::Denied;

/// What ordinary work is refused for. Everything else counts as an attempt: a reason that somebody
/// adds later is listed until somebody says that it is harmless.
const ORDINARY: [&str; 26] = [
    // Too much, too early, too late, or not there.
    "TOO_MANY_REQUESTS",
    "LIMITS_REFUSED",
    "APPARMOR_MISSING",
    "NETWORK_MISSING",
    "VOLUME_NOT_MOUNTED",
    "DIRECTORY_MISSING",
    "CONTAINER_OUTDATED",
    "DISK_RESERVE",
    "LAYER_FULL",
    // What this API or this policy has not, in plain words.
    "IMAGE_REFUSED",
    "IMAGE_VOLUME_REFUSED",
    "REGISTRY_AUTH_REFUSED",
    "CONTAINER_NAME_REFUSED",
    "BAD_IMAGE_REFERENCE",
    "BAD_QUERY",
    "BAD_VERSION",
    "FIELD_OF_OTHER_VERSION",
    "WRITABLE_LAYER_REFUSED",
    // Settings that reach nothing outside of the container.
    "HEALTHCHECK_REFUSED",
    "RESTART_REFUSED",
    "STOP_REFUSED",
    "CONSOLE_SIZE_REFUSED",
    "COMMAND_REFUSED",
    "HOSTNAME_REFUSED",
    "DOMAINNAME_REFUSED",
    "UMASK_REFUSED",
];

/// How the audit log counts a tenant's refusal.
pub(super) fn kind_of(refusal: &Refusal) -> Denied {
    // An endpoint of the API is not offered; one of a network is another matter.
    let is_path = refusal.reason == "ENDPOINT_REFUSED" && refusal.rule.key == "builtin.endpoints";
    if is_path || ORDINARY.contains(&refusal.reason) {
        Denied::Tenant
    } else {
        Denied::Reaching
    }
}

#[cfg(test)]
mod tests {
    use aistack_policy::Rule;

    use super::*;

    /// Bodies that must not reach Docker, by the attack that each belongs to.
    const HOSTILE: &str = include_str!("../../tests/corpus/hostile-create.tsv");
    /// Groups of them that are clumsy rather than hostile.
    const CLUMSY: [&str; 13] = [
        "f5",
        "f26",
        "admin",
        "cmd",
        "console",
        "entrypoint",
        "health",
        "hostname",
        "limit",
        "restart",
        "same",
        "stop",
        "umask",
    ];

    #[test]
    fn every_hostile_body_counts_as_an_attempt_and_ordinary_refusals_do_not() {
        let mut attempts = 0;
        for line in HOSTILE.lines().filter(|line| !line.starts_with('#')) {
            let mut columns = line.split('\t');
            let (Some(name), Some(reason)) = (columns.next(), columns.next()) else {
                continue;
            };
            let group = name.split('-').next().unwrap();
            if reason == "SAME" || CLUMSY.contains(&group) {
                continue;
            }
            let reason: &'static str = reason.to_owned().leak();
            let refusal = Refusal::new(reason, "no", Rule::builtin("test"));
            assert_eq!(kind_of(&refusal), Denied::Reaching, "{name}");
            attempts += 1;
        }
        assert!(attempts > 400, "only {attempts}");
        for (reason, rule) in [
            ("TOO_MANY_REQUESTS", "rate-limit"),
            ("LIMITS_REFUSED", "x"),
            ("ENDPOINT_REFUSED", "endpoints"),
        ] {
            let refusal = Refusal::new(reason, "no", Rule::builtin(rule));
            assert_eq!(kind_of(&refusal), Denied::Tenant, "{reason}");
        }
    }
}
