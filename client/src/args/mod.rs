//! What the command line may say, and nothing of what is done about it.

mod about;
mod apparmor;
mod globals;
mod images;
mod look;
mod manifest;
mod running;
mod services;
mod stack;
mod tls;
mod volume;

use std::ffi::OsString;

use clap::builder::styling::{AnsiColor, Style, Styles};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

pub use about::{CompletionArgs, HelpArgs, ManArgs};
pub use apparmor::{AppArmorArgs, AppArmorVerb, ProfilesArgs};
pub use globals::{Globals, Mode, ProgressMode, When};
pub use images::{ImagesArgs, ImagesVerb, LockImagesArgs, UnlockImagesArgs};
pub use look::{LogsArgs, StatusArgs};
pub use manifest::{
    ConfigArgs, ConfigVerb, LockArgs, LockVerb, OpenArgs, SecretsArgs, SecretsVerb, UrlArgs,
};
pub use running::{ExecArgs, RestartArgs, ShellArgs};
pub use services::{AddArgs, CatalogArgs, RemoveArgs};
pub use stack::{DeployArgs, DestroyArgs, InitArgs, PlanArgs, Pull};
pub use tls::{RenewArgs, StagingArgs, Switch, TlsArgs, TlsVerb};
pub use volume::{UnmountArgs, VolumeArgs, VolumeVerb};

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
  aistack init                  choose ports, generate secrets, write BASE_DIR/config/.env
  aistack deploy                create the stack, or apply changes
  aistack status                show what runs and where to open it
  aistack logs -f n8n           follow one service
  N8N_PORT=5190 aistack deploy  a variable of the environment wins over the .env

Exit codes: `aistack help exit-codes`")]
pub struct Cli {
    /// Flags of all verbs.
    #[command(flatten)]
    pub globals: Globals,
    /// What to do; without a command, show the state of the stack.
    #[command(subcommand)]
    pub command: Option<Command>,
}

impl Cli {
    /// Reads a command line. What clap prints itself (help, version, wrong usage) heeds `--color`
    /// and `--no-color` too, wherever they stand.
    ///
    /// # Errors
    /// What clap is to print, and the code to end with.
    pub fn read(arguments: &[OsString]) -> Result<Self, clap::Error> {
        let command = Self::command().color(globals::colour_of(arguments));
        let arguments = globals::with_lock_wait(arguments);
        let matches = command.try_get_matches_from(arguments)?;
        Self::from_arg_matches(&matches)
    }
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Mount your volume, choose ports, generate secrets, write BASE_DIR/config/.env
    Init(InitArgs),
    /// Show what the host's policy gives you
    Whoami,
    /// Find problems and show how to fix them; changes nothing
    Doctor,
    /// What deploy would do
    Plan(PlanArgs),
    /// Create the stack, or apply changes; a second run changes nothing
    #[command(visible_alias = "up")]
    Deploy(DeployArgs),
    /// Show what runs and where to open it
    #[command(visible_alias = "ps")]
    Status(StatusArgs),
    /// Show the logs of services
    Logs(LogsArgs),
    /// Add services from the catalog or from your own file
    Add(AddArgs),
    /// Remove services from your stack; their data stays
    Remove(RemoveArgs),
    /// List the services that you can deploy
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
    /// Show and lock the images that your services run
    Images(ImagesArgs),
    /// Show or end the run that holds the stack's lock
    Lock(LockArgs),
    /// Check that each service works for its users
    Validate(ServicesArgs),
    /// Certificates of your sites: status, renewal, staging, your own root
    Tls(TlsArgs),
    /// Remove the containers and the network; your data stays
    Destroy(DestroyArgs),
    /// Your volume: status, mount, grow, unmount
    Volume(VolumeArgs),
    /// Set the owners of service files, e.g. after you copied files in
    Chown(ServicesArgs),
    /// Your AppArmor profiles, which you may edit: check, load, compare, reset
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
    /// Whether the verb changes something that is there when it was interrupted: containers, the `.env`,
    /// the volume or what belongs to them.
    #[must_use]
    pub fn changes(&self) -> bool {
        match self {
            Self::Init(_)
            | Self::Deploy(_)
            | Self::Add(_)
            | Self::Remove(_)
            | Self::Start(_)
            | Self::Stop(_)
            | Self::Restart(_)
            | Self::Destroy(_)
            | Self::Chown(_) => true,
            Self::Config(args) => match args.verb {
                ConfigVerb::Set { .. } | ConfigVerb::Unset { .. } => true,
                ConfigVerb::Get { .. } | ConfigVerb::List { .. } | ConfigVerb::Explain { .. } => {
                    false
                }
            },
            Self::Images(args) => match args.verb {
                ImagesVerb::Lock(_) | ImagesVerb::Unlock(_) => true,
                ImagesVerb::List => false,
            },
            Self::Tls(args) => match args.verb {
                TlsVerb::Renew(_) | TlsVerb::Staging(_) => true,
                TlsVerb::Status | TlsVerb::Root => false,
            },
            Self::Volume(args) => match args.verb {
                VolumeVerb::Mount | VolumeVerb::Grow | VolumeVerb::Unmount(_) => true,
                VolumeVerb::Status => false,
            },
            Self::AppArmor(args) => match args.verb {
                AppArmorVerb::Load | AppArmorVerb::Reset(_) | AppArmorVerb::Keep(_) => true,
                AppArmorVerb::Check | AppArmorVerb::Diff => false,
            },
            Self::Whoami
            | Self::Doctor
            | Self::Plan(_)
            | Self::Status(_)
            | Self::Logs(_)
            | Self::Catalog(_)
            | Self::Exec(_)
            | Self::Shell(_)
            | Self::Url(_)
            | Self::Open(_)
            | Self::Secrets(_)
            | Self::Lock(_)
            | Self::Validate(_)
            | Self::Completion(_)
            | Self::Man(_)
            | Self::Version
            | Self::Help(_) => false,
        }
    }

