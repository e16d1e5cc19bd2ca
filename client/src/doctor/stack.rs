//! The stack of the manifest against this host: does the grant allow it, are its network and the network
//! guard there.

use aistack_proto::v1::{Grant, WhoAmIResponse};

use super::Finding;
use super::daemons::from_error;
use crate::catalog::Catalog;
use crate::desired::{self, Stack};
use crate::engine::Container;
use crate::env_file::{EnvFile, Settings};
use crate::error::CliError;
use crate::run::Context;
use crate::ui::invalid;
use crate::{guard, manifest};

/// The stack that the manifest describes, and whether there is one. `incomplete` where the catalog is
/// without service files that have errors.
pub(super) fn desired(
    context: &Context,
    catalog: &Catalog,
    grant: &Grant,
    file: &EnvFile,
    incomplete: bool,
) -> (Option<Stack>, Vec<Finding>) {
    let known = |key: &str| catalog.is_key(key);
    let settings = Settings::resolve(file, &context.environment, known)
        .map_err(|errors| CliError::manifest(&errors));
    let stack = settings
        .and_then(|settings| desired::stack(&settings, catalog, grant).map_err(invalid::settings));
    let unknown = manifest::unknown(catalog, file, incomplete);
    let unknown = unknown
        .into_iter()
        .map(|text| Finding::warning(".env", text).next("fix it or remove the line"));
    match stack {
        Ok(stack) => {
            let found = format!("valid, {} services", stack.services.len());
            let valid = Finding::ok(".env", found);
            (Some(stack), std::iter::once(valid).chain(unknown).collect())
        }
        Err(failure) => (None, vec![from_error(".env", &failure)]),
    }
}

/// The tenant's network; without containers it need not be there yet.
pub(super) fn network(who: &WhoAmIResponse, containers: Option<&[Container]>) -> Finding {
    let grant_of = who.grant.as_ref().and_then(|grant| grant.network.clone());
    let name = grant_of.unwrap_or_default().name;
    let Some(network) = &who.network else {
        return Finding::unchecked("network", "unknown, because Docker does not answer");
    };
    if network.exists {
        return Finding::ok("network", format!("{name} is there"));
    }
    if containers.is_some_and(|containers| !containers.is_empty()) {
        return Finding::problem("network", format!("{name} is not there"))
            .means("your containers cannot reach each other")
            .next("aistack deploy");
    }
    Finding::ok(
        "network",
        format!("{name} does not exist yet; deploy creates it"),
    )
}

/// What aistack does not guard on this host's network.
pub(super) fn guard(who: &WhoAmIResponse) -> Option<Finding> {
    let open = guard::sentences(who);
    let found = format!("the network guard of this host: {}", guard::summary(who));
    if guard::in_force(who) && open.is_empty() {
        return Some(Finding::ok("guard", found));
    }
    let required = who.guard.as_ref().is_some_and(|guard| guard.required);
    let finding = if required {
        Finding::problem("guard", found).means("the policy requires it to start a container")
    } else if open.is_empty() {
        return None;
    } else {
        Finding::warning("guard", found)
    };
    let finding = finding.next(guard::ADVICE);
    Some(open.into_iter().fold(finding, Finding::means))
}

#[cfg(test)]
mod tests {
    use aistack_proto::v1::NetworkState;

    use super::super::Level;
    use super::*;

    #[test]
    fn a_missing_network_matters_only_to_containers() {
        let who = WhoAmIResponse {
            network: Some(NetworkState::default()),
            ..WhoAmIResponse::default()
        };
        assert_eq!(network(&who, Some(&[])).level, Level::Ok);
        let own = [crate::engine::tests::container("redis")];
        assert_eq!(network(&who, Some(&own)).level, Level::Error);
        // The helper could not ask Docker.
        let unknown = network(&WhoAmIResponse::default(), Some(&own));
        assert_eq!(unknown.level, Level::Unchecked);
    }

    #[test]
    fn what_is_not_guarded_is_a_warning() {
        let finding = guard(&WhoAmIResponse::default()).unwrap();
        assert_eq!(finding.level, Level::Warning);
        assert!(
            finding
                .means
                .iter()
                .any(|text| text.contains("169.254.169.254"))
        );
        assert!(finding.next.unwrap().contains("docs/admin.md"));
    }

    #[test]
    fn a_guard_in_force_is_well_and_one_that_is_required_and_missing_a_problem() {
        use aistack_proto::v1::{NetworkGuard, NetworkGuardState};
        let who = |state: NetworkGuardState, required: bool| WhoAmIResponse {
            guard: Some(NetworkGuard {
                state: state.into(),
                required,
                ..NetworkGuard::default()
            }),
            ..WhoAmIResponse::default()
        };
        let level = |who: &WhoAmIResponse| guard(who).unwrap().level;
        assert_eq!(level(&who(NetworkGuardState::InForce, true)), Level::Ok);
        assert_eq!(level(&who(NetworkGuardState::None, true)), Level::Error);
    }
}
