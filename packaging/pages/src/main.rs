//! Writes the manual pages and shell completions of the package `aistack-helper`: the daemons'
//! command lines from their own description, the rest from the Markdown beside it. A program of its
//! own, so that the daemons do not carry it.

mod markdown;

use std::error::Error;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use aistack_helper::cli::{Engine, Helper, Mount};
use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;
use roff::{Roff, bold, roman};

const DAEMONS: &str = "8";
const FILES: &str = "5";
const MANUAL: &str = "System Administration";
const SOURCE: &str = concat!("aistack ", env!("CARGO_PKG_VERSION"));

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(sources), Some(target), None) =
        (arguments.next(), arguments.next(), arguments.next())
    else {
        return Err("usage: aistack-pages REPOSITORY DIRECTORY".into());
    };
    for directory in ["man5", "man8", "completions"] {
        fs::create_dir_all(target.join(directory))?;
    }
    for command in [Helper::command(), Mount::command(), Engine::command()] {
        let name = command.get_name().to_owned();
        let more = fs::read_to_string(sources.join(format!("packaging/man/{name}.md")))?;
        command_pages(
            command.disable_help_subcommand(true),
            &more,
            &target.join("man8"),
        )?;
    }
    let policy = fs::read_to_string(sources.join("docs/policy.md"))?;
    policy_page(&policy, &target.join("man5"))?;
    for (shell, file) in [
        (Shell::Bash, "aistack-helper"),
        (Shell::Zsh, "_aistack-helper"),
        (Shell::Fish, "aistack-helper.fish"),
    ] {
        let mut out = File::create(target.join("completions").join(file))?;
        clap_complete::generate(shell, &mut Helper::command(), "aistack-helper", &mut out);
    }
    Ok(())
}

/// One page for the command, with `more` at its end, and one for each subcommand.
fn command_pages(mut command: Command, more: &str, directory: &Path) -> Result<(), Box<dyn Error>> {
    command.build();
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        command_pages(
            sub.clone().version(env!("CARGO_PKG_VERSION")),
            "",
            directory,
        )?;
    }
    let name = command
        .get_display_name()
        .unwrap_or(command.get_name())
        .to_owned();
    let page = Man::new(command)
        .title(name.to_uppercase())
        .section(DAEMONS)
        .source(SOURCE)
        .manual(MANUAL);
    let mut out = File::create(directory.join(format!("{name}.{DAEMONS}")))?;
    page.render(&mut out)?;
    markdown::as_roff(more).to_writer(&mut out)?;
    Ok(())
}

fn policy_page(text: &str, directory: &Path) -> Result<(), Box<dyn Error>> {
    let mut out = File::create(directory.join(format!("aistack-policy.toml.{FILES}")))?;
    let mut page = Roff::new();
    page.control(
        "TH",
        [
            "AISTACK\\-POLICY.TOML",
            FILES,
            "\"\"",
            SOURCE,
            "File Formats",
        ],
    )
    .control("SH", ["NAME"])
    .text([roman(
        "aistack-policy.toml - who may have an aistack on this host, and what",
    )])
    .control("SH", ["DESCRIPTION"])
    .extend([markdown::as_roff(text)]);
    page.control("SH", ["SEE", "ALSO"]).text([
        bold("aistack-helper"),
        roman("(8), "),
        bold("aistack-engine"),
        roman("(8)"),
    ]);
    page.to_writer(&mut out)?;
    Ok(())
}
