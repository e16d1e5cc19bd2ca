//! `aistack secrets`: which there are, and one at a time for a person to see.

use std::collections::BTreeSet;
use std::io::IsTerminal;

use serde_json::json;

use crate::args::{SecretsArgs, SecretsVerb};
use crate::catalog::Rotation;
use crate::error::CliError;
use crate::exit::Exit;
use crate::nearest::nearest;
use crate::run::{Context, Session, choice};
use crate::selection::Selection;
use crate::ui::{Table, Tone};

/// What a new value of a secret means that no service made.
const GIVEN: &str = "yours: takes effect with the next deploy";

pub(super) async fn run(context: &Context, args: &SecretsArgs) -> Result<Exit, CliError> {
    let session = Session::open(context).await?;
    let Some(file) = session.manifest()? else {
        return Err(
            CliError::new(Exit::NotFound, "there is no stack here yet").next("aistack init")
        );
    };
    match &args.verb {
        SecretsVerb::List => list(context, &session),
        SecretsVerb::Show { key, force } => {
            if !session.catalog.is_secret(key) || file.get(key).is_none() {
                return Err(no_secret(&session, &file, key));
            }
            if !force && !std::io::stdout().is_terminal() {
                return Err(
                    CliError::new(Exit::Usage, "a secret is shown on a terminal only")
                        .because("standard output is a pipe or a file here")
                        .next(format!("aistack secrets show --force {key}")),
                );
            }
            let value = choice::values(context, &session)?(key).unwrap_or_default();
            context
                .printer
                .document(json!({"key": key, "value": value}))?;
            context.printer.value(&format!("{value}\n"))?;
            Ok(Exit::Done)
        }
    }
}

fn no_secret(session: &Session, file: &crate::env_file::EnvFile, key: &str) -> CliError {
    let known: BTreeSet<String> = file
        .keys()
        .filter(|key| session.catalog.is_secret(key))
        .map(str::to_owned)
        .collect();
    let failure = CliError::new(
        Exit::NotFound,
        format!("there is no secret `{key}` in your .env"),
    );
    match nearest(key, known.iter().map(String::as_str)) {
        Some(near) => failure.next(format!("did you mean `{near}`?")),
        None => failure.next("aistack secrets list"),
    }
}

fn list(context: &Context, session: &Session) -> Result<Exit, CliError> {
    let values = choice::values(context, session)?;
    let selection =
        Selection::of(&session.catalog, &values).map_err(|errors| choice::refused(&errors))?;
    let set = |key: &str| values(key).is_some_and(|value| !value.is_empty());
    let printer = context.printer;
    let mut documents = Vec::new();
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for entry in selection.entries() {
        let mut table = Table::plain();
        let own = entry.secrets.iter().map(|secret| {
            let change = meaning(secret.change);
            (&secret.key, change, &secret.comment)
        });
        let given = entry.settings.iter();
        let given = given.filter(|setting| session.catalog.is_secret(&setting.key));
        let given = given.map(|setting| (&setting.key, GIVEN, &setting.comment));
        for (key, change, comment) in own.chain(given) {
            seen.insert(key);
            let word = if set(key) { "set" } else { "empty" };
            table.text([&format!("  {key}"), word, change]);
            documents.push(json!({
                "service": entry.name, "key": key, "set": set(key), "change": change,
                "comment": comment, "login": entry.docs.login,
            }));
        }
        let rows = table.render(printer.out);
        if rows.is_empty() {
            continue;
        }
        let name = printer.out.paint(Tone::Strong, &entry.name);
        let login: Vec<&str> = entry.docs.login.split_whitespace().collect();
        printer.data(&format!("{name}  {}\n{rows}", login.join(" ")))?;
    }
    let file = session.manifest()?.unwrap_or_default();
    let mut table = Table::plain();
    let others = file.keys().filter(|key| session.catalog.is_secret(key));
    for key in others.filter(|key| !seen.contains(key)) {
        let word = if set(key) { "set" } else { "empty" };
        table.text([&format!("  {key}"), word, GIVEN]);
        documents.push(json!({
            "service": null, "key": key, "set": set(key), "change": GIVEN, "comment": null,
            "login": null,
        }));
    }
    let rows = table.render(printer.out);
    if !rows.is_empty() {
        let name = printer.out.paint(Tone::Strong, "others");
        printer.data(&format!("{name}  not used by your stack\n{rows}"))?;
    }
    printer.document(json!({"secrets": documents}))?;
    printer.note("`aistack secrets show KEY` shows one");
    Ok(Exit::Done)
}

/// What a new value would mean, in a few words.
pub(super) fn meaning(change: Rotation) -> &'static str {
    match change {
        Rotation::Never => "would make data unreadable: do not change",
        Rotation::InService => "must be changed inside the service as well",
        Rotation::Deploy => "takes effect with the next deploy",
    }
}
