//! What the three daemons do alike: get their socket, listen to signals, tell systemd, end well.

use std::error::Error;
use std::fmt::Write as _;
use std::future::Future;
use std::io::{self, Write as _};
use std::net::UdpSocket;
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use listenfd::ListenFd;
use rustix::fs::{AtFlags, FileType, Mode};
use sd_notify::NotifyState;
use serde_json::json;
use tokio::net::UnixListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::MissedTickBehavior;

use crate::audit::{Audit, AuditError};
use crate::own_dir::{OwnDirError, open_own_parent};
use crate::policy_store::PolicyStore;
use crate::printable::Printable;

/// Time that a stopping daemon gives to what still runs.
pub const DRAIN: Duration = Duration::from_mins(1);

/// Why there is no socket to listen on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// systemd passed something other than one listening Unix socket and, at most, one UDP socket.
    #[error(
        "systemd must pass one listening Unix socket and at most one UDP socket, it passed {0} \
         descriptor(s)"
    )]
    Activation(usize),
    /// The socket's directory is not the daemon's alone.
    #[error(transparent)]
    Directory(#[from] OwnDirError),
    /// A daemon answers there.
    #[error("another process already listens on {}", .0.display())]
    InUse(PathBuf),
    /// Something that is not a socket has the name.
    #[error("{} exists and is not a socket", .0.display())]
    NotASocket(PathBuf),
    /// The kernel refused.
    #[error("cannot listen on {}", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

/// What is logged: what these daemons say themselves, and of the libraries only errors. h2 and others
/// have lines at INFO and WARN that any caller can cause as often as it likes.
const LOGGED: &str =
    "error,aistack_helper=info,aistack_engine=info,aistack_mount=info,aistack_policy=info";

/// Starts logging to standard error; `RUST_LOG` chooses, [`LOGGED`] is the default. Nothing that a
/// caller or Docker said moves the cursor of who reads it, or begins a line.
pub fn start_tracing() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(LOGGED));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Printable::one_line(io::stderr()))
        .with_ansi(false)
        .init();
}

/// An error with everything that caused it, on one line.
#[must_use]
pub fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        // Writing to a String cannot fail.
        let _ = write!(text, ": {next}");
        cause = next.source();
    }
    text
}

/// Why a program ends, for who started it.
pub fn complain(program: &str, error: &dyn Error) {
    // Nothing is left to be done when standard error is gone.
    let mut out = Printable::lines(io::stderr());
    let _ = writeln!(out, "{program}: {}", error_chain(error));
}

/// A socket to listen on.
#[derive(Debug)]
pub struct Listening {
    /// The socket; [`attach`] it.
    pub listener: StdListener,
    /// systemd passed it: it goes on listening when the daemon ends, and starts the daemon again for
    /// the next caller.
    pub activated: bool,
    /// A UDP socket of the host's network that systemd passed beside it: the daemon's own network
    /// namespace has no way to the host.
    pub udp: Option<UdpSocket>,
}

/// The listening socket: systemd's (`LISTEN_FDS`), or a new one at `socket` with permission bits
/// `mode`. A socket that a killed daemon left behind is replaced, a live one is not. Call it before
/// the first thread starts, since it sets the umask for a moment; then [`attach`] it.
///
/// # Errors
/// When there is no such socket to be had.
pub fn listen(socket: &Path, mode: u32) -> Result<Listening, ListenError> {
    let mut passed = ListenFd::from_env();
    let count = passed.len();
    let activated = count > 0;
    let (mut listener, mut udp) = (None, None);
    // In whatever order: the kernel knows which is which.
    for nth in 0..count {
        if let (None, Ok(Some(found))) = (&listener, passed.take_unix_listener(nth)) {
            listener = Some(found);
        } else if let (None, Ok(Some(found))) = (&udp, passed.take_udp_socket(nth)) {
            udp = Some(found);
        } else {
            return Err(ListenError::Activation(count));
        }
    }
    let listener = match listener {
        Some(listener) => listener,
        None if activated => return Err(ListenError::Activation(count)),
        None => bind(socket, mode)?,
    };
    listener
        .set_nonblocking(true)
        .map_err(|source| failed(socket, source))?;
    Ok(Listening {
        listener,
        activated,
        udp,
    })
}

