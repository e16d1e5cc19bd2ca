//! What the command line may say, and nothing of what is done about it.

mod apparmor;
mod images;
mod manifest;
mod running;
mod services;
mod tls;
mod volume;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Style, Styles};
use clap::{Args, ColorChoice, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

pub use apparmor::{AppArmorArgs, AppArmorVerb, ProfilesArgs};
pub use images::{ImagesArgs, ImagesVerb, LockImagesArgs, UnlockImagesArgs};
pub use manifest::{
    ConfigArgs, ConfigVerb, LockArgs, LockVerb, OpenArgs, SecretsArgs, SecretsVerb, UrlArgs,
};
pub use running::{ExecArgs, RestartArgs, ShellArgs};
pub use services::{AddArgs, CatalogArgs, RemoveArgs};
pub use tls::{RenewArgs, StagingArgs, Switch, TlsArgs, TlsVerb};
pub use volume::{UnmountArgs, VolumeArgs, VolumeVerb};

use crate::catalog::Preset;
use crate::ui::{Mode, Span, When};

const STYLES: Styles = Styles::styled()
    .header(Style::new().bold())
    .usage(Style::new().bold())
    .literal(AnsiColor::Cyan.on_default())
    .error(AnsiColor::Red.on_default());

/// Deploy and run your own AI stack on a shared host, without root.
#[derive(Debug, Parser)]
#[command(name = "aistack", version, styles = STYLES, disable_help_subcommand = true)]
#[command(after_help = "Exit codes: `aistack help exit-codes`")]
#[command(after_long_help = "\
Examples:
  aistack init                  choose ports, make secrets, write BASE_DIR/config/.env
  aistack deploy                make the stack, or change what differs
  aistack status                what runs, and where to open it
  aistack logs -f n8n           follow one service
  N8N_PORT=5190 aistack deploy  a variable of the environment wins over the .env

Exit codes: `aistack help exit-codes`")]
pub struct Cli {
    /// Flags of all verbs.
    #[command(flatten)]
    pub globals: Globals,
    /// What to do; without one it is told where things stand.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Flags of all verbs.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Flags of all commands")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one flag of the command line"
)]
pub struct Globals {
    /// Your base directory; must be the one that the policy gives you
    #[arg(short = 'C', long, global = true, value_name = "BASE_DIR")]
    pub dir: Option<PathBuf>,
    /// Print one JSON document, errors too; logs print an object a line
    #[arg(long, global = true)]
    pub json: bool,
    /// When to use colour
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        value_enum,
        default_value_t,
        hide_default_value = true
    )]
    pub color: When,
    /// The same as --color=never
    #[arg(long, global = true)]
    pub no_color: bool,
    /// How progress is shown
    #[arg(
        long,
        global = true,
        value_name = "MODE",
        value_enum,
        default_value_t,
        hide_default_value = true
    )]
    pub progress: ProgressMode,
    /// Say only what goes wrong
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Say more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Answer every question with yes
    #[arg(short, long, global = true)]
    pub yes: bool,
    /// Never ask; also AISTACK_NO_INPUT
    #[arg(long, global = true)]
    pub no_input: bool,
    /// Give up after this time, e.g. 90s or 15m
    #[arg(long, global = true, value_name = "TIME")]
    pub timeout: Option<Span>,
    /// Wait for another run to end, 10m unless told otherwise
    #[arg(long, global = true, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = "10m")]
    pub lock_wait: Option<Span>,
    /// Say what would be done and change nothing
    #[arg(long, global = true)]
    pub dry_run: bool,
}

impl Cli {
    /// Reads a command line. What clap prints itself (help, version, wrong usage) heeds `--color`
    /// and `--no-color` too, wherever they stand.
    ///
    /// # Errors
    /// What clap is to print, and the code to end with.
    pub fn read(arguments: &[OsString]) -> Result<Self, clap::Error> {
        let command = Self::command().color(colour_of(arguments));
        let matches = command.try_get_matches_from(arguments)?;
        Self::from_arg_matches(&matches)
    }
}

