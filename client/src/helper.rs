//! The client's end of the gRPC contract with aistack-helper.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use aistack_proto::DOCKER_UNREACHABLE;
use aistack_proto::v1;
use aistack_proto::v1::helper_client::HelperClient;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::desired::TimeScale;
use crate::exit::Exit;
use crate::patience::{Again, DOCKER_RESTARTS, Notify, Patience};
use crate::time::seconds;

/// How long one call may take on a machine that is not slow; making a file system on a slow disk is the longest.
const CALL_TIMEOUT: Duration = Duration::from_mins(5);
/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a call to the helper did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum HelperError {
    /// Nobody answers on the socket.
    #[error("the helper does not answer on {}", socket.display())]
    Unreachable {
        /// The socket.
        socket: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Somebody answers who is not root.
    #[error("{} belongs to UID {uid}, not to root; not connecting", socket.display())]
    NotRoot {
        /// The socket.
        socket: PathBuf,
        /// Who serves it, as the kernel says.
        uid: u32,
    },
    /// The caller has no UID that the helper could know.
    #[error("you are UID {uid} (nobody), which the kernel shows for every user that it cannot map")]
    Nobody {
        /// The overflow UID.
        uid: u32,
    },
    /// It closed the connection before it answered, again and again.
    #[error("the helper closed the connection before it answered")]
    HungUp,
    /// The helper answered that it did not do it.
    #[error("{message}")]
    Answered {
        /// gRPC code.
        code: Code,
        /// One sentence.
        message: String,
        /// Stable upper-case word.
        reason: String,
        /// The policy rule that decided.
        rule: Option<String>,
        /// What to do next.
        hint: Option<String>,
    },
}

impl HelperError {
    /// The exit code that this leads to.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Unreachable { .. } | Self::NotRoot { .. } | Self::HungUp => Exit::Unreachable,
            Self::Nobody { .. } => Exit::Policy,
            Self::Answered { code, .. } => match code {
                Code::PermissionDenied | Code::Unauthenticated => Exit::Policy,
                Code::Unavailable => Exit::Unreachable,
                // The first is tonic's own.
                Code::Cancelled | Code::DeadlineExceeded => Exit::TimedOut,
                _ => Exit::Failed,
            },
        }
    }
}

impl From<Status> for HelperError {
    fn from(status: Status) -> Self {
        if hung_up(&status) {
            return Self::HungUp;
        }
        let info = status.get_details_error_info();
        let (reason, mut metadata) = info.map_or_else(
            || (format!("{:?}", status.code()), HashMap::new()),
            |info| (info.reason, info.metadata),
        );
        Self::Answered {
            code: status.code(),
            message: status.message().to_owned(),
            reason,
            rule: metadata.remove("rule"),
            hint: metadata.remove("hint"),
        }
    }
}

/// Whether the transport says so, and not the helper. It says, too, that a call took longer than
/// `CALL_TIMEOUT`.
fn hung_up(status: &Status) -> bool {
    has_cause::<tonic::transport::Error>(status) && !has_cause::<tonic::TimeoutExpired>(status)
}

fn has_cause<E: std::error::Error + 'static>(status: &Status) -> bool {
    let first = std::error::Error::source(status);
    std::iter::successors(first, |error| error.source()).any(<dyn std::error::Error>::is::<E>)
}

/// Whether a call is to be made again, and why. Every operation of the helper may be.
fn again(status: &Status) -> Option<Again> {
    if hung_up(status) {
        // Where nobody accepts any more, nobody answers in a moment.
        let gone = has_cause::<tonic::ConnectError>(status);
        return (!gone).then_some(Again::HungUp);
    }
    let info = status.get_details_error_info();
    match (
        status.code(),
        info.as_ref().map(|info| info.reason.as_str()),
    ) {
        (Code::ResourceExhausted, _) => {
            let wait = status.get_details_retry_info();
            let wait = wait.and_then(|info| info.retry_delay);
            wait.map(Again::TooOften)
        }
        (Code::Aborted, Some("BUSY")) => Some(Again::Busy),
        (_, Some(DOCKER_UNREACHABLE)) => Some(Again::DockerAway),
        _ => None,
    }
}

/// A connection to the helper.
#[derive(Debug, Clone)]
pub struct Helper {
    client: HelperClient<Channel>,
    patience: Patience,
}

impl Helper {
    /// Connects to `socket` and makes sure that root serves it.
    ///
    /// # Errors
    /// [`HelperError::Unreachable`] and [`HelperError::NotRoot`].
    pub async fn connect(socket: &Path) -> Result<Self, HelperError> {
        Self::connect_with(socket, None).await
    }

