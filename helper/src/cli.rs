//! What the command lines of the three daemons may say, and nothing of what is done about it: the
//! manual pages and completions are made from it as well.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::admin::audit::AuditCommand;
use crate::admin::doctor::DoctorArgs;
use crate::admin::guard::GuardCommand;
use crate::admin::ingress::IngressCommand;
use crate::admin::policy::PolicyCommand;
use crate::audit::Keep;

/// The privileged side of aistack: lets the tenants that a policy names have their own volume,
/// directories and network, and nothing else.
#[derive(Debug, Parser)]
#[command(name = "aistack-helper", version, arg_required_else_help = true)]
pub struct Helper {
    /// What to do.
    #[command(subcommand)]
    pub command: HelperCommand,
}

/// What `aistack-helper` can do.
#[derive(Debug, Subcommand)]
pub enum HelperCommand {
    /// Run the daemon.
    Serve(HelperServe),
    /// Mount what was mounted and load the profiles, before Docker starts; run by its unit.
    Boot(HelperServe),
    /// Check a policy file, or show what it gives to a UID.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Show, apply or remove the network guard of the tenants.
    #[command(subcommand)]
    Guard(GuardCommand),
    /// Read the audit log.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// The front door: HAProxy in front of all tenants' sites.
    #[command(subcommand)]
    Ingress(IngressCommand),
    /// Show what the Docker Engine is, what that means for the tenants, and whether it sees their
    /// volumes. Changes nothing; exits with 1 when containers cannot be made.
    Doctor(DoctorArgs),
}

/// What the daemon is started with.
#[derive(Debug, Args)]
pub struct HelperServe {
    /// The policy file; it and every directory above it must be root's alone.
    #[arg(long, value_name = "FILE", default_value = "/etc/aistack/policy.toml")]
    pub policy: PathBuf,
    /// The socket to listen on, unless systemd passes one.
    #[arg(long, value_name = "SOCKET", default_value = aistack_proto::HELPER_SOCKET)]
    pub socket: PathBuf,
    /// Where the daemon keeps the images of loop volumes.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/aistack")]
    pub state_dir: PathBuf,
    /// Where the audit log is written.
    #[arg(long, value_name = "DIR", default_value = "/var/log/aistack")]
    pub audit_dir: PathBuf,
    /// Keep the audit log within this size (512M, 4G) or this number of full 64 MiB files (8), or
    /// keep all; the oldest files are removed first, with a record.
    #[arg(long, value_name = "SIZE|N|all", default_value_t = Keep::DEFAULT)]
    pub audit_keep: Keep,
    /// Docker's own socket.
    #[arg(long, value_name = "SOCKET", default_value = "/run/docker.sock")]
    pub docker_socket: PathBuf,
    /// The mount worker's socket.
    #[arg(long, value_name = "SOCKET", default_value = "/run/aistack/mount.sock")]
    pub mount_socket: PathBuf,
}

/// Mounts and unmounts the volumes of tenants at the request of aistack-helper.
#[derive(Debug, Parser)]
#[command(name = "aistack-mount", version, arg_required_else_help = true)]
pub struct Mount {
    /// What to do.
    #[command(subcommand)]
    pub command: MountCommand,
}

/// What `aistack-mount` can do.
#[derive(Debug, Subcommand)]
pub enum MountCommand {
    /// Run the worker.
    Serve(MountServe),
}

/// What the daemon is started with.
#[derive(Debug, Args)]
pub struct MountServe {
    /// The socket to listen on, unless systemd passes one.
    #[arg(long, value_name = "SOCKET", default_value = "/run/aistack/mount.sock")]
    pub socket: PathBuf,
}

/// Gives the tenants that a policy names a vetted subset of the Docker Engine API. Run it as a
/// dedicated user in group docker, without any capability.
#[derive(Debug, Parser)]
#[command(name = "aistack-engine", version, arg_required_else_help = true)]
pub struct Engine {
    /// What to do.
    #[command(subcommand)]
    pub command: EngineCommand,
}

/// What `aistack-engine` can do.
#[derive(Debug, Subcommand)]
pub enum EngineCommand {
    /// Run the daemon.
    Serve(EngineServe),
}

/// What the daemon is started with.
#[derive(Debug, Args)]
pub struct EngineServe {
    /// The policy file; it and every directory above it must be root's alone.
    #[arg(long, value_name = "FILE", default_value = "/etc/aistack/policy.toml")]
    pub policy: PathBuf,
    /// The socket to listen on, unless systemd passes one.
    #[arg(long, value_name = "SOCKET", default_value = aistack_proto::ENGINE_SOCKET)]
    pub socket: PathBuf,
    /// Docker's own socket.
    #[arg(long, value_name = "SOCKET", default_value = "/run/docker.sock")]
    pub docker_socket: PathBuf,
    /// Where the daemon records which images each tenant has pulled; a directory that its user owns.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/aistack-engine")]
    pub state_dir: PathBuf,
    /// Where the audit log is written; a directory that the daemon's user owns.
    #[arg(long, value_name = "DIR", default_value = "/var/log/aistack-engine")]
    pub audit_dir: PathBuf,
    /// Keep the audit log within this size (512M, 4G) or this number of full 64 MiB files (8), or
    /// keep all; the oldest files are removed first, with a record.
    #[arg(long, value_name = "SIZE|N|all", default_value_t = Keep::DEFAULT)]
    pub audit_keep: Keep,
    /// Where aistack-helper says which AppArmor profiles are loaded.
    #[arg(long, value_name = "DIR", default_value = crate::apparmor::PUBLISHED)]
    pub apparmor_dir: PathBuf,
    /// A directory that Docker writes to, whose disk is watched; may be given more than once. Docker is
    /// queried when it is left out. With containerd's image store, and a containerd whose root is not
    /// /var/lib/containerd, name that root and Docker's own directory.
    #[arg(long, value_name = "DIR")]
    pub docker_dir: Vec<PathBuf>,
    /// How often to measure what containers have written outside of their mounts; also measured when the
    /// disk loses 512 MiB or 50000 inodes.
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub layers_every: u32,
}
