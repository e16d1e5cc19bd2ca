//! What `init` asks on a terminal.

use crate::catalog::{Catalog, Preset};
use crate::desired::Stack;
use crate::error::CliError;
use crate::exit::Exit;
use crate::keys::{DEFAULT_VECTOR_DB, SERVICES, VECTOR_DB};
use crate::manifest::{Manifest, default_vector_db};
use crate::run::{Context, Session, setup};
use crate::selection::{self, Selection, Sums, gib};
use crate::ui::{Table, prompt};

/// An answer that can be given, and what it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Choice {
    value: String,
    text: String,
}

/// Prompts for what only the user knows and shows what the rest will be.
pub(super) async fn ask(
    context: &Context,
    session: &Session,
    overrides: &mut Vec<(String, String)>,
) -> Result<(), CliError> {
    let file = session.manifest()?;
    let given = Sums::given(&session.grant.limits.unwrap_or_default());
    let current = |overrides: &[(String, String)], key: &str| {
        let wish = overrides.iter().rev().find(|(wished, _)| wished == key);
        let written = || file.as_ref()?.get(key).map(str::to_owned);
        let usual = || (key == VECTOR_DB).then(|| default_vector_db(file.as_ref()).to_owned());
        let value = wish.map(|(_, value)| value.clone());
        value.or_else(written).or_else(usual)
    };
    let value = |key: &str| current(overrides, key);
    let (choices, usual) = presets(&session.catalog, &value, given);
    let services = pick("Services", choices, usual).await?;
    overrides.push((SERVICES.to_owned(), services));

    let value = |key: &str| current(overrides, key);
    let (choices, usual) = vector_dbs(&session.catalog, &value, given);
    let vector_db = pick("Vector database", choices, usual).await?;
    overrides.push((VECTOR_DB.to_owned(), vector_db));

    let (draft, stack) = setup::draft_with(context, session, overrides)?;
    let printer = context.printer;
    printer.note(&summary(session, &draft, &stack).render(printer.err));
    if prompt::confirm("Write this to your .env?", true).await? {
        return Ok(());
    }
    Err(CliError::new(
        Exit::Failed,
        "not confirmed; no .env was written",
    ))
}

async fn pick(question: &str, choices: Vec<Choice>, usual: usize) -> Result<String, CliError> {
    let texts = choices.iter().map(|choice| choice.text.clone()).collect();
    let chosen = prompt::choose(question, texts, usual).await?;
    let choice = choices.into_iter().nth(chosen);
    Ok(choice.map(|choice| choice.value).unwrap_or_default())
}

/// The presets with their sums, and what the manifest has when that is none of them; the place of
/// the usual answer is that of the manifest's, else of the largest usual preset within the limits.
fn presets(catalog: &Catalog, value: &selection::Value<'_>, given: Sums) -> (Vec<Choice>, usize) {
    let mut choices = Vec::new();
    let mut fitting = Vec::new();
    let mut add = |name: &str, services: String| {
        let stack = |key: &str| match key {
            SERVICES => Some(services.clone()),
            VECTOR_DB => value(VECTOR_DB).or_else(|| Some(DEFAULT_VECTOR_DB.to_owned())),
            key => value(key),
        };
        let (text, fit) = weighed(catalog, &stack, given);
        fitting.push(fit);
        choices.push(Choice {
            text: format!("{name:<9} {text}  {}", services.replace(',', " ")),
            value: services,
        });
    };
    let all = [
        ("minimal", Preset::Minimal),
        ("standard", Preset::Standard),
        ("full", Preset::Full),
    ];
    let named: Vec<String> = all
        .iter()
        .map(|(_, preset)| selection::preset(catalog, *preset))
        .collect();
    for ((name, _), services) in all.iter().zip(&named) {
        add(name, services.clone());
    }
    let usual = match value(SERVICES) {
        Some(own) => named
            .iter()
            .position(|services| *services == own)
            .unwrap_or_else(|| {
                add("as now", own);
                all.len()
            }),
        None => usize::from(fitting.get(1) == Some(&true)),
    };
    (choices, usual)
}

