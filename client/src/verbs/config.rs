//! `aistack config`: the values of the manifest, one at a time.

use std::io::{IsTerminal, Read};
use std::path::Path;

use serde_json::json;

use crate::catalog::Entry;
use crate::engine::Container;
use crate::env_file::{EnvFile, Settings, Source};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::manifest::keys;
use crate::nearest::nearest;
use crate::plan::{Action, diff};
use crate::run::lock::Lock;
use crate::run::{Context, Session, setup, store};
use crate::ui::Table;
use crate::verbs::args::{ConfigArgs, ConfigVerb};
use crate::verbs::{lock_wait, secrets};

/// What a secret is shown as.
const HIDDEN: &str = "(secret)";
/// A value from a file or standard input is at most this long, bytes.
const MAX_VALUE: u64 = 64 * 1024;

pub(super) async fn run(context: &Context, args: &ConfigArgs) -> Result<Exit, Failure> {
    let session = Session::open(context).await?;
    let Some(file) = session.manifest()? else {
        return Err(Failure::new(Exit::NotFound, "there is no stack here yet").next("aistack init"));
    };
    match &args.verb {
        ConfigVerb::Get { key, show_secrets } => get(context, &session, &file, key, *show_secrets),
        ConfigVerb::List { show_secrets } => list(context, &session, &file, *show_secrets),
        ConfigVerb::Explain { key } => explain(context, &session, &file, key),
        ConfigVerb::Set {
            key,
            value,
            secret_file,
        } => {
            known(&session, &file, key)?;
            let value = new_value(&session, key, value.as_deref(), secret_file.as_deref())?;
            change(context, &session, key, Some(value)).await
        }
        ConfigVerb::Unset { key } => {
            known(&session, &file, key)?;
            change(context, &session, key, None).await
        }
    }
}

fn settings(context: &Context, session: &Session, file: &EnvFile) -> Result<Settings, Failure> {
    let known = |key: &str| session.catalog.is_key(key);
    Settings::resolve(file, &context.environment, known)
        .map_err(|errors| Failure::manifest(&errors))
}

/// A key of the stack, or one that the file has.
fn known(session: &Session, file: &EnvFile, key: &str) -> Result<(), Failure> {
    if session.catalog.is_key(key) || file.get(key).is_some() {
        return Ok(());
    }
    let mut names: Vec<&str> = file.keys().collect();
    for entry in session.catalog.entries() {
        names.extend(entry.settings.iter().map(|setting| setting.key.as_str()));
        names.extend(entry.secrets.iter().map(|secret| secret.key.as_str()));
        names.extend(entry.ports.iter().map(|port| port.key.as_str()));
    }
    let failure = Failure::new(Exit::NotFound, format!("there is no key `{key}`"));
    Err(match nearest(key, names) {
        Some(near) => failure.next(format!("did you mean `{near}`?")),
        None => failure.next("aistack config list"),
    })
}

