//! What `aistack tls` accepts.

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
    /// Show each site's certificate: issuer, expiry, problems
    Status,
    /// Have caddy renew certificates that are due, then check what it serves
    Renew(RenewArgs),
    /// Switch to certificates of Let's Encrypt's staging authority, or back
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
    /// Also renew what is not due; the old certificate stays if that fails
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
    /// The staging authority, with generous limits, which no browser trusts
    On,
    /// The real one
    Off,
}
