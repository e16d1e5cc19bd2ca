//! `aistack-engine`: the vetted Docker Engine API, one socket for all tenants.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use aistack_helper::accept::Bounds;
use aistack_helper::audit::{Audit, Rotation, Settings};
use aistack_helper::cli::{Engine, EngineCommand, EngineServe};
use aistack_helper::daemon::{self, Signals};
use aistack_helper::docker::{Docker, engine_state};
use aistack_helper::engine::gateway::Gateway;
use aistack_helper::engine::pulled::Pulled;
use aistack_helper::engine::serve;
use aistack_helper::guard::Probe;
use aistack_helper::own_dir::open_own_dir;
use aistack_helper::policy_store::PolicyStore;
use aistack_helper::sandbox::{self, FileAccess, Work};
use clap::Parser;

/// Two for each connection, and a reserve.
const MAX_FILES: u64 = 4096;
/// Everybody may connect; the policy says who is answered.
const SOCKET_MODE: u32 = 0o666;

type BoxError = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let EngineCommand::Serve(options) = Engine::parse().command;
    match serve(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            daemon::complain("aistack-engine", error.as_ref());
            ExitCode::FAILURE
        }
    }
}

fn serve(options: &EngineServe) -> Result<(), BoxError> {
    daemon::start_tracing();
    // Before the sandbox, which allows no socket of this kind.
    let guard = Probe::open();
    sandbox::restrict(&[], MAX_FILES)?;
    if rustix::process::geteuid().is_root() {
        tracing::warn!("running as root, which the gateway does not need");
    }
    let policy = PolicyStore::load(&options.policy)?;
    file_access(options)?.restrict_self()?;
    sandbox::allow_only(Work::Serve)?;
    // First the log: its lock keeps a second daemon from taking the socket of the first.
    let settings = Settings {
        rotation: Rotation {
            keep: options.audit_keep,
            ..Rotation::DEFAULT
        },
        ..Settings::DEFAULT
    };
    let audit = Audit::open(&options.audit_dir, "engine", settings)?;
    let in_force = policy.current();
    let is_tenant = |uid| in_force.policy.grant(uid).is_some();
    let pulled = Pulled::open(&options.state_dir, is_tenant)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // Before there is a socket: who finds it may send a signal.
    let signals = Signals::in_runtime(&runtime)?;
    let socket = daemon::listen(&options.socket, SOCKET_MODE)?;
    let docker = Docker::new(&options.docker_socket);
    let gateway = Gateway::new(
        docker.clone(),
        policy.clone(),
        audit.clone(),
        options.apparmor_dir.clone(),
        options.docker_dir.clone(),
        pulled,
    )
    .with_guard(guard.or_passed(socket.udp));
    let gateway = Arc::new(gateway);
    let ended = runtime.block_on(async {
        let listener = daemon::attach(socket.listener)?;
        let every = Duration::from_secs(options.layers_every.into());
        let (watched, audit_dir) = (Arc::clone(&gateway), options.audit_dir.clone());
        let watch = tokio::spawn(async move {
            watched.tell_shared_disk(&audit_dir).await;
            watched.watch_layers(every).await;
        });
        let ended = run(listener, signals, gateway, docker, &policy, &audit).await;
        watch.abort();
        ended
    });
    // A look at a file system that does not answer is not waited for.
    runtime.shutdown_background();
    ended
}

/// Its log, its lists and its socket; it runs no program.
fn file_access(options: &EngineServe) -> Result<FileAccess, BoxError> {
    // Landlock knows directories, not names: what is missing is made first.
    let own = [&options.audit_dir, &options.state_dir].map(PathBuf::clone);
    for dir in &own {
        open_own_dir(dir)?;
    }
    let socket_dir = options.socket.parent().map(Path::to_owned);
    let writable = socket_dir.into_iter().chain(own);
    Ok(FileAccess {
        writable: writable.collect(),
        programs: false,
    })
}

async fn run(
    listener: tokio::net::UnixListener,
    mut signals: Signals,
    gateway: Arc<Gateway>,
    docker: Docker,
    policy: &PolicyStore,
    audit: &Audit,
) -> Result<(), BoxError> {
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let keeper = Arc::clone(&gateway);
    let mut server = tokio::spawn(serve::serve(listener, Bounds::ENGINE, gateway, stopped));
    daemon::ready();
    tracing::info!(policy = %policy.current().digest, "aistack-engine answers");
    daemon::tell_warnings(policy);
    tokio::spawn(engine_state::watch(docker));
    let reload = async || {
        daemon::reload_policy(policy, audit).await;
        keeper.forget_who_left();
    };
    tokio::select! {
        () = signals.until_stopped(reload) => {}
        () = daemon::keep_watchdog_quiet() => {}
        // Without a signal it ends only when it cannot begin.
        ended = &mut server => return Ok(ended??),
    }
    // Fails only when the server has ended already.
    let _ = stop.send(true);
    daemon::drain(async { drop(server.await) }, audit).await;
    Ok(())
}
