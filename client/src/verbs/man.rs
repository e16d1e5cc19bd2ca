//! `aistack man`: manual pages, made from the same description as the help.

use clap::CommandFactory;
use clap_mangen::Man;
use serde_json::json;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::run::Context;
use crate::verbs::args::{Cli, ManArgs};

pub(super) fn run(context: &Context, args: &ManArgs) -> Result<Exit, Failure> {
    let Some(directory) = &args.to else {
        let mut page = Vec::new();
        Man::new(Cli::command()).render(&mut page)?;
        let page = String::from_utf8_lossy(&page);
        context.printer.document(json!({"text": page}))?;
        context.printer.data(&page)?;
        return Ok(Exit::Done);
    };
    clap_mangen::generate_to(Cli::command(), directory)
        .map_err(|error| Failure::io("write the manual pages to", directory, &error))?;
    context.printer.document(json!({"written_to": directory}))?;
    context
        .printer
        .note(&format!("manual pages are in {}", directory.display()));
    Ok(Exit::Done)
}