/// The colour that a command line asks for, before it is known to be right.
fn colour_of(arguments: &[OsString]) -> ColorChoice {
    let words: Vec<&str> = arguments
        .iter()
        .filter_map(|argument| argument.to_str())
        .take_while(|&argument| argument != "--")
        .collect();
    let mut choice = ColorChoice::Auto;
    for (at, &word) in words.iter().enumerate() {
        let value = match word {
            "--no-color" => return ColorChoice::Never,
            "--color" => words.get(at + 1).copied(),
            _ => word.strip_prefix("--color="),
        };
        match value {
            Some("never") => choice = ColorChoice::Never,
            Some("always") => choice = ColorChoice::Always,
            _ => {}
        }
    }
    choice
}

impl Globals {
    /// Whether questions are off, by flag or environment.
    #[must_use]
    pub fn no_input(&self) -> bool {
        self.no_input || std::env::var_os("AISTACK_NO_INPUT").is_some_and(|value| !value.is_empty())
    }

    /// When to use colour, all flags considered.
    #[must_use]
    pub fn colour(&self) -> When {
        if self.no_color {
            When::Never
        } else {
            self.color
        }
    }
}

/// `--progress`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ProgressMode {
    /// A live table on a terminal, plain lines elsewhere
    #[default]
    Auto,
    /// A live table
    Tty,
    /// A line for each change
    Plain,
    /// One JSON object a line for each change, on standard error
    Json,
    /// Nothing
    Quiet,
}

impl ProgressMode {
    /// The mode; `None` for auto.
    #[must_use]
    pub fn mode(self) -> Option<Mode> {
        match self {
            Self::Auto => None,
            Self::Tty => Some(Mode::Tty),
            Self::Plain => Some(Mode::Plain),
            Self::Json => Some(Mode::Json),
            Self::Quiet => Some(Mode::Quiet),
        }
    }
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Mount your volume, choose ports, make every secret, write BASE_DIR/config/.env
    Init(InitArgs),
    /// What the host's policy gives you
    Whoami,
    /// What is wrong, what it means and what to do about it; changes nothing
    Doctor,
    /// What deploy would do
    Plan(PlanArgs),
    /// Make the stack, or change what differs; a second run changes nothing
    #[command(visible_alias = "up")]
    Deploy(DeployArgs),
    /// What runs, and where to open it
    #[command(visible_alias = "ps")]
    Status(StatusArgs),
    /// What the services write
    Logs(LogsArgs),
    /// Add services: of the catalog, or of a file of your own
    Add(AddArgs),
    /// Take services out of your stack; their data stays
    Remove(RemoveArgs),
    /// The services that there are
    Catalog(CatalogArgs),
    /// Start stopped services with what they need, and wait until they are healthy
    Start(ServicesArgs),
    /// Stop services; they stay stopped, also after a reboot
    Stop(ServicesArgs),
    /// Stop and start services, and wait until they are healthy
    Restart(RestartArgs),
    /// Run a command in a service's container
    Exec(ExecArgs),
    /// A shell in a service's container
    Shell(ShellArgs),
    /// Where services are
    Url(UrlArgs),
    /// Open a service in your browser
    Open(OpenArgs),
    /// Values of your .env: show, set, explain
    Config(ConfigArgs),
    /// The secrets of your stack
    Secrets(SecretsArgs),
    /// Which image each service runs, and holding on to it
    Images(ImagesArgs),
    /// Which run changes the stack at the moment
    Lock(LockArgs),
    /// Ask each service what its users would ask
    Validate(ServicesArgs),
    /// Certificates of your sites: how they stand, new ones, the test authority, your own root
    Tls(TlsArgs),
    /// Remove the containers and the network; your data stays
    Destroy(DestroyArgs),
    /// Your volume: mount it, see it, grow it, take it off
    Volume(VolumeArgs),
    /// Give the files of services to the users they run as, e.g. after you copied some in
    Chown(ServicesArgs),
    /// Your AppArmor profiles, which you may edit: check, load, compare, take back
    #[command(name = "apparmor")]
    AppArmor(AppArmorArgs),
    /// Completions for your shell
    Completion(CompletionArgs),
    /// Manual pages
    Man(ManArgs),
    /// Versions of the client and the helper
    Version,
    /// Help for a command, or a topic: exit-codes
    Help(HelpArgs),
}

