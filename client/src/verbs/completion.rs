//! `aistack completion SHELL`.

use clap::builder::PossibleValuesParser;
use clap::{Arg, Command, CommandFactory};
use clap_complete::Shell;
use serde_json::json;

use crate::catalog::Catalog;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::run::Context;
use crate::verbs::args::{Cli, CompletionArgs};
use crate::verbs::help::EXIT_CODES;

pub(super) fn run(context: &Context, args: &CompletionArgs) -> Result<Exit, Failure> {
    let mut command = with_names(Cli::command());
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "aistack", &mut script);
    let mut script = String::from_utf8_lossy(&script).into_owned();
    if args.shell == Shell::Fish {
        script.push_str(&fish_names(&command));
    }
    context
        .printer
        .document(json!({"shell": args.shell.to_string(), "text": script}))?;
    context.printer.data(&script)?;
    Ok(Exit::Done)
}

/// The command with the names of services and topics where the shell may offer them. Only here: the
/// command itself answers a name that it does not know with the nearest one.
fn with_names(command: Command) -> Command {
    let catalog = Catalog::embedded();
    let services: Vec<String> = catalog.names().into_iter().map(str::to_owned).collect();
    let verbs = command.get_subcommands();
    let verbs: Vec<String> = verbs.map(|verb| verb.get_name().to_owned()).collect();
    let mut topics = verbs.clone();
    topics.push(EXIT_CODES.to_owned());
    let offer = |argument: Arg| match argument.get_id().as_str() {
        "services" | "offered" => {
            argument.value_parser(PossibleValuesParser::new(services.clone()))
        }
        "topic" => argument.value_parser(PossibleValuesParser::new(topics.clone())),
        _ => argument,
    };
    verbs.iter().fold(command, |command, name| {
        command.mut_subcommand(name, |verb| verb.mut_args(offer))
    })
}

/// What the generator leaves out for fish: the values of arguments that are no flags.
fn fish_names(command: &Command) -> String {
    let mut lines = String::new();
    for verb in command.get_subcommands() {
        let names: Vec<String> = verb
            .get_positionals()
            .flat_map(Arg::get_possible_values)
            .map(|value| value.get_name().to_owned())
            .collect();
        if names.is_empty() {
            continue;
        }
        for called in std::iter::once(verb.get_name()).chain(verb.get_visible_aliases()) {
            let line = format!(
                "complete -c aistack -n \"__fish_aistack_using_subcommand {called}\" -f -a \"{}\"\n",
                names.join(" ")
            );
            lines.push_str(&line);
        }
    }
    lines
}
