//! `completion`, `man` and `help`.

use std::path::PathBuf;

use clap::Args;

/// `completion`.
#[derive(Debug, Clone, Args)]
pub struct CompletionArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// `man`.
#[derive(Debug, Clone, Default, Args)]
pub struct ManArgs {
    /// Write a page for each command here instead of the first one to standard output
    #[arg(long = "to", value_name = "DIR")]
    pub to: Option<PathBuf>,
}

/// `help`.
#[derive(Debug, Clone, Default, Args)]
pub struct HelpArgs {
    /// A command or a topic
    #[arg(value_name = "COMMAND")]
    pub topic: Option<String>,
}
