//! `config`, `secrets`, `lock`, `url`, `open`.

use clap::{Args, Subcommand};

/// `config`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  aistack config list
  aistack config set N8N_PORT 5190
  aistack config set OPENAI_API_KEY --secret-file key.txt
  pass show openai | aistack config set OPENAI_API_KEY --secret-file -
  aistack config explain LITELLM_MASTER_KEY")]
pub struct ConfigArgs {
    /// What to do
    #[command(subcommand)]
    pub verb: ConfigVerb,
}

/// Verbs of `config`.
#[derive(Debug, Clone, Subcommand)]
pub enum ConfigVerb {
    /// One value in force
    Get {
        /// Its key
        #[arg(value_name = "KEY")]
        key: String,
        /// Show a secret, on a terminal only
        #[arg(long)]
        show_secrets: bool,
    },
    /// Set a value in the .env; `aistack deploy` then applies it
    Set {
        /// Its key
        #[arg(value_name = "KEY")]
        key: String,
        /// The value; a secret comes from a file instead
        #[arg(value_name = "VALUE", required_unless_present = "secret_file")]
        value: Option<String>,
        /// Take the value from a file, or from standard input with -
        #[arg(long, value_name = "FILE", conflicts_with = "value")]
        secret_file: Option<String>,
        /// Also change a secret that existing data depends on
        #[arg(long)]
        force: bool,
    },
    /// Reset a value to what init would write; a secret is generated again
    Unset {
        /// Its key
        #[arg(value_name = "KEY")]
        key: String,
    },
    /// Every value in force and where it comes from
    List {
        /// Show secrets, on a terminal only
        #[arg(long)]
        show_secrets: bool,
    },
    /// One key: value, source, what it is for, who uses it, what a change means
    Explain {
        /// The key
        #[arg(value_name = "KEY")]
        key: String,
    },
}

/// `secrets`.
#[derive(Debug, Clone, Args)]
pub struct SecretsArgs {
    /// What to do
    #[command(subcommand)]
    pub verb: SecretsVerb,
}

/// Verbs of `secrets`.
#[derive(Debug, Clone, Subcommand)]
pub enum SecretsVerb {
    /// Every secret of your stack by service, without values
    List,
    /// One secret, on a terminal
    Show {
        /// Its key
        #[arg(value_name = "KEY")]
        key: String,
        /// Also print to a pipe or a file
        #[arg(long)]
        force: bool,
    },
}

/// `lock`.
#[derive(Debug, Clone, Args)]
pub struct LockArgs {
    /// What to do
    #[command(subcommand)]
    pub verb: LockVerb,
}

/// Verbs of `lock`.
#[derive(Debug, Clone, Subcommand)]
pub enum LockVerb {
    /// Whether a run changes the stack, which one, since when; exit code 8 when one does
    Status,
    /// End the run that holds the lock, if it hangs
    Release {
        /// Also end a run that is still alive
        #[arg(long)]
        force: bool,
    },
}

/// `url`.
#[derive(Debug, Clone, Default, Args)]
pub struct UrlArgs {
    /// Services; all when none is named
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
    /// Where other services of the stack find it
    #[arg(long)]
    pub internal: bool,
}

/// `open`.
#[derive(Debug, Clone, Args)]
pub struct OpenArgs {
    /// The service
    #[arg(value_name = "SERVICE", id = "services")]
    pub service: String,
}
