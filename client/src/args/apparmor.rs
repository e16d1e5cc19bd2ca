//! What `aistack apparmor` accepts.

use clap::{Args, Subcommand};

/// `apparmor`.
#[derive(Debug, Clone, Args)]
#[command(disable_help_subcommand = true)]
pub struct AppArmorArgs {
    /// What to do with them
    #[command(subcommand)]
    pub verb: AppArmorVerb,
}

/// Verbs of `apparmor`.
#[derive(Debug, Clone, Subcommand)]
pub enum AppArmorVerb {
    /// Check them as the helper does, without it, and show the line and the reason for each refusal
    Check,
    /// Have the helper check and load them, as deploy does
    Load,
    /// Show how they differ from the defaults
    Diff,
    /// Restore the default; your version is saved as NAME.bak
    Reset(ProfilesArgs),
    /// Keep your edits and stop the notice about the newer default
    Keep(ProfilesArgs),
}

/// Profiles by name.
#[derive(Debug, Clone, Default, Args)]
pub struct ProfilesArgs {
    /// Profiles; both when none is named
    #[arg(value_name = "PROFILE")]
    pub profiles: Vec<String>,
}
