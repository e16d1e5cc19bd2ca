//! What `aistack volume` may be told.

use clap::{Args, Subcommand};

/// `volume`.
#[derive(Debug, Clone, Args)]
#[command(disable_help_subcommand = true)]
pub struct VolumeArgs {
    /// What to do with it
    #[command(subcommand)]
    pub verb: VolumeVerb,
}

/// Verbs of `volume`.
#[derive(Debug, Clone, Subcommand)]
pub enum VolumeVerb {
    /// Where it is mounted, from which device, and how much is free
    Status,
    /// Mount it; deploy and init do so too
    Mount,
    /// Grow its file system to the size that the policy or the device allows
    Grow,
    /// Take it off its place; says so when it is safe to detach
    Unmount(UnmountArgs),
}

/// `volume unmount`.
#[derive(Debug, Clone, Default, Args)]
pub struct UnmountArgs {
    /// Stop your containers first; they are kept, and deploy starts them again
    #[arg(long)]
    pub stop: bool,
}
