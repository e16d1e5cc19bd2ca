//! `add`, `remove`, `catalog`.

use std::path::PathBuf;

use clap::Args;

/// `add`.
#[derive(Debug, Clone, Default, Args)]
#[command(after_help = "\
Examples:
  aistack add grafana                  from the catalog, with what it needs
  aistack add qdrant                   as the vector database, replacing the present one
  aistack add --file my-service.toml   a service of your own; docs/own-services.md")]
pub struct AddArgs {
    /// Services of the catalog
    #[arg(value_name = "SERVICE", required_unless_present = "file")]
    pub offered: Vec<String>,
    /// A service file of your own, named SERVICE.toml; it is copied to BASE_DIR/config/services
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Write the .env only, without deploying
    #[arg(long)]
    pub no_deploy: bool,
}

/// `remove`.
#[derive(Debug, Clone, Default, Args)]
#[command(after_help = "\
Examples:
  aistack remove flowise                            its data stays
  aistack remove flowise --purge --confirm flowise  its data goes too")]
pub struct RemoveArgs {
    /// Services of your stack
    #[arg(value_name = "SERVICE", required = true)]
    pub services: Vec<String>,
    /// Remove their data, logs, databases and own service files as well
    #[arg(long)]
    pub purge: bool,
    /// Also remove services that need them
    #[arg(long)]
    pub force: bool,
    /// The services' names with commas, instead of typing them, for --purge
    #[arg(long, value_name = "NAMES")]
    pub confirm: Option<String>,
}

/// `catalog`.
#[derive(Debug, Clone, Default, Args)]
pub struct CatalogArgs {
    /// Show everything about this service
    #[arg(value_name = "SERVICE", id = "services")]
    pub service: Option<String>,
    /// List only those of your stack
    #[arg(long)]
    pub installed: bool,
    /// The JSON Schema of a service file, for editors
    #[arg(long, conflicts_with_all = ["services", "installed"])]
    pub schema: bool,
    /// The whole catalog as Markdown, as in docs/services.md
    #[arg(long, hide = true, conflicts_with_all = ["services", "installed", "schema"])]
    pub markdown: bool,
}
