//! The audit log: intent before the act, outcome after it, both durable, in a hash chain.
//!
//! One thread of its own writes the file. Records that come while a batch is being synced become
//! the next batch, so concurrent callers share one fdatasync(2). The format is described in
//! `docs/audit.md`.

mod budget;
mod chain;
mod denials;
mod file;
mod files;
mod head;
mod past;
pub mod read;
mod record;
mod reserve;
mod tamper;
mod writer;

use std::io;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use self::file::LogFile;
use self::record::{Decision, Ending, Event, Request, bounded, cut};
use self::writer::{Message, Reply, Writer};
use crate::peer::Caller;

pub use budget::{Budget, OverBudget};
pub use chain::{Break, Head};
pub use denials::Denied;
pub use files::{Keep, Log, Rotation};
pub use record::BUDGET_RULE;

/// Records that wait to be written; callers beyond it wait to wait.
const QUEUE: usize = 256;

/// What the last record of a run says.
const STOP: &str = "stop";

/// Appends records to one daemon's log. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Audit {
    queue: mpsc::Sender<Message>,
}

/// What is about to happen, or what was refused.
#[derive(Debug, Clone)]
pub struct Intent {
    /// Who called.
    pub caller: Caller,
    /// Stable dotted name, e.g. `volume.mount`, `container.create`.
    pub operation: &'static str,
    /// Canonical arguments, rendered from our own types; never a secret.
    pub arguments: serde_json::Value,
    /// The rule that allowed or refused, e.g. `tenants.volume (policy.toml:12)`.
    pub rule: String,
    /// Digest of the policy in force (see `policy_store`).
    pub policy: String,
}

/// How an operation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was done, or was so already.
    Done,
    /// As `Done`, and something worth knowing about it.
    DoneWith(&'static str),
    /// It failed; the text is for the admin and holds no secret.
    Failed(String),
}

/// An operation cannot be recorded: it may not be done.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The log cannot be written, by anybody.
    #[error("the audit log cannot be written")]
    Unwritable(#[source] std::io::Error),
    /// The caller has used up its budget; others go on.
    #[error(transparent)]
    OverBudget(#[from] OverBudget),
}

/// The bounds of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Of its files.
    pub rotation: Rotation,
    /// Of what one UID may write.
    pub budget: Budget,
    /// The same while the disk is full.
    pub scarce: Budget,
}

impl Settings {
    /// What the daemons start with.
    pub const DEFAULT: Self = Self {
        rotation: Rotation::DEFAULT,
        budget: Budget::TENANT,
        scarce: Budget::SCARCE,
    };

    /// Of a log that is written at the start of the host only.
    pub const BRIEF: Self = Self {
        rotation: Rotation {
            reserve: 1 << 20,
            ..Rotation::DEFAULT
        },
        ..Self::DEFAULT
    };
}

/// An intent that is on disk and waits for its outcome. Dropping it without `finish` (the task
/// panicked, or nobody waits for it any more) records the outcome `interrupted`; what a killed
/// process leaves open is closed so by the next start.
#[derive(Debug)]
#[must_use = "an operation ends with its outcome"]
pub struct OpenRecord {
    queue: mpsc::Sender<Message>,
    /// Number of the intent's record; `None` while it is not on disk, and after the outcome.
    intent: Option<u64>,
    uid: u32,
    operation: &'static str,
    started: Instant,
}

impl Audit {
    /// Opens (or creates) `<dir>/<daemon>.jsonl`, reads the chain through, cuts off a torn last
    /// line and closes open intents of an earlier run as `interrupted`. What it had to repair, and a
    /// chain that was broken by someone, is recorded; only [`read::verify`] judges.
    ///
    /// # Errors
    /// When the directory or file is not the daemon's alone, another process has it, or it cannot
    /// be written.
    pub fn open(dir: &Path, daemon: &str, settings: Settings) -> Result<Self, AuditError> {
        let opened = LogFile::open(dir, daemon, settings.rotation);
        let (mut log, found) = opened.map_err(AuditError::Unwritable)?;
        let events = writer::opening_events(daemon, &found);
        log.append(events.iter()).map_err(AuditError::Unwritable)?;
        log.save_head().map_err(AuditError::Unwritable)?;
        let (queue, messages) = mpsc::channel(QUEUE);
        Writer::new(log, messages, &settings, &found)
            .start(daemon)
            .map_err(AuditError::Unwritable)?;
        Ok(Self { queue })
    }

    /// Records what is about to happen; returns when it is on disk (fdatasync, group commit).
    ///
    /// # Errors
    /// When it is not on disk, or the caller has used up its budget; the operation must not happen
    /// then.
    pub async fn intent(&self, intent: Intent) -> Result<OpenRecord, AuditError> {
        self.open_record(intent, false).await
    }

