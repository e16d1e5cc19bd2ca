//! What `aistack tls` may be told.

use clap::{Args, Subcommand, ValueEnum};

/// `tls`.
#[derive(Debug, Clone, Args)]
#[command(disable_help_subcommand = true)]
pub struct TlsArgs {
    /// What to do with them
    #[command(subcommand)]
    pub verb: TlsVerb,
}

/// Verbs of `tls`.
#[derive(Debug, Clone, Subcommand)]
pub enum TlsVerb {
    /// For each site: who issued its certificate, how long it holds, what is wrong
    Status,
    /// Have caddy renew what is due, then check what is served
    Renew(RenewArgs),
    /// Take certificates of Let's Encrypt's test authority, or the real ones again
    Staging(StagingArgs),
    /// Print the root certificate of your proxy's own authority, to be trusted by browsers
    Root,
}

/// `tls renew`.
#[derive(Debug, Clone, Default, Args)]
pub struct RenewArgs {
    /// Host names or services; all sites when none is named
    #[arg(value_name = "HOST")]
    pub hosts: Vec<String>,
    /// Also what is not due; an old certificate stays where no new one comes
    #[arg(long)]
    pub force: bool,
}

/// `tls staging`.
#[derive(Debug, Clone, Args)]
pub struct StagingArgs {
    /// Whether to
    #[arg(value_enum)]
    pub switch: Switch,
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// The test authority, which has generous limits and which no browser trusts
    On,
    /// The real one
    Off,
}
