//! `init`, `plan`, `deploy` and `destroy`.

use clap::{Args, ValueEnum};

use crate::preset::Preset;

/// `init`.
#[derive(Debug, Clone, Default, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one flag of the command line"
)]
#[command(after_help = "\
Examples:
  aistack init                            asks on a terminal, takes the defaults elsewhere
  aistack init --set N8N_PORT=5190        with a port of your own
  aistack init --preset minimal           a minimal useful set; also standard, full
  aistack init --services n8n,open-webui  these, and what they need
  aistack init --vector-db none           without a vector database
  aistack init --secret-file OPENAI_API_KEY=key.txt")]
pub struct InitArgs {
    /// Set a value of the .env; not for secrets, which others could read in the process list
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub set: Vec<(String, String)>,
    /// Set a secret to the content of a file
    #[arg(long, value_name = "KEY=FILE", value_parser = key_value)]
    pub secret_file: Vec<(String, String)>,
    /// Which services: a minimal useful set, a standard one (the default of a new .env),
    /// or all that need no further decision
    #[arg(long, value_name = "NAME", value_enum)]
    pub preset: Option<Preset>,
    /// Services by name, with commas; what they need comes with them. With --preset in addition to
    /// it
    #[arg(long, value_name = "SERVICES", value_delimiter = ',')]
    pub services: Vec<String>,
    /// The vector database, the same as --set VECTOR_DB=NAME
    #[arg(long, value_name = "NAME")]
    pub vector_db: Option<String>,
    /// The domain, the same as --set DOMAIN_NAME=NAME
    #[arg(long, value_name = "NAME")]
    pub domain: Option<String>,
    /// Also write variables of your shell's environment, e.g. N8N_PORT, which otherwise hold for
    /// one run
    #[arg(long)]
    pub from_env: bool,
    /// Ask again even if there is a .env
    #[arg(long)]
    pub reconfigure: bool,
    /// Also change a secret that existing data depends on
    #[arg(long)]
    pub force: bool,
    /// Print the .env without its secrets and write nothing
    #[arg(long)]
    pub print: bool,
}

/// `plan`.
#[derive(Debug, Clone, Default, Args)]
pub struct PlanArgs {
    /// Services; all when none is named
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
    /// Exit with code 6 if there are changes
    #[arg(long)]
    pub exit_code: bool,
    /// Show what `deploy --force` would do
    #[arg(long)]
    pub force: bool,
}

/// `--pull`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Pull {
    /// Images that are not on this host
    #[default]
    Missing,
    /// Every image that is needed for a change
    Always,
    /// No image
    Never,
}

/// `deploy`.
#[derive(Debug, Clone, Default, Args)]
#[command(after_help = "\
Examples:
  aistack deploy                  everything
  aistack deploy n8n              n8n and what it needs
  aistack deploy --dry-run        the same as `aistack plan`
  aistack deploy --progress json  events for programs, on standard error")]
pub struct DeployArgs {
    /// Services, with what they need; all when none is named
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
    /// Which images to pull
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    pub pull: Pull,
    /// Recreate every container
    #[arg(long)]
    pub recreate: bool,
    /// Do not check the services at the end
    #[arg(long)]
    pub skip_validate: bool,
    /// Take secrets that data depends on from your shell's environment, too, against the .env
    #[arg(long)]
    pub force: bool,
}

/// `destroy`.
#[derive(Debug, Clone, Default, Args)]
pub struct DestroyArgs {
    /// Remove data, logs, configuration and the .env as well, and unmount the volume
    #[arg(long)]
    pub purge: bool,
    /// Your tenant's name, instead of typing it, for --purge
    #[arg(long, value_name = "NAME")]
    pub confirm: Option<String>,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    let legal = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    if key.is_empty() || !key.chars().all(legal) {
        return Err("a key has upper-case letters, digits and underscores".to_owned());
    }
    Ok((key.to_owned(), value.to_owned()))
}
