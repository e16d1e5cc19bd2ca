//! The thread that writes the log: takes what is queued as one batch, syncs it, then answers all.

use std::io;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::{mpsc, oneshot};

use super::budget::{Budget, Budgets, Detail, OverBudget};
use super::denials::{Counted, Denials, Denied, WINDOW};
use super::file::LogFile;
use super::past::{Found, START, TAMPERED};
use super::record::{Ending, Event, Who};
use super::{AuditError, OpenRecord, Settings};

/// Records in one batch at most.
const BATCH: usize = 256;
/// Events that are kept while the log cannot be written, outcomes aside.
const MAX_PROFILE_LEN: usize = 1024;
/// The head of the chain goes to the daemon's own log after so many records.
const HEAD_EVERY: u64 = 256;

/// How often the head file follows the log at most; each time is one more sync.
const SAVE_EVERY: Duration = Duration::from_secs(1);
/// How often a log to which nothing is written is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// The clock of budgets starts so late that what earlier runs wrote is recognised by its age.
const BEFORE: Duration = Duration::from_hours(24);

/// One event and who waits for it.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) event: Event,
    /// Who was refused, of a refusal.
    pub(super) denied: Option<Denied>,
    /// An intent that no budget refuses.
    pub(super) enforces: bool,
    pub(super) reply: Reply,
}

/// A message that is to be written, and what its UID's account was charged for it.
struct Admitted {
    message: Message,
    charged: Option<(u32, u64)>,
}

#[derive(Debug)]
pub(super) enum Reply {
    /// The record to return, when the intent is on disk.
    Intent(OpenRecord, oneshot::Sender<Result<OpenRecord, AuditError>>),
    Plain(oneshot::Sender<Result<(), AuditError>>),
    None,
}

pub(super) struct Writer {
    log: LogFile,
    messages: mpsc::Receiver<Message>,
    denials: Denials,
    budgets: Budgets,
    /// The accounts while the disk is full.
    scarce: Option<Budgets>,
    scarce_budget: Budget,
    /// What has happened and could not be written yet.
    kept: Vec<Event>,
    failing: bool,
    started: Instant,
    head_written: u64,
    head_saved: Duration,
}

impl Writer {
    pub(super) fn new(
        log: LogFile,
        messages: mpsc::Receiver<Message>,
        settings: &Settings,
        found: &Found,
    ) -> Self {
        let mut budgets = Budgets::new(settings.budget);
        for spent in &found.spent {
            let then = BEFORE.saturating_sub(spent.age);
            budgets.charge(spent.uid, spent.bytes, then);
        }
        Self {
            log,
            messages,
            denials: Denials::default(),
            budgets,
            scarce: None,
            scarce_budget: settings.scarce,
            kept: Vec::new(),
            failing: false,
            started: Instant::now(),
            head_written: 0,
            head_saved: BEFORE,
        }
    }

    fn now(&self) -> Duration {
        BEFORE.saturating_add(self.started.elapsed())
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
        self.save_head();
        self.tell_head();
    }

    /// Until when nothing is to be done unless something comes.
    fn next_wait(&self) -> Duration {
        let now = self.now();
        let retry = (!self.kept.is_empty()).then_some(Duration::from_secs(1));
        let window = self.denials.ends_in(now);
        let save = self
            .log
            .is_ahead_of_its_head_file()
            .then(|| (self.head_saved + SAVE_EVERY).saturating_sub(now));
        let waits = retry.into_iter().chain(window).chain(save);
        waits.min().unwrap_or(LOOK_EVERY).min(LOOK_EVERY)
    }

    fn write(&mut self, batch: Vec<Message>) {
        let now = self.now();
        for tally in self.denials.ended(now) {
            self.keep(summary(tally));
        }
        self.follow_the_disk();
        let listed: Vec<Admitted> = batch
            .into_iter()
            .filter_map(|message| self.admit(message, now))
            .collect();
        if self.kept.is_empty() && listed.is_empty() {
            self.look();
        } else {
            let messages = listed.iter().map(|admitted| &admitted.message.event);
            match self.log.append(self.kept.iter().chain(messages)) {
                Ok(first) => self.written(first, listed),
                Err(error) => self.not_written(&error, listed),
            }
        }
        if now >= self.head_saved.saturating_add(SAVE_EVERY) {
            self.save_head();
        }
    }

