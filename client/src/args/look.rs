//! `status` and `logs`.

use clap::Args;

/// `status`.
#[derive(Debug, Clone, Default, Args)]
pub struct StatusArgs {
    /// Services; all when none is named
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
    /// Also show CPU and memory; takes two seconds
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
    /// Follow the output
    #[arg(short, long)]
    pub follow: bool,
    /// Only the last lines of each service
    #[arg(short = 'n', long, value_name = "LINES")]
    pub tail: Option<u32>,
    /// Show lines since this time: 10m, or 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Show lines until this time
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Show the time of each line
    #[arg(short, long)]
    pub timestamps: bool,
    /// Show only lines that match this regular expression, e.g. 'error|warn' or '(?i)error'
    #[arg(long, value_name = "RE")]
    pub grep: Option<String>,
    /// Omit the service's name
    #[arg(long)]
    pub no_log_prefix: bool,
    /// Show the raw output, with terminal control sequences
    #[arg(long)]
    pub raw: bool,
}
