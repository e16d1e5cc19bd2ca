//! `aistack` alone: where things stand, and the next command.

use serde_json::json;

use crate::engine::Container;
use crate::error::CliError;
use crate::exit::Exit;
use crate::plan::State;
use crate::run::{Context, Session};
use crate::ui::Table;

pub(super) async fn run(context: &Context) -> Result<Exit, CliError> {
    let (state, next) = where_it_stands(context).await.unwrap_or_else(|failure| {
        let next = failure.next.unwrap_or_else(|| "aistack whoami".to_owned());
        (failure.what, next)
    });
    let printer = context.printer;
    printer.document(json!({"state": state, "next": next}))?;
    printer.data(&format!("{state}\nnext: {next}\n\n"))?;
    printer.table(&verbs())?;
    printer.data("\n`aistack help` shows all commands\n")?;
    Ok(Exit::Done)
}

async fn where_it_stands(context: &Context) -> Result<(String, String), CliError> {
    let session = Session::open(context).await?;
    let containers = session.engine.list().await?;
    let manifest = session.manifest()?.is_some();
    let (what, next) = summary(manifest, &containers);
    Ok((format!("{}: {what}", session.grant.name), next.to_owned()))
}

fn summary(manifest: bool, containers: &[Container]) -> (String, &'static str) {
    let healthy = containers
        .iter()
        .filter(|container| container.plan_state == State::Healthy)
        .count();
    match (manifest, containers.len()) {
        (false, 0) => ("no stack yet".to_owned(), "aistack init"),
        (_, 0) => ("set up, nothing deployed".to_owned(), "aistack deploy"),
        (_, all) if healthy == all => (format!("{all} services, all healthy"), "aistack status"),
        (_, all) => (
            format!("{healthy} of {all} services healthy"),
            "aistack status",
        ),
    }
}

fn verbs() -> Table {
    let mut table = Table::plain();
    for (verb, what) in [
        ("init", "choose ports, generate secrets, write the .env"),
        ("plan", "what deploy would do"),
        ("deploy", "create the stack, or apply changes"),
        ("status", "show what runs and where to open it"),
        ("logs", "what the services write"),
        ("restart", "stop and start services"),
        ("validate", "check that each service works for its users"),
        ("doctor", "find problems and how to fix them"),
        ("destroy", "remove the containers; your data stays"),
    ] {
        table.text([&format!("  aistack {verb}"), what]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_command_follows_from_the_state() {
        assert_eq!(summary(false, &[]).1, "aistack init");
        assert_eq!(summary(true, &[]).1, "aistack deploy");
    }
}
