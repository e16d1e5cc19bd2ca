//! Doing what was permitted. A change runs alone for its UID, in a task of its own, so that a caller
//! who goes away does not stop it half way; a panic in it becomes an answer.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aistack_proto::v1::ChownProgress;
use futures_util::FutureExt;
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::admission::Permission;
use super::vet::Vetted;
use super::{Front, status};
use crate::audit::{AuditError, OpenRecord, Outcome};
use crate::daemon::error_chain;
use crate::ops::{self, Ops, ServiceDir};
use crate::seldom::Seldom;

static NOT_AUDITED: Seldom = Seldom::new();

/// Progress messages that wait for a slow reader; later ones are left out.
const PROGRESS: usize = 16;
/// How long the last message waits for a slow reader.
const LAST_WORD: Duration = Duration::from_secs(30);

/// What an operation is given.
#[derive(Debug)]
pub(super) struct CallContext<V> {
    pub(super) ops: Arc<Ops>,
    pub(super) permission: Permission,
    pub(super) value: V,
    pub(super) note: Note,
}

/// What the audit log says beside "done".
#[derive(Debug, Clone, Default)]
pub(super) struct Note(Arc<OnceLock<&'static str>>);

impl Note {
    /// The first note stays.
    pub(super) fn write(&self, note: &'static str) {
        self.0.get_or_init(|| note);
    }
}

/// The right to run now: alone for the UID, and one of a bounded number.
#[derive(Debug)]
struct Turn {
    _alone: OwnedMutexGuard<()>,
    _slot: OwnedSemaphorePermit,
}

/// Why an operation gave no result.
#[derive(Debug, thiserror::Error)]
enum OperationError {
    #[error("{}: {}", .0.reason(), error_chain(.0))]
    Operation(ops::Error),
    #[error("PANICKED: the operation panicked")]
    Panicked,
    #[error("GIVEN_UP: the operation did not end within {} s", .0.as_secs())]
    GivenUp(Duration),
}

impl OperationError {
    fn status(&self) -> Status {
        match self {
            Self::Operation(error) => status::failed(error),
            Self::Panicked => status::internal(),
            Self::GivenUp(_) => status::failed(&ops::Error::Interrupted),
        }
    }
}

impl Front {
    /// Does it: a read at once, a change in its turn and between two audit records.
    pub(super) async fn perform<V, R, Act>(
        &self,
        permission: Permission,
        vetted: Vetted<V>,
        act: impl FnOnce(CallContext<V>) -> Act + Send + 'static,
    ) -> Result<R, Status>
    where
        V: Send + 'static,
        R: Send + 'static,
        Act: Future<Output = Result<R, ops::Error>> + Send + 'static,
    {
        let intent = permission.intent(vetted.arguments);
        let changes = permission.method.changes();
        let limit = self.shared.times.operation;
        let note = Note::default();
        let context = CallContext {
            ops: Arc::clone(&self.shared.ops),
            permission,
            value: vetted.value,
            note: note.clone(),
        };
        if !changes {
            let result = guarded(act(context), limit).await;
            return result.map_err(|failure| failure.status());
        }
        let turn = self.turn(intent.caller.uid).await?;
        let audit = self.shared.audit.clone();
        let task = tokio::spawn(async move {
            let record = audit.intent(intent).await.map_err(not_audited)?;
            let result = guarded(act(context), limit).await;
            finish(record, outcome_of(&result, &note)).await?;
            drop(turn);
            result.map_err(|failure| failure.status())
        });
        task.await.unwrap_or_else(|_| Err(status::internal()))
    }

    /// As [`Front::perform`], with progress while it runs.
    pub(super) async fn chown(
        &self,
        permission: Permission,
        vetted: Vetted<ServiceDir>,
    ) -> Result<ReceiverStream<Result<ChownProgress, Status>>, Status> {
        let turn = self.turn(permission.caller.uid).await?;
        let intent = permission.intent(vetted.arguments);
        let intent = self.shared.audit.intent(intent);
        let record = intent.await.map_err(not_audited)?;
        let limit = self.shared.times.operation;
        let (sender, receiver) = mpsc::channel(PROGRESS);
        tokio::spawn(async move {
            let walk = walk(permission, vetted.value, sender.clone());
            let result = guarded(walk, limit).await;
            let last = match finish(record, outcome_of(&result, &Note::default())).await {
                Ok(()) => result.map_err(|failure| failure.status()),
                Err(status) => Err(status),
            };
            drop(turn);
            let _ = tokio::time::timeout(LAST_WORD, sender.send(last)).await;
        });
        Ok(ReceiverStream::new(receiver))
    }

    async fn turn(&self, uid: u32) -> Result<Turn, Status> {
        let turn = self.shared.locks.turn_of(uid, self.shared.times.turn);
        let alone = turn.await.ok_or_else(status::busy)?;
        let slot = Arc::clone(&self.shared.running).acquire_owned();
        Ok(Turn {
            _alone: alone,
            _slot: slot.await.map_err(|_| status::stopping())?,
        })
    }
}

/// Passes progress on, as far as the reader keeps up; returns the last message.
async fn walk(
    permission: Permission,
    dir: ServiceDir,
    sender: mpsc::Sender<Result<ChownProgress, Status>>,
) -> Result<ChownProgress, ops::Error> {
    let mut messages = ops::chown(&permission.grant, &dir);
    while let Some(message) = messages.recv().await {
        let progress = message?;
        if progress.done {
            return Ok(progress);
        }
        let _ = sender.try_send(Ok(progress));
    }
    Err(ops::Error::Interrupted)
}

async fn guarded<R>(
    act: impl Future<Output = Result<R, ops::Error>>,
    limit: Duration,
) -> Result<R, OperationError> {
    let caught = AssertUnwindSafe(act).catch_unwind();
    match tokio::time::timeout(limit, caught).await {
        Ok(Ok(result)) => result.map_err(OperationError::Operation),
        Ok(Err(_)) => Err(OperationError::Panicked),
        Err(_) => Err(OperationError::GivenUp(limit)),
    }
}

fn outcome_of<R>(result: &Result<R, OperationError>, note: &Note) -> Outcome {
    match result {
        Ok(_) => match note.0.get() {
            Some(note) => Outcome::DoneWith(note),
            None => Outcome::Done,
        },
        Err(failure) => Outcome::Failed(failure.to_string()),
    }
}

async fn finish(record: OpenRecord, outcome: Outcome) -> Result<(), Status> {
    record.finish(outcome).await.map_err(|error| {
        tracing::error!(error = %error_chain(&error), "an outcome is not in the audit log yet");
        status::outcome_not_audited()
    })
}

fn not_audited(error: AuditError) -> Status {
    match error {
        AuditError::OverBudget(over) => status::over_budget(&over),
        unwritable @ AuditError::Unwritable(_) => {
            if let Some(unsaid) = NOT_AUDITED.again() {
                tracing::error!(error = %error_chain(&unwritable), unsaid, "refused an operation");
            }
            status::not_audited()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn a_panic_and_an_operation_without_end_become_answers() {
        let panics = guarded::<()>(async { panic!("as a bug would") }, LIMIT).await;
        let failure = panics.unwrap_err();
        assert_eq!(failure.status().code(), tonic::Code::Internal);
        assert!(!failure.status().message().contains("as a bug would"));
        let endless = guarded::<()>(std::future::pending(), LIMIT).await;
        let failure = endless.unwrap_err();
        assert_eq!(failure.status().code(), tonic::Code::Aborted);
        assert_eq!(
            failure.to_string(),
            "GIVEN_UP: the operation did not end within 0 s"
        );
        assert_eq!(guarded(async { Ok(7) }, LIMIT).await.unwrap(), 7);
    }
}
