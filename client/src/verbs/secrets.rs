//! `aistack secrets`: which there are, and one at a time for a person to see.

use std::collections::BTreeSet;
use std::io::IsTerminal;

use serde_json::json;

use crate::catalog::Rotation;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::nearest::nearest;
use crate::run::{Context, Session, choice};
use crate::selection::Selection;
use crate::ui::Table;
use crate::verbs::args::{SecretsArgs, SecretsVerb};

pub(super) async fn run(context: &Context, args: &SecretsArgs) -> Result<Exit, Failure> {
    let session = Session::open(context).await?;
    let Some(file) = session.manifest()? else {
        return Err(Failure::new(Exit::NotFound, "there is no stack here yet").next("aistack init"));
    };
    match &args.verb {
        SecretsVerb::List => list(context, &session),
        SecretsVerb::Show { key, force } => {
            if !session.catalog.is_secret(key) || file.get(key).is_none() {
                return Err(no_secret(&session, &file, key));
            }
            if !force && !std::io::stdout().is_terminal() {
                return Err(
                    Failure::new(Exit::Usage, "a secret is shown on a terminal only")
                        .because("standard output is a pipe or a file here")
                        .next(format!("aistack secrets show --force {key}")),
                );
            }
            let value = choice::values(context, &session)?(key).unwrap_or_default();
            context
                .printer
                .document(json!({"key": key, "value": value}))?;
            context.printer.data(&format!("{value}\n"))?;
            Ok(Exit::Done)
        }
    }
}

fn no_secret(session: &Session, file: &crate::env_file::EnvFile, key: &str) -> Failure {
    let known: BTreeSet<String> = file
        .keys()
        .filter(|key| session.catalog.is_secret(key))
        .map(str::to_owned)
        .collect();
    let failure = Failure::new(
        Exit::NotFound,
        format!("there is no secret `{key}` in your .env"),
    );
    match nearest(key, known.iter().map(String::as_str)) {
        Some(near) => failure.next(format!("did you mean `{near}`?")),
        None => failure.next("aistack secrets list"),
    }
}

fn list(context: &Context, session: &Session) -> Result<Exit, Failure> {
    let values = choice::values(context, session)?;
    let selection =
        Selection::of(&session.catalog, &values).map_err(|errors| choice::refused(&errors))?;
    let mut table = Table::new(&["SERVICE", "SECRET", "SET", "A NEW VALUE"]);
    let mut documents = Vec::new();
    for entry in selection.entries() {
        for secret in &entry.secrets {
            let set = values(&secret.key).is_some_and(|value| !value.is_empty());
            let word = if set { "yes" } else { "no" };
            table.text([&entry.name, &secret.key, word, meaning(secret.change)]);
            documents.push(json!({
                "service": entry.name, "key": secret.key, "set": set,
                "change": meaning(secret.change), "comment": secret.comment,
            }));
        }
    }
    context.printer.document(json!({"secrets": documents}))?;
    context.printer.table(&table)?;
    context
        .printer
        .note("aistack secrets show KEY shows one; aistack catalog SERVICE tells how to sign in");
    Ok(Exit::Done)
}

/// What a new value would mean, in a few words.
pub(super) fn meaning(change: Rotation) -> &'static str {
    match change {
        Rotation::Never => "makes data unreadable: never",
        Rotation::InService => "must be changed inside the service as well",
        Rotation::Deploy => "takes effect with the next deploy",
    }
}
