//! `aistack-helper`: the gRPC daemon between tenants and the host, and the admin's commands.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use aistack_helper::accept::Bounds;
use aistack_helper::admin::audit::{self, AuditCommand};
use aistack_helper::admin::doctor::{self, DoctorArgs};
use aistack_helper::admin::guard::{self, GuardCommand};
use aistack_helper::admin::ingress::{self, IngressCommand};
use aistack_helper::admin::policy::{self, PolicyCommand};
use aistack_helper::audit::{Audit, Rotation, Settings};
use aistack_helper::cli::{Helper, HelperCommand, HelperServe};
use aistack_helper::daemon::{self, Signals};
use aistack_helper::docker::{Docker, engine_state};
use aistack_helper::front::{self, Front, Times};
use aistack_helper::guard::Probe;
use aistack_helper::ops::Ops;
use aistack_helper::own_dir::open_own_dir;
use aistack_helper::policy_store::PolicyStore;
use aistack_helper::printable::Printable;
use aistack_helper::sandbox::{self, Capability, FileAccess, Work};
use clap::Parser;
use rustix::fs::StatVfsMountFlags;
use tokio::sync::Notify;

/// What the operations need: give directories to their owners (CHOWN, FOWNER for their modes) and
/// walk through directories of others (DAC_READ_SEARCH), and let apparmor_parser, their child, load
/// profiles (MAC_ADMIN). Root's own files need none.
const CAPABILITIES: [Capability; 4] = [
    Capability::CAP_CHOWN,
    Capability::CAP_FOWNER,
    Capability::CAP_DAC_READ_SEARCH,
    Capability::CAP_MAC_ADMIN,
];
/// Where AppArmor profiles are published, kept, loaded and compiled.
const PROFILE_DIRS: [&str; 4] = [
    "/run/aistack",
    "/etc/apparmor.d",
    "/sys/kernel/security/apparmor",
    "/var/cache/apparmor",
];
/// Connections, the descriptors of running operations, and a reserve: a walk through the deepest
/// tree holds 130, and 64 operations may run.
const MAX_FILES: u64 = 10_240;
/// Everybody may connect; the policy says who is answered.
const SOCKET_MODE: u32 = 0o666;
/// Started by systemd for a caller, it ends after so long without one: the next one starts it again.
const IDLE: Duration = Duration::from_mins(1);
/// So long the start of the host waits for volumes and profiles.
const BOOT: Duration = Duration::from_secs(50);
/// Time for open connections to close when no operation runs any more.
const CLOSING: Duration = Duration::from_secs(3);

type BoxError = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let result = match Helper::parse().command {
        HelperCommand::Serve(options) => serve(&options).map(|()| ExitCode::SUCCESS),
        HelperCommand::Boot(options) => boot(&options),
        HelperCommand::Policy(command) => read_policy(&command),
        HelperCommand::Guard(command) => guard_host(&command),
        HelperCommand::Audit(command) => read_audit(command),
        HelperCommand::Ingress(command) => front_door(&command),
        HelperCommand::Doctor(args) => examine(&args),
    };
    result.unwrap_or_else(|error| {
        daemon::complain("aistack-helper", error.as_ref());
        ExitCode::FAILURE
    })
}

fn read_policy(command: &PolicyCommand) -> Result<ExitCode, BoxError> {
    let mut out = Printable::lines(io::stdout().lock());
    Ok(ExitCode::from(policy::run(command, &mut out)?))
}

fn front_door(command: &IngressCommand) -> Result<ExitCode, BoxError> {
    let mut out = Printable::lines(io::stdout().lock());
    Ok(ExitCode::from(ingress::run(command, &mut out)?))
}

fn examine(args: &DoctorArgs) -> Result<ExitCode, BoxError> {
    let mut out = Printable::lines(io::stdout().lock());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let status = runtime.block_on(doctor::run(args, &mut out));
    // A look at a file system that does not answer is not waited for.
    runtime.shutdown_background();
    Ok(ExitCode::from(status?))
}

