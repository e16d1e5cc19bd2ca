//! `aistack help [COMMAND|exit-codes]`.

use clap::CommandFactory;
use serde_json::json;

use crate::args::{Cli, HelpArgs};
use crate::error::CliError;
use crate::exit::Exit;
use crate::run::Context;
use crate::ui::Table;

pub(super) const EXIT_CODES: &str = "exit-codes";

pub(super) fn run(context: &Context, args: &HelpArgs) -> Result<Exit, CliError> {
    let mut command = Cli::command();
    command.build();
    let text = match args.topic.as_deref() {
        None => command.render_long_help().to_string(),
        Some(EXIT_CODES) => {
            context.printer.document(json!({"exit_codes": codes()}))?;
            context.printer.table(&exit_codes())?;
            return Ok(Exit::Done);
        }
        Some(name) => match command.find_subcommand_mut(name) {
            Some(verb) => verb.render_long_help().to_string(),
            None => {
                return Err(
                    CliError::new(Exit::Usage, format!("there is no help on `{name}`"))
                        .next("aistack help"),
                );
            }
        },
    };
    context.printer.document(json!({"text": text}))?;
    context.printer.data(&text)?;
    Ok(Exit::Done)
}

fn codes() -> Vec<serde_json::Value> {
    Exit::ALL
        .iter()
        .map(|exit| json!({"code": exit.code(), "means": exit.meaning()}))
        .collect()
}

fn exit_codes() -> Table {
    let mut table = Table::new(&["CODE", "MEANS"]);
    for exit in Exit::ALL {
        table.text([&exit.code().to_string(), exit.meaning()]);
    }
    table
}