/// The vector databases with the sums of the stack with each.
fn vector_dbs(
    catalog: &Catalog,
    value: &selection::Value<'_>,
    given: Sums,
) -> (Vec<Choice>, usize) {
    let known = catalog.vector_dbs();
    let choices = known.iter().map(|&name| {
        let stack = |key: &str| match key {
            VECTOR_DB => Some(name.to_owned()),
            key => value(key),
        };
        let (text, _) = weighed(catalog, &stack, given);
        Choice {
            value: name.to_owned(),
            text: format!("{name:<9} {text}"),
        }
    });
    let now = value(VECTOR_DB).unwrap_or_else(|| DEFAULT_VECTOR_DB.to_owned());
    let usual = known.iter().position(|name| **name == now);
    (choices.collect(), usual.unwrap_or_default())
}

/// The memory of a stack against what is given, and whether all of its sums fit.
fn weighed(catalog: &Catalog, value: &selection::Value<'_>, given: Sums) -> (String, bool) {
    let Ok(selection) = Selection::of(catalog, value) else {
        return ("?".to_owned(), false);
    };
    let sums = selection.sums();
    let memory = gib(sums.memory_bytes);
    let of = gib(given.memory_bytes);
    if sums.is_within(given) {
        (format!("{memory:>8} of your {of}"), true)
    } else if sums.memory_bytes > given.memory_bytes {
        (format!("{memory:>8}, more than your {of}"), false)
    } else {
        (
            format!("{memory:>8} of your {of}, but too many CPUs or processes"),
            false,
        )
    }
}

fn summary(session: &Session, manifest: &Manifest, stack: &Stack) -> Table {
    let value = |key: &str| manifest.file.get(key).unwrap_or_default();
    let services: Vec<&str> = stack
        .services
        .iter()
        .map(|service| service.name.as_str())
        .collect();
    let mut table = Table::plain();
    table.text(["  base directory", &session.grant.base_dir]);
    table.text(["  domain", value("DOMAIN_NAME")]);
    table.text(["  services", &services.join(", ")]);
    table.text(["  vector database", value(VECTOR_DB)]);
    for left in &stack.left_out {
        table.text(["  left out", &format!("{}: {}", left.service, left.because)]);
    }
    for service in &stack.services {
        for endpoint in service
            .endpoints
            .iter()
            .filter(|endpoint| !endpoint.proxied)
        {
            table.text([
                &format!("  {}", service.name),
                &endpoint.published.to_string(),
            ]);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::tests::grant;

    fn given(memory_gib: u64) -> Sums {
        Sums {
            memory_bytes: memory_gib << 30,
            ..Sums::given(&grant().limits.unwrap())
        }
    }

    #[test]
    fn presets_are_offered_with_what_they_weigh() {
        let catalog = Catalog::embedded();
        let (choices, usual) = presets(&catalog, &|_| None, given(100));
        assert_eq!((choices.len(), usual), (3, 1));
        assert!(
            choices[0]
                .text
                .starts_with("minimal    7.8 GiB of your 100.0 GiB  postgres redis "),
            "{choices:#?}"
        );
        // Too small for the usual one.
        let (choices, usual) = presets(&catalog, &|_| None, given(8));
        assert_eq!(usual, 0);
        assert!(
            choices[2].text.contains("GiB, more than your 8.0 GiB"),
            "{choices:#?}"
        );
        // Another choice of the user's own is one of the answers.
        let own = |key: &str| (key == SERVICES).then(|| "n8n".to_owned());
        let (choices, usual) = presets(&catalog, &own, given(100));
        assert_eq!((choices[usual].value.as_str(), choices.len()), ("n8n", 4));
        let minimal = choices[0].value.clone();
        let own = move |key: &str| (key == SERVICES).then(|| minimal.clone());
        assert_eq!(presets(&catalog, &own, given(100)).1, 0);
    }

    #[test]
    fn vector_databases_are_offered_with_what_the_stack_weighs_then() {
        let catalog = Catalog::embedded();
        let value = |key: &str| match key {
            SERVICES => Some("redis".to_owned()),
            VECTOR_DB => Some("qdrant".to_owned()),
            _ => None,
        };
        let (choices, usual) = vector_dbs(&catalog, &value, given(4));
        assert_eq!(choices[usual].value, "qdrant");
        let text = |name: &str| {
            choices
                .iter()
                .find(|choice| choice.value == name)
                .unwrap()
                .text
                .clone()
        };
        assert_eq!(text("none"), "none       0.5 GiB of your 4.0 GiB");
        assert_eq!(text("pgvector"), "pgvector   1.5 GiB of your 4.0 GiB");
        assert!(
            text("milvus").contains("more than your 4.0 GiB"),
            "{}",
            text("milvus")
        );
    }
}