/// Secrets are shown to a person only.
fn may_show(show: bool) -> Result<bool, Failure> {
    if show && !std::io::stdout().is_terminal() {
        return Err(
            Failure::new(Exit::Usage, "--show-secrets shows them on a terminal only")
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
) -> Result<Exit, Failure> {
    known(session, file, key)?;
    let show = may_show(show)?;
    let settings = settings(context, session, file)?;
    let value = settings.get(key).ok_or_else(|| {
        Failure::new(Exit::NotFound, format!("{key} is not set"))
            .next(format!("aistack config set {key} VALUE"))
    })?;
    let shown = if session.catalog.is_secret(key) && !show && !value.is_empty() {
        HIDDEN
    } else {
        value
    };
    context
        .printer
        .document(json!({"key": key, "value": shown}))?;
    context.printer.data(&format!("{shown}\n"))?;
    Ok(Exit::Done)
}

fn list(context: &Context, session: &Session, file: &EnvFile, show: bool) -> Result<Exit, Failure> {
    let show = may_show(show)?;
    let settings = settings(context, session, file)?;
    let mut table = Table::new(&["KEY", "VALUE", "FROM"]);
    let mut documents = Vec::new();
    for key in file.keys() {
        let Some((_, setting)) = settings.iter().find(|(name, _)| *name == key) else {
            continue;
        };
        let hidden = session.catalog.is_secret(key) && !show && !setting.value.is_empty();
        let value = if hidden { HIDDEN } else { &setting.value };
        table.text([key, value, from(setting.source)]);
        documents.push(json!({"key": key, "value": value, "from": from(setting.source)}));
    }
    context.printer.document(json!({"values": documents}))?;
    context.printer.table(&table)?;
    Ok(Exit::Done)
}

fn from(source: Source) -> &'static str {
    match source {
        Source::Environment => "environment",
        Source::File => ".env",
    }
}

fn explain(
    context: &Context,
    session: &Session,
    file: &EnvFile,
    key: &str,
) -> Result<Exit, Failure> {
    known(session, file, key)?;
    let settings = settings(context, session, file)?;
    let setting = settings.iter().find(|(name, _)| *name == key);
    let value = match setting {
        None => "(not set)",
        Some((_, setting)) if session.catalog.is_secret(key) && !setting.value.is_empty() => HIDDEN,
        Some((_, setting)) => &setting.value,
    };
    let source = setting.map_or("nowhere", |(_, setting)| from(setting.source));
    let entries = session.catalog.entries();
    let users: Vec<&str> = entries
        .iter()
        .filter(|entry| entry.declares(key) || entry.mentions(key))
        .map(|entry| entry.name.as_str())
        .collect();
    let (what, change) = entries
        .iter()
        .find_map(|entry| told(entry, key))
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
    table.text(["value", value]);
    table.text(["from", source]);
    table.text(["what", if what.is_empty() { "-" } else { &what }]);
    table.text(["used by", &users.join(", ")]);
    table.text(["a new value", &change]);
    context.printer.table(&table)?;
    Ok(Exit::Done)
}

/// What an entry says of a key that it declares: what it is, and what a change means.
fn told(entry: &Entry, key: &str) -> Option<(String, String)> {
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

/// The new value; secrets come from files only, which no process list shows.
fn new_value(
    session: &Session,
    key: &str,
    value: Option<&str>,
    file: Option<&str>,
) -> Result<String, Failure> {
    match (value, file) {
        (Some(value), _) if session.catalog.is_secret(key) && !value.is_empty() => {
            Err(Failure::new(
                Exit::Usage,
                format!(
                    "{key} is a secret, which does not belong in arguments: others can read them"
                ),
            )
            .next(format!(
                "aistack config set {key} --secret-file FILE, or - for standard input"
            )))
        }
        (Some(value), _) => Ok(value.to_owned()),
        (None, Some("-")) => read(std::io::stdin().lock(), Path::new("standard input")),
        (None, Some(path)) => {
            let path = Path::new(path);
            let file =
                std::fs::File::open(path).map_err(|error| Failure::io("read", path, &error))?;
            read(file, path)
        }
        (None, None) => Err(Failure::new(Exit::Usage, "no value was given")),
    }
}

fn read(from: impl Read, path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = from.take(MAX_VALUE + 1).read_to_string(&mut text);
    let bytes = read.map_err(|error| Failure::io("read", path, &error))?;
    if bytes as u64 > MAX_VALUE {
        let error = std::io::Error::other("it is longer than 64 KiB");
        return Err(Failure::io("read", path, &error));
    }
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

/// Writes one value under the lock, when a granted stack can be made of it; says what it touches.
async fn change(
    context: &Context,
    session: &Session,
    key: &str,
    value: Option<String>,
) -> Result<Exit, Failure> {
    let wait = lock_wait(&context.globals);
    let lock = Lock::take(session.base_dir(), "aistack config", wait).await?;
    let mut file = session.manifest()?.unwrap_or_default();
    let before = file.get(key).map(str::to_owned);
    match &value {
        Some(value) => {
            file.set(key, value, None);
        }
        None => file.remove(key),
    }
    // What init would add to it, a secret or a port that was taken out included.
    let (manifest, stack) = setup::complete(context, session, &file, &[])?;
    let containers = session.engine.list().await?;
    let touched: Vec<String> = diff(&stack, &Container::observed(&containers))
        .steps
        .into_iter()
        .filter(|step| step.action != Action::Keep)
        .map(|step| step.service)
        .collect();
    let changed = manifest.file.get(key).map(str::to_owned) != before;
    if !context.globals.dry_run && (changed || !manifest.added.is_empty()) {
        store::write_manifest(session.base_dir(), &manifest.file)?;
    }
    drop(lock);
    let printer = context.printer;
    printer.document(json!({
        "key": key, "changed": changed, "written": changed && !context.globals.dry_run,
        "touches": touched,
    }))?;
    if !changed {
        printer.data(&format!("{key} has that value already\n"))?;
        return Ok(Exit::Done);
    }
    if let Some(overrides) = context
        .environment
        .get(key)
        .filter(|_| session.catalog.is_key(key))
    {
        let hidden = session.catalog.is_secret(key);
        let shown = if hidden { HIDDEN } else { overrides };
        printer.warn(&format!(
            "{key} is also in your environment ({shown}), which wins over the .env"
        ));
    }
    let verb = if context.globals.dry_run {
        "would change"
    } else {
        "changed"
    };
    let next = if touched.is_empty() {
        "it touches no service that runs".to_owned()
    } else {
        format!("`aistack deploy` then changes {}", touched.join(", "))
    };
    printer.data(&format!("{verb} {key}: {next}\n"))?;
    Ok(Exit::Done)
}
