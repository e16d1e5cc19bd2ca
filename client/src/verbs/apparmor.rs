//! `aistack apparmor`: the two profile sources that are the tenant's to edit.

use serde_json::{Value, json};
use similar::TextDiff;

use crate::apparmor::{Confinement, Edition, RejectedSource, Source, sources, sources_in};
use crate::args::{AppArmorArgs, AppArmorVerb};
use crate::error::CliError;
use crate::exit::Exit;
use crate::run::lock::Lock;
use crate::run::{Context, Session, profiles};
use crate::ui::{Tone, clean};

pub(super) async fn run(context: &Context, args: &AppArmorArgs) -> Result<Exit, CliError> {
    match &args.verb {
        AppArmorVerb::Check => check(context, &own(context).await?),
        AppArmorVerb::Diff => diff(context, &own(context).await?),
        AppArmorVerb::Load => load(context).await,
        AppArmorVerb::Reset(args) => {
            let all = own(context).await?;
            reset(context, &chosen(&all, &args.profiles)?)
        }
        AppArmorVerb::Keep(args) => {
            let all = own(context).await?;
            keep(context, &chosen(&all, &args.profiles)?)
        }
    }
}

/// The caller's sources. Where the helper does not answer, those in the directory that the caller
/// names.
async fn own(context: &Context) -> Result<Vec<Source>, CliError> {
    let failure = match context.helper().await {
        Ok(helper) => {
            let who = helper.who_am_i().await?;
            return Ok(sources(&who.grant.unwrap_or_default())?.into());
        }
        Err(failure) => failure,
    };
    let named = context.globals.dir.clone();
    let named = named.or_else(|| context.environment.get("BASE_DIR").map(Into::into));
    match named {
        Some(base_dir) => sources_in(&base_dir),
        None => Err(failure.next("aistack apparmor check -C BASE_DIR needs no helper")),
    }
}

fn chosen<'a>(all: &'a [Source], named: &[String]) -> Result<Vec<&'a Source>, CliError> {
    for name in named {
        if !all.iter().any(|source| source.name == *name) {
            let names: Vec<&str> = all.iter().map(|source| source.name.as_str()).collect();
            let what = format!("there is no profile `{name}`");
            return Err(CliError::new(Exit::NotFound, what)
                .because(format!("your profiles: {}", names.join(", "))));
        }
    }
    let wanted = |source: &&Source| named.is_empty() || named.contains(&source.name);
    Ok(all.iter().filter(wanted).collect())
}

/// One source as it was looked at.
struct Look<'a> {
    source: &'a Source,
    text: Option<String>,
    edition: Edition,
    refused: Option<RejectedSource>,
}

fn look(source: &Source) -> Result<Look<'_>, CliError> {
    let text = source.read()?;
    Ok(Look {
        source,
        edition: source.edition(text.as_deref()),
        refused: text.as_deref().and_then(|text| source.vet(text).err()),
        text: text.map(|text| String::from_utf8_lossy(&text).into_owned()),
    })
}

impl Look<'_> {
    fn json(&self) -> Value {
        json!({
            "profile": self.source.name, "path": self.source.path,
            "edition": self.edition.word(), "refused": self.refused,
        })
    }
}

fn check(context: &Context, all: &[Source]) -> Result<Exit, CliError> {
    let looks = all.iter().map(look).collect::<Result<Vec<_>, _>>()?;
    let printer = context.printer;
    let fine = looks.iter().all(|look| look.refused.is_none());
    printer.document(json!({
        "ok": fine, "sources": looks.iter().map(Look::json).collect::<Vec<_>>(),
    }))?;
    for look in &looks {
        let path = look.source.path.display();
        let Some(refused) = &look.refused else {
            let word = printer.out.paint(Tone::Good, "ok  ");
            printer.data(&format!("{word} {path} {}\n", look.edition.sentence()))?;
            continue;
        };
        let word = printer.out.paint(Tone::Bad, "FAIL");
        let (name, sentence, code) = (&look.source.name, &refused.sentence, &refused.code);
        printer.data(&format!("{word} {name}: {sentence} ({code})\n"))?;
        for line in refused.place() {
            printer.data(&format!("     {}\n", clean(&line)))?;
        }
    }
    if fine {
        return Ok(Exit::Done);
    }
    printer.note("nothing was loaded; what is loaded already stays in force");
    Ok(Exit::Config)
}