    /// Nothing is to be written: whether the log still is where it was.
    fn look(&mut self) {
        if let Err(error) = self.log.look() {
            tracing::error!(%error, "the audit log was moved, and a new one cannot be created");
        }
    }

    /// With a full disk everyone has a small budget of what is left.
    fn follow_the_disk(&mut self) {
        match (self.log.is_scarce(), self.scarce.is_some()) {
            (true, false) => self.scarce = Some(Budgets::scarce(self.scarce_budget)),
            (false, true) => self.scarce = None,
            _ => {}
        }
    }

    /// The message as it is to be written, or nothing when it is a refusal that is only counted, or
    /// an operation that the caller's budget has no room for.
    fn admit(&mut self, message: Message, now: Duration) -> Option<Admitted> {
        match &message.event {
            Event::Intent(_) => self.admit_intent(message, now),
            Event::Outcome { .. } => Some(self.admit_outcome(message, now)),
            Event::Denied { .. } => self.admit_refusal(message, now),
            Event::RefusalsCounted { .. } | Event::Daemon { .. } => Some(Admitted {
                message,
                charged: None,
            }),
        }
    }

    fn accounts(&mut self) -> &mut Budgets {
        self.scarce.as_mut().unwrap_or(&mut self.budgets)
    }

    fn admit_intent(&mut self, mut message: Message, now: Duration) -> Option<Admitted> {
        let uid = message.event.uid()?;
        if self.accounts().detail(uid, now) == Detail::Small {
            message.event.make_small();
        }
        let cost = message.event.cost();
        if message.enforces {
            self.accounts().charge(uid, cost, now);
            return Some(Admitted {
                message,
                charged: Some((uid, cost)),
            });
        }
        match self.accounts().take(uid, cost, now) {
            Ok(()) => Some(Admitted {
                message,
                charged: Some((uid, cost)),
            }),
            Err(over) => self.refuse(message, uid, over, now),
        }
    }

    /// Answers with a refusal; the first of a window is listed.
    fn refuse(
        &mut self,
        message: Message,
        uid: u32,
        over: OverBudget,
        now: Duration,
    ) -> Option<Admitted> {
        if let Reply::Intent(_, reply) = message.reply {
            let _ = reply.send(Err(over.into()));
        }
        let list = self.denials.list(uid, Denied::OverBudget, false, now);
        let event = message.event.refused(&over).filter(|_| list)?;
        let cost = event.cost();
        self.accounts().charge(uid, cost, now);
        Some(Admitted {
            message: Message {
                event,
                denied: Some(Denied::OverBudget),
                enforces: false,
                reply: Reply::None,
            },
            charged: Some((uid, cost)),
        })
    }

    /// What has begun is recorded to its end.
    fn admit_outcome(&mut self, mut message: Message, now: Duration) -> Admitted {
        let Event::Outcome { uid, outcome, .. } = &message.event else {
            return Admitted {
                message,
                charged: None,
            };
        };
        let (uid, failed) = (*uid, *outcome == Ending::Failed);
        if self.accounts().detail(uid, now) == Detail::Small {
            message.event.make_small();
        }
        let cost = message.event.cost();
        self.accounts().charge(uid, cost, now);
        self.accounts().ended(uid, failed, now);
        Admitted {
            message,
            charged: Some((uid, cost)),
        }
    }

    fn admit_refusal(&mut self, mut message: Message, now: Duration) -> Option<Admitted> {
        let uid = message.event.uid()?;
        let kind = message.denied.unwrap_or(Denied::Stranger);
        let stranger = kind == Denied::Stranger;
        if stranger || self.accounts().detail(uid, now) == Detail::Small {
            message.event.make_small();
        }
        let cost = message.event.cost();
        let affordable = if stranger {
            // Their quota is their budget, and of a full disk's reserve they get nothing.
            self.scarce.is_none()
        } else {
            self.accounts().can_take(uid, cost, now)
        };
        if !self.denials.list(uid, kind, affordable, now) {
            if let Reply::Plain(reply) = message.reply {
                let _ = reply.send(Ok(()));
            }
            return None;
        }
        if !stranger {
            self.accounts().charge(uid, cost, now);
        }
        Some(Admitted {
            message,
            charged: (!stranger).then_some((uid, cost)),
        })
    }

