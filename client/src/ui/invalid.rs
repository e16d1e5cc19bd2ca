//! Settings of which no stack can be made, as people read it.

use super::{Paint, Table};
use crate::desired::DesiredError;
use crate::desired::limits::{Excess, Limit};
use crate::error::CliError;
use crate::exit::Exit;
use crate::selection::gib;

/// The failure that these errors are.
#[must_use]
pub fn settings(errors: Vec<DesiredError>) -> CliError {
    let by_policy = errors.iter().any(|error| error.rule.is_some());
    let exit = if by_policy {
        Exit::Policy
    } else {
        Exit::Config
    };
    let what = if by_policy {
        "the settings ask for more than this host's policy gives you; nothing was changed"
    } else {
        "no stack can be made of these settings; nothing was changed"
    };
    let mut failure = CliError::new(exit, what);
    for error in errors {
        let text = error.to_string();
        let mut lines = text.lines();
        failure = failure.by_rule(lines.next().unwrap_or_default(), error.rule);
        failure = lines.fold(failure, CliError::because);
        if let Some(excess) = &error.excess {
            failure = self::excess(excess)
                .into_iter()
                .fold(failure, CliError::because);
        }
    }
    failure.next(if by_policy {
        "see `aistack whoami -v`, or show the rule to the administrator"
    } else {
        "correct the .env file or the environment, then run the command again"
    })
}

/// What each service takes of what is exceeded, and what would fit, a line each.
fn excess(excess: &Excess) -> Vec<String> {
    let mut lines = table(excess);
    if let Some(lighter) = &excess.lighter {
        let vector_db = lighter.vector_db.as_ref();
        let vector_db = vector_db.map(|name| format!(" --vector-db {name}"));
        lines.push(format!(
            "it fits without {}: aistack init --services {}{}",
            lighter.dropped.join(", "),
            lighter.services,
            vector_db.unwrap_or_default(),
        ));
    }
    if let Some(bytes) = excess.smallest_preset {
        let memory = gib(bytes);
        lines.push(format!(
            "the smallest preset fits, with {memory} of memory: aistack init --preset minimal"
        ));
    }
    lines
}

/// One container a service needs no table.
fn table(excess: &Excess) -> Vec<String> {
    let shown: Vec<(&str, Limit)> = excess
        .limits
        .iter()
        .filter_map(|limit| Some((heading(*limit)?, *limit)))
        .collect();
    if shown.is_empty() {
        return Vec::new();
    }
    let services = excess.services.iter();
    let rows = services
        .map(|(name, sums)| (name.as_str(), sums))
        .chain([("together", &excess.needed), ("given", &excess.given)]);
    let mut table = Table::plain();
    let cell = |text: &str| (text.to_owned(), None);
    let headings = shown.iter().map(|(heading, _)| cell(heading));
    table.row([cell("SERVICE")].into_iter().chain(headings));
    for (name, sums) in rows {
        let amounts = shown.iter().map(|(_, limit)| cell(&limit.amount(sums)));
        table.row([cell(name)].into_iter().chain(amounts));
    }
    let text = table.render(Paint::new(false));
    text.lines().map(|line| format!("  {line}")).collect()
}

fn heading(limit: Limit) -> Option<&'static str> {
    match limit {
        Limit::Memory => Some("MEMORY"),
        Limit::Cpus => Some("CPUS"),
        Limit::Processes => Some("PROCESSES"),
        Limit::Containers => None,
    }
}

#[cfg(test)]
mod tests {
    use aistack_proto::v1::{Grant, Limits};

    use super::*;
    use crate::catalog::Catalog;
    use crate::desired::stack;
    use crate::desired::tests::{grant, settings as settings_of};

    fn error(rule: Option<&str>) -> DesiredError {
        DesiredError {
            key: "BASE_DIR".to_owned(),
            message: "is not yours".to_owned(),
            rule: rule.map(str::to_owned),
            excess: None,
        }
    }

    #[test]
    fn one_policy_rule_among_the_reasons_makes_it_a_refusal_by_policy() {
        let failure = settings(vec![error(None), error(Some("tenants.base_dir"))]);
        assert_eq!(failure.exit, Exit::Policy);
        assert_eq!(failure.causes[1].rule.as_deref(), Some("tenants.base_dir"));
    }

    #[test]
    fn errors_without_a_rule_are_a_refused_configuration() {
        assert_eq!(settings(vec![error(None)]).exit, Exit::Config);
    }

    fn limited(memory_gib: u64, cpu_millis: u64, pids: u64, containers: u64) -> Grant {
        let mut grant = grant();
        grant.limits = Some(Limits {
            memory_bytes: memory_gib << 30,
            cpu_millis,
            pids,
            containers,
        });
        grant
    }

    fn refused(grant: &Grant, environment: &[(&str, &str)]) -> CliError {
        settings(stack(&settings_of(environment), &Catalog::embedded(), grant).unwrap_err())
    }

    /// Each cause with its rule, a line each.
    fn rendered(failure: &CliError) -> String {
        let lines = failure.causes.iter().map(|cause| match &cause.rule {
            Some(rule) => format!("[{rule}] {}", cause.text),
            None => cause.text.clone(),
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn limits_are_sums_with_numbers() {
        insta::assert_snapshot!(rendered(&refused(&limited(4, 1500, 100, 3), &[])));
    }

    #[test]
    fn what_is_too_much_is_reported_with_what_each_takes_and_what_would_fit() {
        let milvus = [
            ("VECTOR_DB", "milvus"),
            ("SERVICES", "postgres,n8n,prometheus,caddy"),
        ];
        insta::assert_snapshot!(rendered(&refused(&limited(8, 8000, 8192, 40), &milvus)));
        let containers = refused(&limited(64, 8000, 8192, 6), &[]);
        assert_eq!(
            rendered(&containers),
            "[tenants.limits (policy.toml:9)] limits: the services need 7 containers, and the policy gives 6 containers\n\
             it fits without prometheus: aistack init --services postgres,redis,litellm,n8n,caddy"
        );
        let failure = refused(&limited(1, 8000, 8192, 40), &[]);
        assert_eq!(failure.exit, Exit::Policy);
        assert!(failure.causes[0].rule.is_some());
        assert!(failure.causes[1..].iter().all(|cause| cause.rule.is_none()));
        assert_eq!(failure.causes[1].text, "  SERVICE     MEMORY");
    }
}