    /// Whether the verb waits until services are up or down.
    #[must_use]
    pub fn waits_for_services(&self) -> bool {
        match self {
            Self::Deploy(_)
            | Self::Add(_)
            | Self::Remove(_)
            | Self::Start(_)
            | Self::Stop(_)
            | Self::Restart(_) => true,
            Self::Init(_)
            | Self::Whoami
            | Self::Doctor
            | Self::Plan(_)
            | Self::Status(_)
            | Self::Logs(_)
            | Self::Catalog(_)
            | Self::Exec(_)
            | Self::Shell(_)
            | Self::Url(_)
            | Self::Open(_)
            | Self::Config(_)
            | Self::Secrets(_)
            | Self::Images(_)
            | Self::Lock(_)
            | Self::Validate(_)
            | Self::Tls(_)
            | Self::Destroy(_)
            | Self::Volume(_)
            | Self::Chown(_)
            | Self::AppArmor(_)
            | Self::Completion(_)
            | Self::Man(_)
            | Self::Version
            | Self::Help(_) => false,
        }
    }
}

/// Services by name.
#[derive(Debug, Clone, Default, Args)]
pub struct ServicesArgs {
    /// Services; all when none is named
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
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
    fn whoever_interrupts_a_change_sees_what_runs() {
        let command = |line: &str| {
            let words = std::iter::once("aistack").chain(line.split(' '));
            let cli = Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{line}: {error}"));
            cli.command.unwrap()
        };
        for (line, changes, waits) in [
            ("init", true, false),
            ("deploy", true, true),
            ("restart", true, true),
            ("stop n8n", true, true),
            ("destroy", true, false),
            ("config set N8N_PORT 5190", true, false),
            ("config unset N8N_PORT", true, false),
            ("config get N8N_PORT", false, false),
            ("chown", true, false),
            ("images lock", true, false),
            ("images list", false, false),
            ("volume mount", true, false),
            ("volume grow", true, false),
            ("volume status", false, false),
            ("apparmor reset", true, false),
            ("apparmor diff", false, false),
            ("tls renew", true, false),
            ("tls root", false, false),
            ("lock status", false, false),
            ("status", false, false),
            ("exec redis -- true", false, false),
        ] {
            let command = command(line);
            assert_eq!(command.changes(), changes, "{line}");
            assert_eq!(command.waits_for_services(), waits, "{line}");
        }
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