fn diff(context: &Context, all: &[Source]) -> Result<Exit, CliError> {
    let looks = all.iter().map(look).collect::<Result<Vec<_>, _>>()?;
    let printer = context.printer;
    let diffs: Vec<String> = looks.iter().map(against_default).collect();
    let documents: Vec<Value> = looks
        .iter()
        .zip(&diffs)
        .map(|(look, diff)| {
            json!({
                "profile": look.source.name, "path": look.source.path,
                "edition": look.edition.word(), "diff": diff,
            })
        })
        .collect();
    printer.document(json!({"sources": documents}))?;
    for (look, diff) in looks.iter().zip(&diffs) {
        let path = look.source.path.display();
        printer.note(&format!("{path} {}", look.edition.sentence()));
        for line in diff.lines() {
            let tone = match line.as_bytes().first() {
                Some(b'+') => Some(Tone::Good),
                Some(b'-') => Some(Tone::Bad),
                Some(b'@') => Some(Tone::Faint),
                _ => None,
            };
            let line = clean(line);
            let line = tone.map_or(line.clone(), |tone| printer.out.paint(tone, &line));
            printer.data(&format!("{line}\n"))?;
        }
    }
    Ok(Exit::Done)
}

/// What the tenant's text has (`+`) and has not (`-`) of the default; empty when they are the same.
fn against_default(look: &Look<'_>) -> String {
    let Some(text) = &look.text else {
        return String::new();
    };
    let diff = TextDiff::from_lines(look.source.default.as_str(), text.as_str());
    let mut unified = diff.unified_diff();
    let path = look.source.path.to_string_lossy();
    unified.header("default", &path);
    unified.to_string()
}

async fn load(context: &Context) -> Result<Exit, CliError> {
    let session = Session::open(context).await?;
    let sources = sources(&session.grant)?;
    let confinement = session.confinement();
    confinement.check()?;
    if context.globals.dry_run {
        return check(context, &sources);
    }
    if !session.base_dir().join("apparmor").is_dir() {
        let what = "your directories do not exist yet, so there are no profiles to load";
        return Err(CliError::new(Exit::NotFound, what).next("aistack init"));
    }
    let wait = context.globals.lock_wait();
    let _lock = Lock::take(session.base_dir(), "aistack apparmor load", wait).await?;
    for source in &sources {
        source.write_missing()?;
    }
    let answer = profiles::ask(&session, &sources).await?;
    context.printer.document(json!({
        "changed": answer.changed, "profiles": answer.profiles,
    }))?;
    tell_loaded(context, &confinement, answer.changed, &answer.profiles)?;
    Ok(Exit::Done)
}

fn tell_loaded(
    context: &Context,
    confinement: &Confinement,
    changed: bool,
    names: &[String],
) -> Result<(), CliError> {
    let printer = context.printer;
    if names.is_empty() {
        printer.data("no profile is loaded\n")?;
        if let Some(warning) = confinement.warning() {
            printer.warn(&warning);
        }
        return Ok(());
    }
    let names = names.join(", ");
    if !changed {
        printer.data(&format!("already in force: {names}\n"))?;
        return Ok(());
    }
    printer.data(&format!("loaded: {names}\n"))?;
    printer.note("running containers are confined by the new rules from now on");
    Ok(())
}

fn reset(context: &Context, chosen: &[&Source]) -> Result<Exit, CliError> {
    let mut done = Vec::new();
    for source in chosen {
        let text = source.read()?;
        if source.edition(text.as_deref()) == Edition::Default {
            continue;
        }
        if !context.globals.dry_run {
            source.reset()?;
        }
        done.push((source, text.is_some()));
    }
    let printer = context.printer;
    let names: Vec<&str> = done
        .iter()
        .map(|(source, _)| source.name.as_str())
        .collect();
    printer.document(json!({"reset": names, "dry_run": context.globals.dry_run}))?;
    if done.is_empty() {
        printer.data("nothing to do: it is already the default\n")?;
        return Ok(Exit::Done);
    }
    let verb = if context.globals.dry_run {
        "would become"
    } else {
        "is"
    };
    for (source, kept) in &done {
        let path = source.path.display();
        printer.data(&format!("{path} {verb} the default again\n"))?;
        if *kept {
            printer.note(&format!("your version: {}", source.backup().display()));
        }
    }
    printer.note("next: aistack apparmor load");
    Ok(Exit::Done)
}

fn keep(context: &Context, chosen: &[&Source]) -> Result<Exit, CliError> {
    let mut kept = Vec::new();
    for source in chosen {
        let text = source.read()?;
        if source.edition(text.as_deref()).is_old() {
            if !context.globals.dry_run {
                source.keep()?;
            }
            kept.push(source.name.as_str());
        }
    }
    let printer = context.printer;
    printer.document(json!({"kept": kept, "dry_run": context.globals.dry_run}))?;
    if kept.is_empty() {
        printer.data("nothing to do: no default has changed\n")?;
    } else {
        let names = kept.join(", ");
        printer.data(&format!(
            "kept as is: {names}; you will see a notice when the default changes again\n"
        ))?;
    }
    Ok(Exit::Done)
}
