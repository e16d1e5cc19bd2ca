//! `aistack-mount`: mounts and unmounts the tenants' volumes for `aistack-helper`, and nothing else.

use std::process::ExitCode;

use aistack_helper::cli::{Mount, MountCommand, MountServe};
use aistack_helper::daemon;
use aistack_helper::mount::host::Host;
use aistack_helper::mount::server;
use aistack_helper::sandbox::{self, Capability};
use clap::Parser;

/// Mounting and the loop driver (SYS_ADMIN); walking and reading what belongs to others
/// (DAC_OVERRIDE, DAC_READ_SEARCH); the root directory of a volume (CHOWN, FOWNER); growing a
/// mounted ext4 (SYS_RESOURCE).
const CAPABILITIES: [Capability; 6] = [
    Capability::CAP_SYS_ADMIN,
    Capability::CAP_DAC_OVERRIDE,
    Capability::CAP_DAC_READ_SEARCH,
    Capability::CAP_CHOWN,
    Capability::CAP_FOWNER,
    Capability::CAP_SYS_RESOURCE,
];
/// A dozen for each request, and a reserve.
const MAX_FILES: u64 = 256;
/// Root's only; the peer's UID is checked as well.
const SOCKET_MODE: u32 = 0o600;

fn main() -> ExitCode {
    let MountCommand::Serve(options) = Mount::parse().command;
    daemon::start_tracing();
    match serve(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            daemon::complain("aistack-mount", error.as_ref());
            ExitCode::FAILURE
        }
    }
}

fn serve(options: &MountServe) -> Result<(), Box<dyn std::error::Error>> {
    if !rustix::process::geteuid().is_root() {
        return Err("it must run as root, since it mounts file systems".into());
    }
    sandbox::restrict(&CAPABILITIES, MAX_FILES)?;
    let listener = daemon::listen(&options.socket, SOCKET_MODE)?.listener;
    listener.set_nonblocking(false)?;
    daemon::ready();
    tracing::info!(socket = %options.socket.display(), "aistack-mount answers");
    server::serve(&listener, &Host::default());
    Ok(())
}
