//! `aistack man`: manual pages, made from the same description as the help.

use clap::CommandFactory;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use serde_json::json;

use crate::args::{Cli, ManArgs};
use crate::error::CliError;
use crate::exit::Exit;
use crate::run::Context;

pub(super) fn run(context: &Context, args: &ManArgs) -> Result<Exit, CliError> {
    let Some(directory) = &args.to else {
        let page = main_page()?;
        let page = String::from_utf8_lossy(&page);
        context.printer.document(json!({"text": page}))?;
        context.printer.data(&page)?;
        return Ok(Exit::Done);
    };
    clap_mangen::generate_to(Cli::command(), directory)
        .and_then(|()| std::fs::write(directory.join("aistack.1"), main_page()?))
        .map_err(|error| CliError::io("write the manual pages to", directory, &error))?;
    context.printer.document(json!({"written_to": directory}))?;
    context
        .printer
        .note(&format!("manual pages are in {}", directory.display()));
    Ok(Exit::Done)
}

/// The page of the command itself, with what its exit codes mean.
fn main_page() -> std::io::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(Cli::command()).render(&mut page)?;
    let mut codes = Roff::new();
    codes.control("SH", ["EXIT STATUS"]);
    for exit in Exit::ALL {
        codes.control("TP", []);
        codes.text([bold(exit.code().to_string())]);
        codes.text([roman(exit.meaning())]);
    }
    codes.to_writer(&mut page)?;
    Ok(page)
}