fn guard_host(command: &GuardCommand) -> Result<ExitCode, BoxError> {
    daemon::start_tracing();
    let mut out = Printable::lines(io::stdout().lock());
    Ok(ExitCode::from(guard::run(command, &mut out)?))
}

fn read_audit(command: AuditCommand) -> Result<ExitCode, BoxError> {
    let stdout = io::stdout();
    let result = if stdout.is_terminal() {
        audit::run(command, &mut Printable::lines(stdout.lock()))
    } else {
        let out = io::BufWriter::new(stdout.lock());
        audit::run(command, &mut Printable::lines(out))
    };
    match result {
        // `audit show | head` is not a failure.
        Err(audit::AuditCommandError::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => {}
        other => other?,
    }
    Ok(ExitCode::SUCCESS)
}

fn serve(options: &HelperServe) -> Result<(), BoxError> {
    daemon::start_tracing();
    // Before the sandbox, which allows no socket of this kind.
    let guard = Probe::open();
    sandbox::restrict(&CAPABILITIES, MAX_FILES)?;
    let policy = PolicyStore::load(&options.policy)?;
    let file_access = file_access(options, &policy)?;
    file_access.restrict_self()?;
    sandbox::allow_only(Work::ServeAndChange)?;
    // First the log: its lock keeps a second daemon from taking the socket of the first.
    let settings = Settings {
        rotation: Rotation {
            keep: options.audit_keep,
            ..Rotation::DEFAULT
        },
        ..Settings::DEFAULT
    };
    let audit = Audit::open(&options.audit_dir, "helper", settings)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // Before there is a socket: who finds it may send a signal.
    let signals = Signals::in_runtime(&runtime)?;
    let socket = daemon::listen(&options.socket, SOCKET_MODE)?;
    let times = Times {
        idle: socket.activated.then_some(IDLE),
        ..Times::DEFAULT
    };
    let docker = Docker::new(&options.docker_socket);
    let ops = Ops::new(
        docker.clone(),
        options.mount_socket.clone(),
        &options.state_dir,
    )?
    .with_guard(guard.or_passed(socket.udp));
    ops.apparmor().warn();
    let ends_when_idle = times.idle.is_some();
    let front = Front::new(policy.clone(), audit.clone(), ops, times);
    runtime.block_on(async {
        let listener = daemon::attach(socket.listener)?;
        tokio::spawn(engine_state::watch(docker));
        run(
            listener,
            signals,
            front,
            &policy,
            &audit,
            &file_access,
            ends_when_idle,
        )
        .await
    })
}

/// A fresh start of the host: its profiles are loaded and the volumes that were mounted are mounted
/// again, as far as [`BOOT`] reaches; what is left, a tenant's next command does. It writes a log of
/// its own, since the daemon may hold the other.
fn boot(options: &HelperServe) -> Result<ExitCode, BoxError> {
    daemon::start_tracing();
    sandbox::restrict(&CAPABILITIES, MAX_FILES)?;
    let policy = PolicyStore::load(&options.policy)?;
    file_access(options, &policy)?.restrict_self()?;
    sandbox::allow_only(Work::ServeAndChange)?;
    let audit = Audit::open(&options.audit_dir, "boot", Settings::BRIEF)?;
    let docker = Docker::new(&options.docker_socket);
    let ops = Ops::new(docker, options.mount_socket.clone(), &options.state_dir)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let whole = runtime.block_on(async {
        let work = bring_up(&ops, &policy, &audit);
        let whole = tokio::time::timeout(BOOT, work).await.unwrap_or_else(|_| {
            tracing::error!("not everything was ready in time; Docker starts anyway");
            Ok(false)
        });
        audit.stop().await?;
        whole
    });
    runtime.shutdown_background();
    Ok(if whole? {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// False when something stays down; the log says what.
async fn bring_up(ops: &Ops, policy: &PolicyStore, audit: &Audit) -> Result<bool, BoxError> {
    let policy = policy.current();
    let mut whole = true;
    for (profile, error) in ops.boot_profiles(&policy.policy).await {
        let error = daemon::error_chain(&error);
        tracing::error!(%profile, %error, "a profile is not loaded");
        let detail = serde_json::json!({"profile": profile, "error": error});
        audit.note("boot-profile-failed", detail).await?;
        whole = false;
    }
    for volume in ops.boot_volumes(&policy, audit).await? {
        match volume.outcome {
            Ok(_) => tracing::info!(uid = volume.uid, "the volume is mounted"),
            Err(problem) => {
                let error = daemon::error_chain(&problem);
                tracing::error!(uid = volume.uid, %error, "the volume is not mounted");
                whole = false;
            }
        }
    }
    Ok(whole)
}

/// Its own directories, the profiles' (in `/etc`, in the kernel, and its compiler's cache), and the
/// directories on the tenants' volumes.
fn file_access(options: &HelperServe, policy: &PolicyStore) -> Result<FileAccess, BoxError> {
    let mut writable = sandbox::parents_of_base_dirs(&policy.current().policy);
    writable.extend(PROFILE_DIRS.map(PathBuf::from));
    for own in [&options.audit_dir, &options.state_dir] {
        // Landlock knows directories, not names: what is missing is made first.
        open_own_dir(own)?;
        writable.insert(own.clone());
    }
    writable.extend(options.socket.parent().map(Path::to_owned));
    Ok(FileAccess {
        writable,
        programs: true,
    })
}

/// Whether the policy has directories that are out of reach until the next start; tells which, and
/// those that the unit closes.
fn tell_out_of_reach(file_access: &FileAccess, policy: &PolicyStore) -> bool {
    let parents = sandbox::parents_of_base_dirs(&policy.current().policy);
    let missing: Vec<_> = file_access.missing(&parents).collect();
    for parent in &missing {
        tracing::warn!(parent = %parent.display(),
            "the policy has base directories in a new place; restart aistack-helper to write there");
    }
    for parent in parents.iter().filter(|parent| is_read_only(parent)) {
        tracing::warn!(parent = %parent.display(),
            "the unit of aistack-helper does not allow it to write there; add ReadWritePaths= (see aistack-helper(8))");
    }
    !missing.is_empty()
}

fn is_read_only(dir: &Path) -> bool {
    rustix::fs::statvfs(dir).is_ok_and(|found| found.f_flag.contains(StatVfsMountFlags::RDONLY))
}

async fn run(
    listener: tokio::net::UnixListener,
    mut signals: Signals,
    front: Front,
    policy: &PolicyStore,
    audit: &Audit,
    file_access: &FileAccess,
    ends_when_idle: bool,
) -> Result<(), BoxError> {
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let stopped = async move { drop(stopped.await) };
    let mut server = tokio::spawn(front::serve(listener, Bounds::GRPC, front.clone(), stopped));
    daemon::ready();
    tracing::info!(policy = %policy.current().digest, "aistack-helper answers");
    daemon::tell_warnings(policy);
    tell_out_of_reach(file_access, policy);
    // Landlock never lets go: only a new process can write in a new place. Where systemd holds the
    // socket, this one ends, and the next caller starts it. Callers in between wait in the socket.
    let outlived = Notify::new();
    let reload = async || {
        daemon::reload_policy(policy, audit).await;
        if tell_out_of_reach(file_access, policy) && ends_when_idle {
            outlived.notify_one();
        }
    };
    let still_serving = tokio::select! {
        () = signals.until_stopped(reload) => true,
        () = outlived.notified() => true,
        () = daemon::keep_watchdog_quiet() => true,
        ended = &mut server => {
            ended??;
            false
        }
    };
    drop(stop);
    let work = async {
        front.idle().await;
        if still_serving {
            // Idle clients get GOAWAY; hostile ones are not waited for.
            let _ = tokio::time::timeout(CLOSING, server).await;
        }
    };
    daemon::drain(work, audit).await;
    Ok(())
}