    /// The same, and `notify` tells what is waited for.
    ///
    /// # Errors
    /// [`HelperError::Unreachable`] and [`HelperError::NotRoot`].
    pub async fn connect_with(
        socket: &Path,
        notify: Option<Arc<dyn Notify>>,
    ) -> Result<Self, HelperError> {
        // The daemons answer no such caller: anybody could be it.
        let uid = rustix::process::geteuid().as_raw();
        if uid == overflow_uid() {
            return Err(HelperError::Nobody { uid });
        }
        let patience = Patience::with("the helper", socket, notify);
        // What it asks Docker for belongs to changes, which wait as deploy does.
        let patience = patience.waiting_for_docker(DOCKER_RESTARTS);
        let again = |error: &_| matches!(error, HelperError::HungUp).then_some(Again::HungUp);
        let channel = patience.turn(|| Self::channel(socket), again).await?;
        Ok(Self {
            client: HelperClient::new(channel),
            patience,
        })
    }

    /// The same with another time for a Docker Engine that is away; with none, that is reported at once.
    #[must_use]
    pub fn waiting_for_docker(mut self, time: Duration) -> Self {
        self.patience = self.patience.waiting_for_docker(time);
        self
    }

    async fn channel(socket: &Path) -> Result<Channel, HelperError> {
        // Connected manually first: a refusal of the connector would reach us as text only.
        let stream = connect_as_root(socket).await?;
        let endpoint = Endpoint::from_static("http://aistack-helper.invalid")
            // How slow the machine is, is known later.
            .timeout(CALL_TIMEOUT.saturating_mul(TimeScale::MOST))
            .connect_timeout(CONNECT_TIMEOUT);
        let connector = Connector {
            socket: socket.to_owned(),
            first: Some(stream),
        };
        let channel = endpoint.connect_with_connector(connector).await;
        // Somebody of root's took the connection, and let it go.
        channel.map_err(|_| HelperError::HungUp)
    }

    /// Calls until there is an answer.
    async fn call<T, F>(
        &self,
        mut call: impl FnMut(HelperClient<Channel>) -> F,
    ) -> Result<T, HelperError>
    where
        F: Future<Output = Result<tonic::Response<T>, Status>>,
    {
        let in_time = || {
            let limit = self.patience.limit(CALL_TIMEOUT);
            let called = Box::pin(call(self.client.clone()));
            async move {
                let answer = tokio::time::timeout(limit, called).await;
                answer.unwrap_or_else(|_| {
                    let limit = seconds(limit);
                    let sentence = format!("the helper did not answer within {limit}");
                    Err(Status::deadline_exceeded(sentence))
                })
            }
        };
        let answer = self.patience.turn(in_time, again);
        Ok(answer.await?.into_inner())
    }

    /// Gives every call so much longer from now on, for all clones.
    pub fn slow_down(&self, scale: TimeScale) {
        self.patience.slow_down(scale.times());
    }

    /// The caller's own grant and the state of its parts.
    ///
    /// # Errors
    /// What the helper answered.
    pub async fn who_am_i(&self) -> Result<v1::WhoAmIResponse, HelperError> {
        self.call(async |mut client| client.who_am_i(v1::WhoAmIRequest {}).await)
            .await
    }

    /// What the host's engine is, and whether it sees the caller's volume.
    ///
    /// # Errors
    /// What the helper answered; one that is older does not know the call.
    pub async fn check_engine(&self) -> Result<v1::CheckEngineResponse, HelperError> {
        self.call(async |mut client| client.check_engine(v1::CheckEngineRequest {}).await)
            .await
    }

    /// Makes the caller's volume available.
    ///
    /// # Errors
    /// What the helper answered.
    pub async fn mount_volume(&self) -> Result<v1::MountVolumeResponse, HelperError> {
        let request = v1::MountVolumeRequest {};
        self.call(async |mut client| client.mount_volume(request).await)
            .await
    }

    /// Takes the caller's volume off its place; what it holds stays in it.
    ///
    /// # Errors
    /// What the helper answered.
    pub async fn unmount_volume(&self) -> Result<v1::UnmountVolumeResponse, HelperError> {
        let request = v1::UnmountVolumeRequest {};
        self.call(async |mut client| client.unmount_volume(request).await)
            .await
    }

    /// Grows the file system of the caller's volume as far as it may.
    ///
    /// # Errors
    /// What the helper answered.
    pub async fn grow_volume(&self) -> Result<v1::GrowVolumeResponse, HelperError> {
        let request = v1::GrowVolumeRequest {};
        self.call(async |mut client| client.grow_volume(request).await)
            .await
    }

    /// Vets and loads the caller's AppArmor profiles.
    ///
    /// # Errors
    /// What the helper answered.
    pub async fn load_apparmor(&self) -> Result<v1::LoadAppArmorResponse, HelperError> {
        let request = v1::LoadAppArmorRequest {};
        self.call(async |mut client| client.load_app_armor(request).await)
            .await
    }

    /// Unloads the caller's AppArmor profiles; false when there were none.
    ///
    /// # Errors
    /// What the helper answered, also when a container still runs under one.
    pub async fn unload_apparmor(&self) -> Result<bool, HelperError> {
        let request = v1::UnloadAppArmorRequest {};
        let answer = self.call(async |mut client| client.unload_app_armor(request).await);
        Ok(answer.await?.changed)
    }

