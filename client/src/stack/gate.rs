//! Waiting until a container is healthy: driven by the engine's events, checked by inspection.

use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::desired::StartLimits;
use crate::engine::{Engine, EngineError, Event, Health, Inspection};
use crate::patience::DOCKER_RESTARTS;
use crate::stack::diagnose::ServiceError;
use crate::stack::slowness::{self, Probes};
use crate::ui::{Progress, Word, seconds};

/// How often a container is looked at although no event came: an event may be lost while the
/// stream is being opened.
const SAFETY: Duration = Duration::from_secs(2);
/// How long the gateway may be away while a container is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// An answer that takes longer than this is one of an engine that was away.
const AWAY: Duration = Duration::from_secs(4);
/// How long the event stream stays closed after it broke.
const REOPEN: Duration = Duration::from_millis(500);
/// Events that a slow waiter may lag behind; one that lags more looks at its container instead.
const BACKLOG: usize = 256;

/// One stream of events, shared by all waiters. Ends with the value.
pub struct Gate {
    engine: Engine,
    events: broadcast::Sender<Event>,
    reader: JoinHandle<()>,
    progress: Option<Progress>,
}

impl Gate {
    /// Opens the stream of events.
    #[must_use]
    pub fn open(engine: &Engine) -> Self {
        let (events, _) = broadcast::channel(BACKLOG);
        // What waits here has changed something already.
        let engine = engine.clone().waiting_for_docker(DOCKER_RESTARTS);
        let reader = tokio::spawn(read_events(engine.clone(), events.clone()));
        Self {
            engine,
            events,
            reader,
            progress: None,
        }
    }

    /// Tells there when a container gets more time.
    #[must_use]
    pub fn telling(mut self, progress: &Progress) -> Self {
        self.progress = Some(progress.clone());
        self
    }

    /// As [`Gate::healthy`] for a container that was just started and did not run before: Docker has
    /// counted its exits from 0 on (moby, `container/container.go`), however late it is looked at.
    ///
    /// # Errors
    /// As [`Gate::healthy`].
    pub async fn started(&self, id: &str, limits: StartLimits) -> Result<(), ServiceError> {
        let exits = Exits {
            restarts_before: Some(0),
        };
        self.wait(id, limits, exits).await
    }

    /// Waits until a container that runs is healthy, or runs on when it has no health check. Where the host is slow, it gets more time, and what Docker could not ask it is not held
    /// against it.
    ///
    /// # Errors
    /// When it is beyond one of the limits, becomes unhealthy, or cannot be inspected.
    pub async fn healthy(&self, id: &str, limits: StartLimits) -> Result<(), ServiceError> {
        self.wait(id, limits, Exits::default()).await
    }

    async fn wait(
        &self,
        id: &str,
        mut limits: StartLimits,
        mut exits: Exits,
    ) -> Result<(), ServiceError> {
        let mut events = self.events.subscribe();
        let mut began = Instant::now();
        let mut measured: Option<Duration> = None;
        let mut probes = Probes::default();
        loop {
            let sent = Instant::now();
            let inspection = self.inspect(id).await.map_err(inspect_error)?;
            // An engine that was away has started the container again meanwhile.
            if sent.elapsed() > AWAY {
                began += sent.elapsed();
            }
            probes.see(&inspection.probes);
            let mut failed = false;
            match judge(&inspection, exits.seen(&inspection), limits.exits) {
                Verdict::Healthy => return Ok(()),
                Verdict::Exited => return Err(ServiceError::Exited(Box::new(inspection))),
                Verdict::Unhealthy => {
                    let slow = |measured| slowness::is_slow(&inspection, measured);
                    failed = probes.failed(&inspection, measured.is_some_and(slow));
                }
                Verdict::Undecided => {}
            }
            let late = began.elapsed() >= limits.timeout;
            if measured.is_none() && (late || (failed && probes.unanswered())) {
                let empty = self.engine.empty_command(id).await;
                measured = Some(empty);
                self.stretch(&inspection, &mut limits, empty, probes.unanswered());
                continue;
            }
            if failed {
                return Err(ServiceError::Unhealthy(Box::new(inspection), limits));
            }
            if late {
                return Err(ServiceError::TooSlow(Box::new(inspection), limits));
            }
            let next_look = (began + limits.timeout).min(Instant::now() + SAFETY);
            drop(tokio::time::timeout_at(next_look, next_event(&mut events, id)).await);
        }
    }

    /// Gives it the time that it needs on a host that takes so long for nothing, or that could not ask
    /// it.
    fn stretch(
        &self,
        inspection: &Inspection,
        limits: &mut StartLimits,
        empty: Duration,
        unanswered: bool,
    ) {
        let mut timeout = slowness::stretched(limits.timeout, empty);
        if unanswered {
            timeout = timeout.max(limits.timeout * 2);
        }
        if timeout == limits.timeout {
            return;
        }
        limits.timeout = timeout;
        if let (Some(progress), Some(service)) = (&self.progress, inspection.service()) {
            let why = if unanswered {
                "Docker could not run its probe in time"
            } else {
                "this host is slow"
            };
            let (empty, timeout) = (seconds(empty), seconds(timeout));
            let detail = format!("{why}; an empty command took {empty}: waiting up to {timeout}");
            progress.service(service, Word::Starting, &detail);
        }
    }
}

