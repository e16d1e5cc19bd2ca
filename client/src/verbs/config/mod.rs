//! `aistack config`: the values of the manifest, one at a time.

mod change;

use std::io::IsTerminal;

use serde_json::json;

use crate::args::{ConfigArgs, ConfigVerb};
use crate::catalog::Entry;
use crate::desired::Secrets;
use crate::env_file::{EnvFile, Settings, Source};
use crate::error::CliError;
use crate::exit::Exit;
use crate::keys;
use crate::nearest::nearest;
use crate::run::{Context, Session};
use crate::ui::{Table, clean};
use crate::verbs::secrets;

/// What a secret is shown as.
const HIDDEN: &str = "(secret)";

pub(super) async fn run(context: &Context, args: &ConfigArgs) -> Result<Exit, CliError> {
    let session = Session::open(context).await?;
    let Some(file) = session.manifest()? else {
        return Err(
            CliError::new(Exit::NotFound, "there is no stack here yet").next("aistack init")
        );
    };
    match &args.verb {
        ConfigVerb::Get { key, show_secrets } => get(context, &session, &file, key, *show_secrets),
        ConfigVerb::List { show_secrets } => list(context, &session, &file, *show_secrets),
        ConfigVerb::Explain { key } => explain(context, &session, &file, key),
        ConfigVerb::Set {
            key,
            value,
            secret_file,
            force,
        } => {
            known(&session, &file, key)?;
            let value = change::wanted(&session, key, value.as_deref(), secret_file.as_deref())?;
            change::set(context, &session, key, &value, *force).await
        }
        ConfigVerb::Unset { key } => {
            known(&session, &file, key)?;
            change::unset(context, &session, key).await
        }
    }
}

fn settings(context: &Context, session: &Session, file: &EnvFile) -> Result<Settings, CliError> {
    let known = |key: &str| session.catalog.is_key(key);
    Settings::resolve(file, &context.environment, known)
        .map_err(|errors| CliError::manifest(&errors))
}

/// A key of the stack, or one that the file has.
fn known(session: &Session, file: &EnvFile, key: &str) -> Result<(), CliError> {
    if session.catalog.is_key(key) || file.get(key).is_some() {
        return Ok(());
    }
    let mut names: Vec<&str> = file.keys().collect();
    names.extend(session.catalog.keys());
    let failure = CliError::new(Exit::NotFound, format!("there is no key `{key}`"));
    Err(match nearest(key, names) {
        Some(near) => failure.next(format!("did you mean `{near}`?")),
        None => failure.next("aistack config list"),
    })
}

/// Secrets are shown to a person only.
fn may_show(show: bool) -> Result<bool, CliError> {
    if show && !std::io::stdout().is_terminal() {
        return Err(
            CliError::new(Exit::Usage, "--show-secrets shows them on a terminal only")
                .next("aistack secrets show --force KEY, for a script"),
        );
    }
    Ok(show)
}

fn get(
    context: &Context,
    session: &Session,
    file: &EnvFile,
    key: &str,
    show: bool,
) -> Result<Exit, CliError> {
    known(session, file, key)?;
    let show = may_show(show)?;
    let settings = settings(context, session, file)?;
    let value = settings.get(key).ok_or_else(|| {
        CliError::new(Exit::NotFound, format!("{key} is not set"))
            .next(format!("aistack config set {key} VALUE"))
    })?;
    let shown = shown(session, &settings, (key, value), show);
    context
        .printer
        .document(json!({"key": key, "value": shown}))?;
    context.printer.value(&format!("{shown}\n"))?;
    Ok(Exit::Done)
}

fn list(
    context: &Context,
    session: &Session,
    file: &EnvFile,
    show: bool,
) -> Result<Exit, CliError> {
    let show = may_show(show)?;
    let settings = settings(context, session, file)?;
    let mut table = Table::new(&["KEY", "VALUE", "FROM"]);
    let mut documents = Vec::new();
    for key in file.keys() {
        let Some((_, setting)) = settings.iter().find(|(name, _)| *name == key) else {
            continue;
        };
        let value = shown(session, &settings, (key, &setting.value), show);
        table.text([key, &clean(&value), from(setting.source)]);
        documents.push(json!({"key": key, "value": value, "from": from(setting.source)}));
    }
    context.printer.document(json!({"values": documents}))?;
    context.printer.table(&table)?;
    Ok(Exit::Done)
}

/// A value as it may be shown. One that is not a secret may hold one by a reference.
fn shown(session: &Session, settings: &Settings, (key, value): (&str, &str), show: bool) -> String {
    if show || value.is_empty() {
        value.to_owned()
    } else if session.catalog.is_secret(key) {
        HIDDEN.to_owned()
    } else {
        Secrets::of(settings, &session.catalog).mask(value)
    }
}

fn from(source: Source) -> &'static str {
    match source {
        Source::Environment => "environment",
        Source::File { .. } => ".env",
    }
}

fn explain(
    context: &Context,
    session: &Session,
    file: &EnvFile,
    key: &str,
) -> Result<Exit, CliError> {
    known(session, file, key)?;
    let settings = settings(context, session, file)?;
    let setting = settings.iter().find(|(name, _)| *name == key);
    let value = setting.map_or_else(
        || "(not set)".to_owned(),
        |(_, setting)| shown(session, &settings, (key, &setting.value), false),
    );
    let source = setting.map_or("nowhere", |(_, setting)| from(setting.source));
    let entries = session.catalog.entries();
    let users: Vec<&str> = entries
        .iter()
        .filter(|entry| entry.declares(key) || entry.mentions(key))
        .map(|entry| entry.name.as_str())
        .collect();
    let (what, change) = entries
        .iter()
        .find_map(|entry| describe(entry, key))
        .unwrap_or_else(|| {
            (
                base_comment(key),
                "takes effect with the next deploy".to_owned(),
            )
        });
    context.printer.document(json!({
        "key": key, "value": value, "from": source, "what": what, "used_by": users, "change": change,
    }))?;
    let mut table = Table::plain();
    table.text(["value", &clean(&value)]);
    table.text(["from", source]);
    table.text(["what", if what.is_empty() { "-" } else { &what }]);
    table.text(["used by", &users.join(", ")]);
    table.text(["a new value", &change]);
    context.printer.table(&table)?;
    Ok(Exit::Done)
}

/// What an entry says of a key that it declares: what it is, and what a change means.
fn describe(entry: &Entry, key: &str) -> Option<(String, String)> {
    let deploy = || "takes effect with the next deploy".to_owned();
    if let Some(secret) = entry.secrets.iter().find(|secret| secret.key == key) {
        let what = secret.comment.clone().unwrap_or_default();
        return Some((what, secrets::meaning(secret.change).to_owned()));
    }
    if let Some(setting) = entry.settings.iter().find(|setting| setting.key == key) {
        let default = match setting.default.as_str() {
            "" => "empty".to_owned(),
            other => format!("`{other}`"),
        };
        let comment = setting.comment.clone().unwrap_or_default();
        return Some((format!("{comment} (default: {default})"), deploy()));
    }
    if let Some(port) = entry.ports.iter().find(|port| port.key == key) {
        let what = format!("port of {} on loopback ({})", entry.name, port.scheme);
        return Some((what, deploy()));
    }
    (entry.image_key() == key).then(|| {
        let what = format!(
            "another image for {}, instead of {}",
            entry.name, entry.image
        );
        (what, deploy())
    })
}

fn base_comment(key: &str) -> String {
    let base = keys::BASE.iter().find(|base| base.key == key);
    base.and_then(|base| base.comment)
        .unwrap_or_default()
        .to_owned()
}
