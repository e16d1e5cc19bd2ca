//! The thread that writes the log: takes what is queued as one batch, syncs it, then answers all.

use std::io;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::{mpsc, oneshot};

use super::denials::{Counted, Denials, WINDOW};
use super::file::{Found, LogFile};
use super::record::{Ending, Event};
use super::{AuditError, OpenRecord};

/// Records in one batch at most.
const BATCH: usize = 256;
/// Events that are kept while the log cannot be written, outcomes aside.
const MAX_KEPT: usize = 1024;
/// The head of the chain goes to the daemon's own log after so many records.
const HEAD_EVERY: u64 = 256;

/// One event and who waits for it.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) event: Event,
    pub(super) reply: Reply,
}

#[derive(Debug)]
pub(super) enum Reply {
    /// The record to hand out, when the intent is on disk.
    Intent(OpenRecord, oneshot::Sender<Result<OpenRecord, AuditError>>),
    Plain(oneshot::Sender<Result<(), AuditError>>),
    None,
}

pub(super) struct Writer {
    log: LogFile,
    messages: mpsc::Receiver<Message>,
    denials: Denials,
    /// What has happened and could not be written yet.
    kept: Vec<Event>,
    failing: bool,
    started: Instant,
    head_told: u64,
}

impl Writer {
    pub(super) fn new(log: LogFile, messages: mpsc::Receiver<Message>) -> Self {
        Self {
            log,
            messages,
            denials: Denials::default(),
            kept: Vec::new(),
            failing: false,
            started: Instant::now(),
            head_told: 0,
        }
    }

    /// Runs the writer on a thread of its own until the last `Audit` is gone.
    pub(super) fn start(self, daemon: &str) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()?;
        std::thread::Builder::new()
            .name(format!("audit-{daemon}"))
            .spawn(move || runtime.block_on(self.run()))?;
        Ok(())
    }

    async fn run(mut self) {
        self.tell_head();
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let wait = self.next_wait();
            match tokio::time::timeout(wait, self.messages.recv_many(&mut batch, BATCH)).await {
                Ok(0) => break,
                Ok(_) | Err(_) => self.write(std::mem::take(&mut batch)),
            }
        }
        self.kept
            .extend(self.denials.flush().into_iter().map(summary));
        self.write(Vec::new());
        self.tell_head();
    }

    /// Until when nothing is to be done unless something comes.
    fn next_wait(&self) -> Duration {
        let retry = (!self.kept.is_empty()).then_some(Duration::from_secs(1));
        let window = self.denials.ends_in(self.started.elapsed());
        retry.into_iter().chain(window).min().unwrap_or(WINDOW)
    }

    fn write(&mut self, batch: Vec<Message>) {
        let now = self.started.elapsed();
        let ended = self.denials.ended(now);
        self.kept.extend(ended.into_iter().map(summary));
        let listed: Vec<Message> = batch
            .into_iter()
            .filter_map(|message| self.list_or_count(message, now))
            .collect();
        if self.kept.is_empty() && listed.is_empty() {
            return;
        }
        let events = self.kept.iter().chain(listed.iter().map(|m| &m.event));
        match self.log.append(events) {
            Ok(first) => self.written(first, listed),
            Err(error) => self.not_written(&error, listed),
        }
    }

    /// The message itself, or nothing when it is a refusal that is only counted.
    fn list_or_count(&mut self, message: Message, now: Duration) -> Option<Message> {
        let Event::Refused { request, .. } = &message.event else {
            return Some(message);
        };
        if self.denials.list(request.uid(), now) {
            return Some(message);
        }
        if let Reply::Plain(reply) = message.reply {
            let _ = reply.send(Ok(()));
        }
        None
    }

    fn written(&mut self, first: u64, messages: Vec<Message>) {
        if std::mem::take(&mut self.failing) {
            tracing::warn!("the audit log can be written again");
        }
        let first = first + self.kept.len() as u64;
        self.kept.clear();
        let stops = messages.iter().any(|message| is_stop(&message.event));
        if stops || self.log.head().seq >= self.head_told + HEAD_EVERY {
            self.tell_head();
        }
        for (message, seq) in messages.into_iter().zip(first..) {
            match message.reply {
                Reply::Intent(mut record, reply) => {
                    record.intent = Some(seq);
                    // When nobody waits any more, the record is dropped and so closes itself.
                    let _ = reply.send(Ok(record));
                }
                Reply::Plain(reply) => drop(reply.send(Ok(()))),
                Reply::None => {}
            }
        }
    }

    fn not_written(&mut self, error: &io::Error, messages: Vec<Message>) {
        if !std::mem::replace(&mut self.failing, true) {
            tracing::error!(%error, "the audit log cannot be written; every operation is refused");
        }
        for message in messages {
            match message.reply {
                Reply::Intent(_, reply) => drop(reply.send(Err(AuditError(copy_of(error))))),
                Reply::Plain(reply) => drop(reply.send(Err(AuditError(copy_of(error))))),
                Reply::None => {}
            }
            self.keep(message.event);
        }
    }

    /// What has happened is written later; an intent was refused, so nothing has.
    fn keep(&mut self, event: Event) {
        let keep = match event {
            Event::Intent(_) => false,
            // As many as there are operations under way.
            Event::Outcome { .. } => true,
            Event::Refused { .. } | Event::RefusalsCounted { .. } | Event::Daemon { .. } => {
                self.kept.len() < MAX_KEPT
            }
        };
        if keep {
            self.kept.push(event);
        }
    }

    fn tell_head(&mut self) {
        let head = self.log.head();
        tracing::info!(seq = head.seq, digest = %head.digest, "head of the audit chain");
        self.head_told = head.seq;
    }
}

/// After it the process ends, so this is the time for last words.
fn is_stop(event: &Event) -> bool {
    matches!(event, Event::Daemon { what, .. } if what == super::STOP)
}

fn summary(counted: Counted) -> Event {
    Event::RefusalsCounted {
        uid: counted.uid,
        count: counted.count,
        seconds: WINDOW.as_secs(),
    }
}

/// What the daemon's start writes: itself, what was mended, and the ends of what was cut off.
pub(super) fn opening_events(daemon: &str, found: &Found) -> Vec<Event> {
    let daemon_event = |what: &str, detail| Event::Daemon {
        what: what.to_owned(),
        detail,
    };
    let mut events = Vec::new();
    if let Some(torn) = &found.torn {
        tracing::warn!(
            bytes = torn.bytes,
            "cut off a torn last line of the audit log"
        );
        let detail = json!({"bytes": torn.bytes, "sha256": torn.sha256});
        events.push(daemon_event("torn-line-cut-off", detail));
    }
    if let Some((line, problem)) = &found.broken {
        tracing::error!(line, %problem, "the audit chain is broken; run `aistack-helper audit verify`");
        let detail = json!({"line": line, "problem": problem.to_string()});
        events.push(daemon_event("chain-broken", detail));
    }
    let detail =
        json!({"daemon": daemon, "version": env!("CARGO_PKG_VERSION"), "pid": std::process::id()});
    events.push(daemon_event("start", detail));
    events.extend(found.open.iter().map(|(intent, open)| Event::Outcome {
        intent: *intent,
        uid: open.uid,
        operation: open.operation.clone(),
        outcome: Ending::Interrupted,
        error: Some("the daemon ended before the operation did".to_owned()),
        note: None,
        duration_us: None,
    }));
    events
}

/// One error for each of a batch: `io::Error` cannot be cloned.
fn copy_of(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(
        || io::Error::new(error.kind(), error.to_string()),
        io::Error::from_raw_os_error,
    )
}