    /// The same for what a daemon does to a container to uphold the policy. It is charged to the
    /// caller's budget and never refused for it: whoever has used up the budget is not out of reach.
    ///
    /// # Errors
    /// When it is not on disk.
    pub async fn enforcement(&self, intent: Intent) -> Result<OpenRecord, AuditError> {
        self.open_record(intent, true).await
    }

    async fn open_record(&self, intent: Intent, enforces: bool) -> Result<OpenRecord, AuditError> {
        let record = OpenRecord {
            queue: self.queue.clone(),
            intent: None,
            uid: intent.caller.uid,
            operation: intent.operation,
            started: Instant::now(),
        };
        let event = Event::Intent(Request::new(intent, Decision::Allowed));
        let (reply, answer) = oneshot::channel();
        let message = Message {
            event,
            denied: None,
            enforces,
            reply: Reply::Intent(record, reply),
        };
        send(&self.queue, message).await?;
        answer.await.map_err(|_| ended())?
    }

    /// Records a refusal. What goes beyond the quota of its kind becomes counted summaries.
    ///
    /// # Errors
    /// When the log cannot be written.
    pub async fn denied(
        &self,
        intent: Intent,
        who: Denied,
        reason: &str,
    ) -> Result<(), AuditError> {
        let event = Event::Denied {
            request: Request::new(intent, Decision::Denied),
            reason: cut(reason.to_owned()),
        };
        write(&self.queue, event, Some(who)).await
    }

    /// Records something about the daemon itself, e.g. `policy-reloaded`.
    ///
    /// # Errors
    /// When the log cannot be written.
    pub async fn note(&self, what: &str, detail: Value) -> Result<(), AuditError> {
        let event = Event::Daemon {
            what: what.to_owned(),
            detail: bounded(detail),
        };
        write(&self.queue, event, None).await
    }

    /// Records that the daemon stops; returns when everything sent before is on disk.
    ///
    /// # Errors
    /// When the log cannot be written.
    pub async fn stop(&self) -> Result<(), AuditError> {
        self.note(STOP, json!({})).await
    }
}

impl OpenRecord {
    /// Records how it ended; returns when it is on disk. Call before replying.
    ///
    /// # Errors
    /// When the log cannot be written now. The outcome is kept and written as soon as it can be.
    pub async fn finish(mut self, outcome: Outcome) -> Result<(), AuditError> {
        let (ending, error, note) = match outcome {
            Outcome::Done => (Ending::Done, None, None),
            Outcome::DoneWith(note) => (Ending::Done, None, Some(note)),
            Outcome::Failed(error) => (Ending::Failed, Some(cut(error)), None),
        };
        let Some(event) = self.outcome(ending, error, note) else {
            return Ok(());
        };
        let (reply, answer) = oneshot::channel();
        let permit = self.queue.reserve().await.map_err(|_| ended())?;
        permit.send(Message {
            event,
            denied: None,
            enforces: false,
            reply: Reply::Plain(reply),
        });
        // From here on the writer has the outcome, whatever becomes of this future.
        self.intent = None;
        answer.await.map_err(|_| ended())?
    }

    fn outcome(
        &self,
        ending: Ending,
        error: Option<String>,
        note: Option<&'static str>,
    ) -> Option<Event> {
        Some(Event::Outcome {
            intent: self.intent?,
            uid: self.uid,
            operation: self.operation.to_owned(),
            outcome: ending,
            error,
            note,
            duration_us: u64::try_from(self.started.elapsed().as_micros()).ok(),
        })
    }
}

impl Drop for OpenRecord {
    fn drop(&mut self) {
        if let Some(event) = self.outcome(Ending::Interrupted, None, None) {
            // When the queue is full it stays open until the next start; waiting is impossible here.
            let _ = self.queue.try_send(Message {
                event,
                denied: None,
                enforces: false,
                reply: Reply::None,
            });
        }
    }
}

async fn write(
    queue: &mpsc::Sender<Message>,
    event: Event,
    denied: Option<Denied>,
) -> Result<(), AuditError> {
    let (reply, answer) = oneshot::channel();
    let message = Message {
        event,
        denied,
        enforces: false,
        reply: Reply::Plain(reply),
    };
    send(queue, message).await?;
    answer.await.map_err(|_| ended())?
}

async fn send(queue: &mpsc::Sender<Message>, message: Message) -> Result<(), AuditError> {
    queue.send(message).await.map_err(|_| ended())
}

fn ended() -> AuditError {
    AuditError::Unwritable(io::Error::other("the audit writer has ended"))
}

#[cfg(test)]
mod tests;
