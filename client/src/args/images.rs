//! What `aistack images` accepts.

use clap::{Args, Subcommand};

/// `images`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  aistack images list                  show each service's image and whether it is locked
  aistack images lock                  lock what runs now
  aistack images lock --update redis   pull its tag again and lock the result
  aistack images unlock redis          follow the tag again")]
pub struct ImagesArgs {
    /// What to do with them
    #[command(subcommand)]
    pub verb: ImagesVerb,
}

/// Verbs of `images`.
#[derive(Debug, Clone, Subcommand)]
pub enum ImagesVerb {
    /// The image of each service: reference, digest, whether it is locked
    List,
    /// Lock the images that run now by digest, so that deploy keeps using them when a tag moves
    Lock(LockImagesArgs),
    /// Remove locks
    Unlock(UnlockImagesArgs),
}

/// `images lock`.
#[derive(Debug, Clone, Default, Args)]
pub struct LockImagesArgs {
    /// Services; all when none is named
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
    /// Pull the references again and lock what they resolve to now
    #[arg(long)]
    pub update: bool,
}

/// `images unlock`.
#[derive(Debug, Clone, Default, Args)]
pub struct UnlockImagesArgs {
    /// Services; all when none is named
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
}
