//! Stops and starts containers as they are; the graph says in which order.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::desired::DesiredService;
use crate::engine::{Container, Engine};
use crate::error::ServiceReport;
use crate::stack::diagnose::{self, ServiceError};
use crate::stack::gate::Gate;
use crate::stack::graph::Worker;
use crate::ui::{Progress, Word};

/// The worker of `start`, `stop` and `restart`.
pub struct LifecycleWorker {
    /// Whether containers are stopped.
    pub stop: bool,
    /// What waits for their health after a start, where they are started.
    pub start: Option<Gate>,
    /// Connection to the gateway.
    pub engine: Engine,
    /// Every service by name.
    pub services: BTreeMap<String, DesiredService>,
    /// Its container.
    pub containers: BTreeMap<String, Container>,
    /// Shows how it gets on.
    pub progress: Progress,
}

impl Worker for LifecycleWorker {
    async fn work(&self, name: &str) -> Result<(), Box<ServiceReport>> {
        let (Some(service), Some(container)) = (self.services.get(name), self.containers.get(name))
        else {
            return Ok(());
        };
        let began = Instant::now();
        match self.apply(service, container).await {
            Ok(()) if self.start.is_some() => self.progress.healthy(name, began.elapsed()),
            Ok(()) => self.progress.service(name, Word::Stopped, ""),
            Err(error) => {
                let report = diagnose::report(&self.engine, name, &service.container, error).await;
                self.progress.service(name, Word::Failed, &report.problem);
                return Err(Box::new(report));
            }
        }
        Ok(())
    }
}

impl LifecycleWorker {
    async fn apply(
        &self,
        service: &DesiredService,
        container: &Container,
    ) -> Result<(), ServiceError> {
        let error = |step| move |error| ServiceError::Engine { step, error };
        // Docker starts none that somebody has paused, and calls it unhealthy when it runs on.
        if self.stop || container.state == "paused" {
            self.progress.service(&service.name, Word::Stopping, "");
            let stopped = self.engine.stop(&container.id).await;
            stopped.map_err(error("stop the container"))?;
        }
        let Some(gate) = &self.start else {
            return Ok(());
        };
        self.progress.service(&service.name, Word::Starting, "");
        let started = self.engine.start(&container.id).await;
        started.map_err(error("start the container"))?;
        gate.healthy(&container.id, service.start_limits).await
    }
}
