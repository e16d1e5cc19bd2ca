//! What `aistack apparmor` may be told.

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
    /// Vet them as the helper will, without it: the line and the reason where one is refused
    Check,
    /// Have the helper vet and load them; deploy does so too
    Load,
    /// How they differ from the defaults
    Diff,
    /// Take the default again; what was there is kept as NAME.bak
    Reset(ProfilesArgs),
    /// Keep your edits and hear no more of the newer default
    Keep(ProfilesArgs),
}

/// Profiles by name.
#[derive(Debug, Clone, Default, Args)]
pub struct ProfilesArgs {
    /// Profiles; both when none is named
    #[arg(value_name = "PROFILE")]
    pub profiles: Vec<String>,
}
