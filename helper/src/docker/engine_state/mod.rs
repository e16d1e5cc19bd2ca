//! What the engine is: queried when the daemon begins and whenever the engine has started again, reported in
//! the log, and looked up before anything is made on it.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use aistack_policy::Refusal;
use aistack_policy::engine::{ApiVersion, EngineFacts, Severity, judge, refusal};
use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::sync::watch;

use super::{Docker, DockerError, whole};

/// Time for the engine to say what it is.
const PATIENCE: Duration = Duration::from_secs(20);

/// Time between two looks at least, however often an engine comes and goes.
const PAUSE: Duration = Duration::from_secs(5);

/// An open request for what never happens: it ends when the engine does. Without a version before
/// it every engine understands it.
const UNTIL_IT_ENDS: &str =
    "/events?filters=%7B%22type%22%3A%5B%22daemon%22%5D%2C%22event%22%3A%5B%22none%22%5D%7D";

/// What an engine is, for as long as it runs.
#[derive(Debug)]
pub(super) struct Known {
    facts: EngineFacts,
    socket: Option<SocketFile>,
    /// True when the engine has ended since.
    ended: watch::Receiver<bool>,
}

impl Known {
    /// Whether the engine that answered is the one that would answer now, as far as can be seen.
    fn holds(&self, socket: &Path) -> bool {
        // The sender is gone with the task that watches.
        let runs = self.ended.has_changed().is_ok() && !*self.ended.borrow();
        runs && self.socket.is_some() && self.socket == SocketFile::at(socket)
    }
}

/// Tells one socket from another one of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SocketFile {
    device: u64,
    inode: u64,
    /// Seconds and nanoseconds: an inode may be given again.
    changed: (i64, i64),
}

impl SocketFile {
    fn at(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

impl Docker {
    /// What the engine is. It is queried once in each of its lives, and each time where that cannot be
    /// reported.
    ///
    /// # Errors
    /// When it does not answer in time, or not as an engine does.
    pub async fn facts(&self) -> Result<EngineFacts, DockerError> {
        let known = self.known().clone();
        if let Some(known) = known.filter(|known| known.holds(&self.socket)) {
            return Ok(known.facts.clone());
        }
        Ok(self.look().await?.facts.clone())
    }

    /// What the engine was when it was last queried. Asking again would have systemd start one that the
    /// administrator has stopped.
    #[must_use]
    pub fn last_facts(&self) -> Option<EngineFacts> {
        self.known().as_ref().map(|known| known.facts.clone())
    }

    /// Refuses where nothing may be made on this engine, and where it does not say what it is.
    ///
    /// # Errors
    /// The refusal, or why the engine could not be queried.
    pub async fn require_supported<E>(&self) -> Result<(), E>
    where
        E: From<Refusal> + From<DockerError>,
    {
        match refusal(&self.facts().await?) {
            Some(refusal) => Err(refusal.into()),
            None => Ok(()),
        }
    }

    /// Reads from the engine what it is.
    async fn look(&self) -> Result<Arc<Known>, DockerError> {
        let known = tokio::time::timeout(PATIENCE, self.ask()).await;
        let known = Arc::new(known.map_err(|_| super::broke("it takes long to answer"))??);
        *self.known() = Some(Arc::clone(&known));
        Ok(known)
    }

    async fn ask(&self) -> Result<Known, DockerError> {
        let socket = SocketFile::at(&self.socket);
        // Before the questions: while it is open, what was answered is about the engine that runs.
        let ended = self.until_it_ends().await;
        let get = async |path: &str| -> Result<Value, DockerError> {
            let answer = self
                .send_as_it_is(Method::GET, path, &[], Bytes::new())
                .await?;
            if !answer.status().is_success() {
                return Err(DockerError::of(answer).await);
            }
            serde_json::from_slice(&whole(answer).await?).map_err(super::broke)
        };
        let (version, info) = (get("/version").await?, get("/info").await?);
        Ok(Known {
            facts: EngineFacts::read(&version, &info).map_err(super::broke)?,
            socket,
            ended,
        })
    }

    /// Turns true when the engine has ended; at once where it does not say so.
    async fn until_it_ends(&self) -> watch::Receiver<bool> {
        let (end, ended) = watch::channel(false);
        let opened = self
            .send_as_it_is(Method::GET, UNTIL_IT_ENDS, &[], Bytes::new())
            .await;
        match opened {
            Ok(answer) if answer.status().is_success() => {
                let mut body = answer.into_body();
                tokio::spawn(async move {
                    // Nobody is left who wants to know: the stream is closed.
                    let unwanted = end.closed();
                    let streams = async { while let Some(Ok(_)) = body.frame().await {} };
                    tokio::select! {
                        () = unwanted => {}
                        () = streams => { end.send_replace(true); }
                    }
                });
            }
            _ => drop(end),
        }
        ended
    }

    fn known(&self) -> MutexGuard<'_, Option<Arc<Known>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells the log how the engine stands, now and after each time that it was away. Never returns. An
/// engine that has ended is looked at when a request has reached it again: looking would make
/// systemd start one that the administrator has stopped.
pub async fn watch(docker: Docker) {
    let mut last = String::new();
    loop {
        match docker.look().await {
            Ok(known) => {
                tell(&EngineState::Seen(&known.facts), &mut last);
                let mut ended = known.ended.clone();
                drop(known);
                // An error says that the stream is closed: the same.
                let _ = ended.wait_for(|ended| *ended).await;
                // Another one may take its place.
                docker.agreed.forget();
            }
            Err(error) => tell(
                &EngineState::Unknown(crate::daemon::error_chain(&error)),
                &mut last,
            ),
        }
        tokio::time::sleep(PAUSE).await;
        docker.reached.notified().await;
    }
}

/// What is known of an engine.
enum EngineState<'a> {
    Seen(&'a EngineFacts),
    Unknown(String),
}

/// Says what has changed since the last time.
fn tell(state: &EngineState<'_>, last: &mut String) {
    let now = match state {
        EngineState::Unknown(error) => format!("{error:?}"),
        EngineState::Seen(facts) => format!("{facts:?}"),
    };
    if now == *last {
        return;
    }
    *last = now;
    match state {
        EngineState::Unknown(error) => {
            tracing::warn!(%error, "Docker does not describe itself; will retry");
        }
        EngineState::Seen(facts) => {
            let newest = facts.newest.map(|version| version.to_string());
            let spoken = facts
                .newest
                .and_then(|newest| ApiVersion::negotiated(facts.oldest, newest))
                .map_or_else(|| "none".to_owned(), |version| version.to_string());
            tracing::info!(
                engine = %facts.version,
                api = newest.unwrap_or_default(),
                spoken,
                "Docker answers"
            );
            for finding in judge(facts) {
                let (found, means, next) = (finding.found, finding.means, finding.next);
                match finding.severity {
                    Severity::Unsupported | Severity::Failing => {
                        tracing::error!(means, next, "{found}");
                    }
                    Severity::Limited => tracing::warn!(means, next, "{found}"),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