    /// Creates the fixed directories and `directories`.
    ///
    /// # Errors
    /// What the helper answered.
    pub async fn prepare_directories(
        &self,
        directories: Vec<v1::ServiceDirectory>,
    ) -> Result<v1::PrepareDirectoriesResponse, HelperError> {
        let request = v1::PrepareDirectoriesRequest { directories };
        self.call(async |mut client| client.prepare_directories(request.clone()).await)
            .await
    }

    /// Gives everything below one directory to its owner; returns how many entries changed.
    ///
    /// # Errors
    /// What the helper answered, also in the middle of the walk.
    pub async fn chown(&self, directory: v1::ServiceDirectory) -> Result<u64, HelperError> {
        let request = v1::ChownRequest {
            directory: Some(directory),
        };
        let chown = async |mut client: HelperClient<Channel>| client.chown(request.clone()).await;
        let mut progress = self.call(chown).await?;
        let mut changed = 0;
        while let Some(step) = progress.message().await? {
            changed = step.changed;
        }
        Ok(changed)
    }

    /// Creates the caller's Docker network.
    ///
    /// # Errors
    /// What the helper answered.
    pub async fn create_network(&self) -> Result<v1::CreateNetworkResponse, HelperError> {
        let request = v1::CreateNetworkRequest {};
        self.call(async |mut client| client.create_network(request).await)
            .await
    }

    /// Removes the caller's Docker network.
    ///
    /// # Errors
    /// What the helper answered.
    pub async fn remove_network(&self) -> Result<v1::RemoveNetworkResponse, HelperError> {
        let request = v1::RemoveNetworkRequest {};
        self.call(async |mut client| client.remove_network(request).await)
            .await
    }
}

/// What the kernel shows in the place of a UID that this user namespace does not have
/// (user_namespaces(7)).
pub(crate) fn overflow_uid() -> u32 {
    let text = std::fs::read_to_string("/proc/sys/kernel/overflowuid");
    text.ok()
        .and_then(|uid| uid.trim().parse().ok())
        .unwrap_or(65534)
}

/// Connects, and refuses a server that the kernel says is not root.
async fn connect_as_root(socket: &Path) -> Result<UnixStream, HelperError> {
    connect_served_by(0, socket).await
}

/// Connects and asks the kernel who is at the other end.
async fn connect_served_by(server: u32, socket: &Path) -> Result<UnixStream, HelperError> {
    let unreachable = |source| HelperError::Unreachable {
        socket: socket.to_owned(),
        source,
    };
    let stream = crate::socket::connect(socket, CONNECT_TIMEOUT)
        .await
        .map_err(unreachable)?;
    let uid = stream.peer_cred().map_err(unreachable)?.uid();
    if uid == server {
        Ok(stream)
    } else {
        Err(HelperError::NotRoot {
            socket: socket.to_owned(),
            uid,
        })
    }
}

/// Hands tonic the checked connection, and a newly checked one when it reconnects.
struct Connector {
    socket: PathBuf,
    first: Option<UnixStream>,
}

impl tonic::codegen::Service<Uri> for Connector {
    type Response = TokioIo<UnixStream>;
    type Error = HelperError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let first = self.first.take();
        let socket = self.socket.clone();
        Box::pin(async move {
            match first {
                Some(stream) => Ok(TokioIo::new(stream)),
                None => connect_as_root(&socket).await.map(TokioIo::new),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::{ErrorDetails, StatusExt};

    use super::*;

    #[test]
    fn a_refusal_keeps_its_rule_and_hint() {
        let mut details = ErrorDetails::new();
        details.set_error_info(
            "PORT_REFUSED",
            aistack_proto::ERROR_DOMAIN,
            HashMap::from([
                (
                    "rule".to_owned(),
                    "tenants.ports (policy.toml:9)".to_owned(),
                ),
                ("hint".to_owned(), "choose another".to_owned()),
            ]),
        );
        let status = Status::with_error_details(Code::PermissionDenied, "not yours", details);
        let error = HelperError::from(status);
        assert_eq!(error.exit(), Exit::Policy);
        let HelperError::Answered {
            rule, hint, reason, ..
        } = error
        else {
            panic!("{error}");
        };
        assert_eq!(reason, "PORT_REFUSED");
        assert_eq!(rule.as_deref(), Some("tenants.ports (policy.toml:9)"));
        assert_eq!(hint.as_deref(), Some("choose another"));
    }

    #[tokio::test]
    async fn nobody_on_the_socket_is_unreachable() {
        let dir = tempfile::tempdir().unwrap();
        let error = Helper::connect(&dir.path().join("none.sock"))
            .await
            .unwrap_err();
        assert_eq!(error.exit(), Exit::Unreachable);
    }

    #[tokio::test]
    async fn a_server_of_another_uid_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("helper.sock");
        let _listener = tokio::net::UnixListener::bind(&socket).unwrap();
        let own = rustix::process::geteuid().as_raw();
        assert!(connect_served_by(own, &socket).await.is_ok());
        let error = connect_served_by(own + 1, &socket).await.unwrap_err();
        assert!(matches!(error, HelperError::NotRoot { .. }), "{error}");
    }
}