/// Gives the socket to the running tokio runtime.
///
/// # Errors
/// When epoll refuses it.
pub fn attach(listener: StdListener) -> io::Result<UnixListener> {
    UnixListener::from_std(listener)
}

fn bind(socket: &Path, mode: u32) -> Result<StdListener, ListenError> {
    let (dir, name) = open_own_parent(socket)?;
    match rustix::fs::statat(&dir, &name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(rustix::io::Errno::NOENT) => {}
        Err(errno) => return Err(failed(socket, errno.into())),
        Ok(stat) if FileType::from_raw_mode(stat.st_mode).is_socket() => {
            remove_stale(socket)?;
        }
        Ok(_) => return Err(ListenError::NotASocket(socket.to_owned())),
    }
    // The mode is right from the first moment: bind(2) makes the socket 0777 less the umask.
    let before = rustix::process::umask(Mode::from_raw_mode(0o777 & !mode));
    let listener = StdListener::bind(socket);
    rustix::process::umask(before);
    listener.map_err(|source| failed(socket, source))
}

/// Removes a socket that nobody listens on any more.
fn remove_stale(socket: &Path) -> Result<(), ListenError> {
    match StdStream::connect(socket) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(socket).map_err(|source| failed(socket, source))
        }
        Err(error) => Err(failed(socket, error)),
        Ok(_) => Err(ListenError::InUse(socket.to_owned())),
    }
}

fn failed(socket: &Path, source: io::Error) -> ListenError {
    ListenError::Io {
        path: socket.to_owned(),
        source,
    }
}

/// The signals that a daemon obeys; registered from `in_runtime` on, so none is lost.
#[derive(Debug)]
pub struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Registers SIGHUP, SIGTERM and SIGINT, to be waited for in this runtime.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn in_runtime(runtime: &tokio::runtime::Runtime) -> io::Result<Self> {
        let _inside = runtime.enter();
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Calls `reload` for each SIGHUP; returns at SIGTERM or SIGINT.
    pub async fn until_stopped(&mut self, mut reload: impl AsyncFnMut()) {
        loop {
            tokio::select! {
                Some(()) = self.hangup.recv() => reload().await,
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
            }
        }
    }
}

/// Says in the log what the policy in force allows and perhaps should not.
pub fn tell_warnings(policy: &PolicyStore) {
    for warning in policy.current().policy.warnings() {
        tracing::warn!(%warning, "the policy");
    }
}

/// Reads the policy again and says so, in the log and in the audit. A bad file changes nothing.
pub async fn reload_policy(policy: &PolicyStore, audit: &Audit) {
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        notify(&[NotifyState::Reloading, now]);
    }
    let before = policy.current().digest.clone();
    let noted = match policy.reload() {
        Ok(()) => {
            let after = policy.current().digest.clone();
            tracing::info!(%before, %after, "policy reloaded");
            tell_warnings(policy);
            let detail = json!({"before": before, "after": after});
            audit.note("policy-reloaded", detail).await
        }
        Err(error) => {
            tracing::error!(%error, "policy not reloaded; keeping the current one");
            let detail = json!({"error": error.to_string(), "in_force": before});
            audit.note("policy-refused", detail).await
        }
    };
    report(noted);
    notify(&[NotifyState::Ready]);
}

/// Tells systemd that requests are answered now. Without systemd it does nothing.
pub fn ready() {
    notify(&[NotifyState::Ready]);
}

/// Tells systemd, twice in the time of `WatchdogSec=`, that this runtime still turns. It never ends;
/// run it on the thread that answers, so that a daemon that hangs is killed and started again.
pub async fn keep_watchdog_quiet() {
    let Some(time) = sd_notify::watchdog_enabled() else {
        return std::future::pending().await;
    };
    let mut interval = tokio::time::interval(time / 2);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        notify(&[NotifyState::Watchdog]);
    }
}

/// Lets `work` end within [`DRAIN`], then records the stop.
pub async fn drain(work: impl Future<Output = ()>, audit: &Audit) {
    notify(&[NotifyState::Stopping]);
    tracing::info!("stopping; waiting for running operations");
    if tokio::time::timeout(DRAIN, work).await.is_err() {
        tracing::warn!("stopping with operations still running");
    }
    report(audit.stop().await);
}

fn report(result: Result<(), AuditError>) {
    if let Err(error) = result {
        tracing::error!(error = %error_chain(&error), "the audit log");
    }
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "cannot notify systemd");
    }
}
