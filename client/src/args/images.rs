//! What `aistack images` may be told.

use clap::{Args, Subcommand};

/// `images`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  aistack images list                  which image each service runs, and whether it is locked
  aistack images lock                  from now on deploy uses exactly what runs now
  aistack images lock --update redis   pull its tag again and lock that
  aistack images unlock redis          the tag decides again")]
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
    /// Record the digests of what runs; deploy then uses these, whatever a tag means meanwhile
    Lock(LockImagesArgs),
    /// Take locks away
    Unlock(UnlockImagesArgs),
}

/// `images lock`.
#[derive(Debug, Clone, Default, Args)]
pub struct LockImagesArgs {
    /// Services; all when none is named
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
    /// Pull the references again, and lock what they stand for now
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
