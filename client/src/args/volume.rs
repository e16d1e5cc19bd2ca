//! What `aistack volume` accepts.

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
    /// Show where it is mounted, its device and its free space
    Status,
    /// Mount it; deploy and init do so too
    Mount,
    /// Grow its file system to the size of its device or the policy's size
    Grow,
    /// Unmount it; says when it is safe to detach
    Unmount(UnmountArgs),
}

/// `volume unmount`.
#[derive(Debug, Clone, Default, Args)]
pub struct UnmountArgs {
    /// Stop your containers first; they are kept, and deploy starts them again
    #[arg(long)]
    pub stop: bool,
}