impl Gate {
    /// A gateway that is being restarted is given a moment.
    async fn inspect(&self, id: &str) -> Result<Inspection, EngineError> {
        let patience = Instant::now() + PATIENCE;
        loop {
            match self.engine.inspect(id).await {
                Err(EngineError::Unreachable { .. }) if Instant::now() < patience => {
                    tokio::time::sleep(REOPEN).await;
                }
                answer => return answer,
            }
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

fn inspect_error(error: EngineError) -> ServiceError {
    ServiceError::Engine {
        step: "inspect the container",
        error,
    }
}

/// Returns at the next event of the container, or when events were lost.
async fn next_event(events: &mut broadcast::Receiver<Event>, id: &str) {
    loop {
        match events.recv().await {
            Ok(event) if event.container == id => return,
            Ok(_) => {}
            Err(broadcast::error::RecvError::Lagged(_)) => return,
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// Reads events for as long as there is a gate; opens the stream again when it breaks.
async fn read_events(engine: Engine, events: broadcast::Sender<Event>) {
    loop {
        let mut stream = pin!(engine.events());
        while let Some(Ok(event)) = stream.next().await {
            // Nobody waiting at the moment is not an error.
            drop(events.send(event));
        }
        tokio::time::sleep(REOPEN).await;
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Healthy,
    Undecided,
    Unhealthy,
    Exited,
}

/// Counts the exits since a wait began.
#[derive(Debug, Default)]
struct Exits {
    restarts_before: Option<u64>,
}

impl Exits {
    /// How many there were. Docker counts a restart when the container exits, before it starts it
    /// again (moby, `daemon/monitor.go`), so one that waits for that has exited once at least.
    fn seen(&mut self, inspection: &Inspection) -> u64 {
        let waiting = u64::from(inspection.restarting);
        let first = inspection.restarts.saturating_sub(waiting);
        let before = *self.restarts_before.get_or_insert(first);
        inspection.restarts.saturating_sub(before).max(waiting)
    }
}

/// What a service needs is healthy before it starts, so most have no reason to be started twice
/// and are allowed one exit: the first one is the end.
fn judge(inspection: &Inspection, exits: u64, allowed: u64) -> Verdict {
    if !inspection.running || exits >= allowed.max(1) {
        return Verdict::Exited;
    }
    match inspection.health {
        _ if inspection.restarting => Verdict::Undecided,
        Health::Healthy | Health::None => Verdict::Healthy,
        Health::Starting => Verdict::Undecided,
        Health::Unhealthy => Verdict::Unhealthy,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inspection(running: bool, health: Health) -> Inspection {
        Inspection {
            id: String::new(),
            running,
            pid: None,
            restarting: false,
            restarts: 0,
            exit_code: 0,
            oom_killed: false,
            error: String::new(),
            health,
            probe: None,
            probes: Vec::new(),
            apparmor: String::new(),
            config: bollard::models::ContainerConfig::default(),
            host_config: bollard::models::HostConfig::default(),
        }
    }

    #[test]
    fn verdicts() {
        for (running, health, exits, allowed, verdict) in [
            (true, Health::Healthy, 0, 1, Verdict::Healthy),
            (true, Health::None, 0, 1, Verdict::Healthy),
            (true, Health::Starting, 0, 1, Verdict::Undecided),
            (true, Health::Unhealthy, 0, 1, Verdict::Unhealthy),
            (false, Health::Starting, 0, 1, Verdict::Exited),
            (true, Health::Starting, 1, 1, Verdict::Exited),
            (true, Health::Starting, 2, 3, Verdict::Undecided),
            (true, Health::Healthy, 2, 3, Verdict::Healthy),
            (true, Health::Starting, 3, 3, Verdict::Exited),
            // Stopped by someone: Docker does not start it again.
            (false, Health::Starting, 0, 3, Verdict::Exited),
        ] {
            let inspection = inspection(running, health);
            assert_eq!(judge(&inspection, exits, allowed), verdict);
        }
    }

    #[test]
    fn exits_are_counted_from_the_first_look() {
        let look = |restarts, restarting| Inspection {
            restarting,
            restarts,
            ..inspection(true, Health::Starting)
        };
        let mut calm = Exits::default();
        for (restarts, restarting, seen) in
            [(5, false, 0), (6, true, 1), (6, false, 1), (8, false, 3)]
        {
            assert_eq!(calm.seen(&look(restarts, restarting)), seen);
        }
        // It had exited already when it was first looked at.
        let mut late = Exits::default();
        for (restarts, restarting, seen) in [(1, true, 1), (1, false, 1), (2, true, 2)] {
            assert_eq!(late.seen(&look(restarts, restarting)), seen);
        }
        assert_eq!(judge(&look(1, true), 1, 3), Verdict::Undecided);
    }
}
