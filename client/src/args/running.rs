//! `start`, `stop`, `restart`, `exec`, `shell`.

use clap::Args;

/// `restart`.
#[derive(Debug, Clone, Default, Args)]
pub struct RestartArgs {
    /// Services; all when none is named
    #[arg(value_name = "SERVICE")]
    pub services: Vec<String>,
    /// Recreate containers whose configuration has changed
    #[arg(long)]
    pub apply: bool,
}

/// `exec`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  aistack exec postgres -- psql -U postgres
  aistack exec -T redis -- redis-cli INFO memory | grep used
  aistack exec -T postgres -- pg_dump -U postgres n8n > n8n.sql

The command runs as the service's own user; there is no other. Its exit code is that of `aistack exec`.")]
pub struct ExecArgs {
    /// The service
    #[arg(value_name = "SERVICE", id = "services")]
    pub service: String,
    /// Do not allocate a terminal
    #[arg(short = 'T', long)]
    pub no_tty: bool,
    /// Not allowed: every command runs as the service's user
    #[arg(short = 'u', long, value_name = "USER", hide = true)]
    pub user: Option<String>,
    /// Program and arguments
    #[arg(value_name = "COMMAND", required = true, last = true)]
    pub command: Vec<String>,
}

/// `shell`.
#[derive(Debug, Clone, Args)]
pub struct ShellArgs {
    /// The service
    #[arg(value_name = "SERVICE", id = "services")]
    pub service: String,
}
