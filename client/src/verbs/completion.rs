//! `aistack completion SHELL`.

use clap::CommandFactory;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::run::Context;
use crate::verbs::args::{Cli, CompletionArgs};

pub(super) fn run(context: &Context, args: &CompletionArgs) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "aistack", &mut script);
    context.printer.raw(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}
