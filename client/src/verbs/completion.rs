//! `aistack completion SHELL`.

use clap::CommandFactory;
use serde_json::json;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::run::Context;
use crate::verbs::args::{Cli, CompletionArgs};

pub(super) fn run(context: &Context, args: &CompletionArgs) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "aistack", &mut script);
    let script = String::from_utf8_lossy(&script);
    context
        .printer
        .document(json!({"shell": args.shell.to_string(), "text": script}))?;
    context.printer.data(&script)?;
    Ok(Exit::Done)
}
