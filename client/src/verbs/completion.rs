//! `aistack completion SHELL`.

use clap::builder::PossibleValuesParser;
use clap::{Arg, Command, CommandFactory};
use clap_complete::Shell;
use serde_json::json;

use crate::args::{Cli, CompletionArgs};
use crate::catalog::Catalog;
use crate::error::CliError;
use crate::exit::Exit;
use crate::keys;
use crate::run::Context;
use crate::verbs::help::EXIT_CODES;

pub(super) fn run(context: &Context, args: &CompletionArgs) -> Result<Exit, CliError> {
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

/// The command with the names of services, keys and topics where the shell may offer them. Only
/// here: the command itself answers a name that it does not know with the nearest one.
fn with_names(command: Command) -> Command {
    let catalog = Catalog::embedded();
    let services: Vec<String> = catalog.names().into_iter().map(str::to_owned).collect();
    let verbs = command.get_subcommands();
    let verbs: Vec<String> = verbs.map(|verb| verb.get_name().to_owned()).collect();
    let mut topics = verbs.clone();
    topics.push(EXIT_CODES.to_owned());
    let keys = keys(&catalog);
    let secrets: Vec<String> = keys
        .iter()
        .filter(|key| catalog.is_secret(key))
        .cloned()
        .collect();
    let offer = |verb: &str, argument: Arg| match (argument.get_id().as_str(), verb) {
        ("services" | "offered", _) => {
            argument.value_parser(PossibleValuesParser::new(services.clone()))
        }
        ("topic", _) => argument.value_parser(PossibleValuesParser::new(topics.clone())),
        ("key", "secrets") => argument.value_parser(PossibleValuesParser::new(secrets.clone())),
        ("key", "config") => argument.value_parser(PossibleValuesParser::new(keys.clone())),
        _ => argument,
    };
    verbs.iter().fold(command, |command, name| {
        command.mut_subcommand(name, |verb| {
            let inner = verb.get_subcommands();
            let inner: Vec<String> = inner.map(|verb| verb.get_name().to_owned()).collect();
            let verb = verb.mut_args(|argument| offer(name, argument));
            inner.iter().fold(verb, |verb, inner| {
                verb.mut_subcommand(inner, |verb| {
                    verb.mut_args(|argument| offer(name, argument))
                })
            })
        })
    })
}

/// Keys of every manifest that the catalog can lead to, in order.
fn keys(catalog: &Catalog) -> Vec<String> {
    let mut keys: Vec<String> = keys::BASE.iter().map(|base| base.key.to_owned()).collect();
    keys.extend(
        catalog
            .port_keys()
            .into_iter()
            .map(|(key, _)| key.to_owned()),
    );
    for entry in catalog.entries() {
        keys.extend(entry.settings.iter().map(|setting| setting.key.clone()));
        keys.extend(entry.secrets.iter().map(|secret| secret.key.clone()));
        keys.push(entry.image_key());
    }
    keys.sort();
    keys.dedup();
    keys
}

/// What the generator leaves out for fish: the values of arguments that are no flags.
fn fish_names(command: &Command) -> String {
    let mut lines = String::new();
    for verb in command.get_subcommands() {
        for called in std::iter::once(verb.get_name()).chain(verb.get_visible_aliases()) {
            let using = format!("__fish_aistack_using_subcommand {called}");
            lines.push_str(&fish_line(&using, verb));
            for inner in verb.get_subcommands() {
                let name = inner.get_name();
                let using = format!("{using}; and __fish_seen_subcommand_from {name}");
                lines.push_str(&fish_line(&using, inner));
            }
        }
    }
    lines
}

/// The names that one verb's arguments may be; empty where there are none.
fn fish_line(using: &str, verb: &Command) -> String {
    let names: Vec<String> = verb
        .get_positionals()
        .flat_map(Arg::get_possible_values)
        .map(|value| value.get_name().to_owned())
        .collect();
    if names.is_empty() {
        return String::new();
    }
    let names = names.join(" ");
    format!("complete -c aistack -n \"{using}\" -f -a \"{names}\"\n")
}