    fn written(&mut self, first: u64, admitted: Vec<Admitted>) {
        if std::mem::take(&mut self.failing) {
            tracing::warn!("the audit log can be written again");
        }
        let first = first + self.kept.len() as u64;
        self.kept.clear();
        let messages = admitted.into_iter().map(|admitted| admitted.message);
        let messages: Vec<Message> = messages.collect();
        let stops = messages.iter().any(|message| is_stop(&message.event));
        if stops || self.log.head().seq >= self.head_written + HEAD_EVERY {
            self.tell_head();
        }
        if stops {
            self.save_head();
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

    fn not_written(&mut self, error: &io::Error, admitted: Vec<Admitted>) {
        if !std::mem::replace(&mut self.failing, true) {
            tracing::error!(%error, "the audit log cannot be written; every operation is refused");
        }
        for Admitted { message, charged } in admitted {
            let unwritable = || AuditError::Unwritable(copy_of(error));
            match message.reply {
                Reply::Intent(_, reply) => drop(reply.send(Err(unwritable()))),
                Reply::Plain(reply) => drop(reply.send(Err(unwritable()))),
                Reply::None => {}
            }
            let kept = self.keep(message.event);
            if let (false, Some((uid, cost))) = (kept, charged) {
                self.accounts().give_back(uid, cost);
            }
        }
    }

    /// What has happened is written later; an intent was refused, so nothing has.
    fn keep(&mut self, event: Event) -> bool {
        let keep = match event {
            Event::Intent(_) => false,
            // As many as there are operations under way.
            Event::Outcome { .. } => true,
            Event::Denied { .. } | Event::RefusalsCounted { .. } | Event::Daemon { .. } => {
                self.kept.len() < MAX_PROFILE_LEN
            }
        };
        if keep {
            self.kept.push(event);
        }
        keep
    }

    fn save_head(&mut self) {
        self.head_saved = self.now();
        if let Err(error) = self.log.save_head() {
            tracing::warn!(%error, "the head file of the audit log cannot be written");
        }
    }

    fn tell_head(&mut self) {
        let head = self.log.head();
        tracing::info!(seq = head.seq, digest = %head.digest, "head of the audit chain");
        self.head_written = head.seq;
    }
}

/// After it the process ends, so this is the time for last words.
fn is_stop(event: &Event) -> bool {
    matches!(event, Event::Daemon { what, .. } if what == super::STOP)
}

fn summary(counted: Counted) -> Event {
    Event::RefusalsCounted {
        uid: counted.uid,
        of: if counted.strangers {
            Who::Strangers
        } else {
            Who::Tenants
        },
        count: counted.count,
        reaching: counted.reaching,
        seconds: WINDOW.as_secs(),
    }
}

/// What the daemon's start writes: itself, what was repaired, and the ends of what was cut off.
pub(super) fn opening_events(daemon: &str, found: &Found) -> Vec<Event> {
    let daemon_event = |what: &str, detail| Event::Daemon {
        what: what.to_owned(),
        detail,
    };
    let mut events = Vec::new();
    if let Some(torn) = &found.torn {
        tracing::warn!(
            bytes = torn.bytes,
            "removed an incomplete last line of the audit log"
        );
        let detail = json!({"bytes": torn.bytes, "sha256": torn.sha256});
        events.push(daemon_event("torn-line-cut-off", detail));
    }
    if let Some((line, problem)) = &found.broken {
        tracing::error!(line, %problem, "the audit chain is broken; run `aistack-helper audit verify`");
        let detail = json!({"line": line, "problem": problem.to_string()});
        events.push(daemon_event("chain-broken", detail));
    }
    if let Some(problem) = &found.tampered {
        tracing::error!(
            problem,
            "the audit log was tampered with; run `aistack-helper audit verify`"
        );
        events.push(daemon_event(TAMPERED, json!({"problem": problem})));
    }
    let detail = json!({
        "daemon": daemon,
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "head": true,
    });
    events.push(daemon_event(START, detail));
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
