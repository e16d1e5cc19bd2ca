//! Waiting until a container is healthy: driven by the engine's events, checked by inspection.

use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::engine::{Engine, EngineError, Event, Health, Inspection};
use crate::run::diagnose::Trouble;

/// How often a container is looked at although no event came: an event may be lost while the
/// stream is being opened.
const SAFETY: Duration = Duration::from_secs(2);
/// How long the gateway may be away while a container is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the event stream stays closed after it broke.
const REOPEN: Duration = Duration::from_millis(500);
/// Events that a slow waiter may lag behind; one that lags more looks at its container instead.
const BACKLOG: usize = 256;

/// One stream of events, shared by all waiters. Ends with the value.
#[derive(Debug)]
pub struct Gate {
    engine: Engine,
    events: broadcast::Sender<Event>,
    reader: JoinHandle<()>,
}

impl Gate {
    /// Opens the stream of events.
    #[must_use]
    pub fn open(engine: &Engine) -> Self {
        let (events, _) = broadcast::channel(BACKLOG);
        let reader = tokio::spawn(read_events(engine.clone(), events.clone()));
        Self {
            engine: engine.clone(),
            events,
            reader,
        }
    }

    /// Waits until the container is healthy, or runs when it has no health check.
    ///
    /// # Errors
    /// When it exits, becomes unhealthy, is not healthy within `limit`, or cannot be inspected.
    pub async fn healthy(&self, id: &str, limit: Duration) -> Result<(), Trouble> {
        let mut events = self.events.subscribe();
        let deadline = Instant::now() + limit;
        let mut restarts = None;
        loop {
            let inspection = self.inspect(id).await.map_err(engine_trouble)?;
            let restarted = inspection.restarts > *restarts.get_or_insert(inspection.restarts);
            match judge(&inspection, restarted) {
                Verdict::Healthy => return Ok(()),
                Verdict::Exited => return Err(Trouble::Exited(Box::new(inspection))),
                Verdict::Unhealthy => return Err(Trouble::Unhealthy(Box::new(inspection))),
                Verdict::Undecided if Instant::now() >= deadline => {
                    return Err(Trouble::TooSlow(Box::new(inspection), limit));
                }
                Verdict::Undecided => {}
            }
            let next_look = deadline.min(Instant::now() + SAFETY);
            drop(tokio::time::timeout_at(next_look, next_event(&mut events, id)).await);
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

fn engine_trouble(error: EngineError) -> Trouble {
    Trouble::Engine {
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
            // Nobody waiting at the moment is no error.
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

/// The first exit since the wait began counts: what a service needs is healthy before it starts,
/// so it has no reason to be started twice.
fn judge(inspection: &Inspection, restarted: bool) -> Verdict {
    if !inspection.running || inspection.restarting || restarted {
        return Verdict::Exited;
    }
    match inspection.health {
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
            restarting: false,
            restarts: 0,
            exit_code: 0,
            oom_killed: false,
            error: String::new(),
            health,
            probe: None,
            apparmor: String::new(),
            config: bollard::models::ContainerConfig::default(),
            host_config: bollard::models::HostConfig::default(),
        }
    }

    #[test]
    fn verdicts() {
        for (running, health, restarted, verdict) in [
            (true, Health::Healthy, false, Verdict::Healthy),
            (true, Health::None, false, Verdict::Healthy),
            (true, Health::Starting, false, Verdict::Undecided),
            (true, Health::Unhealthy, false, Verdict::Unhealthy),
            (false, Health::Starting, false, Verdict::Exited),
            (true, Health::Starting, true, Verdict::Exited),
        ] {
            assert_eq!(judge(&inspection(running, health), restarted), verdict);
        }
    }
}
