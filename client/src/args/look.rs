//! `status` and `logs`.

use clap::Args;

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
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one flag of the command line"
)]
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
    /// As the services wrote it: what a terminal obeys is neither taken out nor escaped
    #[arg(long)]
    pub raw: bool,
}