impl Command {
    /// Whether the verb changes the stack.
    #[must_use]
    pub fn changes(&self) -> bool {
        matches!(
            self,
            Self::Init(_)
                | Self::Deploy(_)
                | Self::Restart(_)
                | Self::Start(_)
                | Self::Stop(_)
                | Self::Add(_)
                | Self::Remove(_)
                | Self::Destroy(_)
                | Self::Tls(TlsArgs {
                    verb: TlsVerb::Renew(_) | TlsVerb::Staging(_)
                })
                | Self::Volume(VolumeArgs {
                    verb: VolumeVerb::Unmount(_)
                })
        )
    }
}

/// Services by name.
#[derive(Debug, Clone, Default, Args)]
pub struct ServicesArgs {
    /// Services; all when none is named
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}

/// `init`.
#[derive(Debug, Clone, Default, Args)]
#[command(after_help = "\
Examples:
  aistack init                            asks on a terminal, takes the defaults elsewhere
  aistack init --set N8N_PORT=5190        with a port of your own
  aistack init --preset minimal           the least that is of use; also standard, full
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
    /// Which services: the least that is of use, what most want (in a new .env unless told
    /// otherwise), or all that need no decision of their own
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
    /// Ask again although there is a .env
    #[arg(long)]
    pub reconfigure: bool,
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
    /// Exit with 6 when there are changes
    #[arg(long)]
    pub exit_code: bool,
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
    /// Make every container anew
    #[arg(long)]
    pub recreate: bool,
    /// Do not ask the services at the end
    #[arg(long)]
    pub skip_validate: bool,
}

/// `status`.
#[derive(Debug, Clone, Default, Args)]
pub struct StatusArgs {
    /// Services; all when none is named
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
    /// With CPU and memory; takes two seconds
    #[arg(long)]
    pub wide: bool,
}

/// `logs`.
#[derive(Debug, Clone, Default, Args)]
pub struct LogsArgs {
    /// Services; all when none is named
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
    /// Stay and wait for more
    #[arg(short, long)]
    pub follow: bool,
    /// Only the last lines of each service
    #[arg(short = 'n', long, value_name = "LINES")]
    pub tail: Option<u32>,
    /// Not older than this: 10m, or 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Not younger than this
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// With the time of each line
    #[arg(short, long)]
    pub timestamps: bool,
    /// Only lines that match this regular expression, e.g. 'error|warn' or '(?i)error'
    #[arg(long, value_name = "RE")]
    pub grep: Option<String>,
    /// Without the service's name in front
    #[arg(long)]
    pub no_log_prefix: bool,
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

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    let legal = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    if key.is_empty() || !key.chars().all(legal) {
        return Err("a key has upper-case letters, digits and underscores".to_owned());
    }
    Ok((key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_may_stand_before_and_after_the_verb() {
        let cli = Cli::try_parse_from(["aistack", "--json", "deploy", "n8n", "-y", "--lock-wait"]);
        let cli = cli.unwrap();
        assert!(cli.globals.json && cli.globals.yes);
        assert_eq!(cli.globals.lock_wait.unwrap().0.as_secs(), 600);
        let Some(Command::Deploy(args)) = cli.command else {
            panic!("no deploy");
        };
        assert_eq!(args.services, ["n8n"]);
    }

    #[test]
    fn colour_is_found_wherever_it_stands_and_not_behind_two_dashes() {
        let choice = |line: &str| {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            colour_of(&words)
        };
        assert_eq!(
            choice("aistack deploy --color never -h"),
            ColorChoice::Never
        );
        assert_eq!(choice("aistack --color=always -h"), ColorChoice::Always);
        assert_eq!(choice("aistack -h --no-color"), ColorChoice::Never);
        assert_eq!(
            choice("aistack --color=always --no-color"),
            ColorChoice::Never
        );
        assert_eq!(choice("aistack -h"), ColorChoice::Auto);
        assert_eq!(choice("aistack logs -- --no-color"), ColorChoice::Auto);
    }

    #[test]
    fn aliases_and_key_value_pairs() {
        assert!(matches!(
            Cli::try_parse_from(["aistack", "ps"]).unwrap().command,
            Some(Command::Status(_))
        ));
        assert!(Cli::try_parse_from(["aistack", "init", "--set", "n8n=1"]).is_err());
        assert!(Cli::try_parse_from(["aistack", "init", "--set", "N8N_PORT"]).is_err());
        assert!(Cli::try_parse_from(["aistack", "down"]).is_err());
    }
}
