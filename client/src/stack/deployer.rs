//! Brings one service at a time into its desired state; the graph says which may go together.

use std::collections::BTreeMap;
use std::time::Instant;

use bollard::models::ContainerCreateBody;

use crate::desired::DesiredService;
use crate::engine::{Container, Engine, EngineError, Inspection};
use crate::error::ServiceReport;
use crate::plan::{Action, State};
use crate::stack::configs::{self, Previous};
use crate::stack::diagnose::{self, ServiceError};
use crate::stack::gate::Gate;
use crate::stack::graph::Worker;
use crate::stack::provisions::{Provisioner, Undo};
use crate::stack::restore;
use crate::ui::{Progress, Word};

/// The worker of a deploy.
pub struct Deployer {
    /// Connection to the gateway.
    pub engine: Engine,
    /// Waits for health.
    pub gate: Gate,
    /// Every service by name.
    pub services: BTreeMap<String, DesiredService>,
    /// What to do with each.
    pub actions: BTreeMap<String, Action>,
    /// Containers that exist, by service.
    pub containers: BTreeMap<String, Container>,
    /// What stood in the files that were written.
    pub previous_configs: Previous,
    /// Shows how it gets on.
    pub progress: Progress,
}

impl Worker for Deployer {
    async fn work(&self, name: &str) -> Result<(), Box<ServiceReport>> {
        let Some(service) = self.services.get(name) else {
            return Ok(());
        };
        let action = self.actions.get(name).unwrap_or(&Action::Keep);
        if *action == Action::Keep {
            return Ok(());
        }
        let began = Instant::now();
        match Box::pin(self.apply(service, action)).await {
            Ok(()) => {
                self.progress.healthy(name, began.elapsed());
                Ok(())
            }
            Err(report) => {
                self.progress.service(name, Word::Failed, &report.problem);
                Err(report)
            }
        }
    }
}

impl Deployer {
    async fn apply(
        &self,
        service: &DesiredService,
        action: &Action,
    ) -> Result<(), Box<ServiceReport>> {
        let existing = self.containers.get(&service.name);
        let result = match (action, existing) {
            (Action::Wait, Some(container)) if container.plan_state != State::Unhealthy => {
                self.progress.service(&service.name, Word::Starting, "");
                let id = &container.id;
                self.gate.healthy(id, service.start_limits).await
            }
            (Action::Wait | Action::Start, Some(container)) => {
                match self.restart(service, &container.id).await {
                    // It was made under another policy, or for a network that is gone: one that is
                    // recreated is judged by what holds now.
                    Err(error) if is_refused(&error) => self.renew(service, container).await,
                    result => result,
                }
            }
            (Action::Replace { because }, Some(container)) => {
                return Box::pin(self.replace(service, container, because)).await;
            }
            _ => self.create(service, &mut Vec::new()).await,
        };
        match result {
            Ok(()) => Ok(()),
            Err(error) => Err(self.report(service, error).await),
        }
    }

    /// `undo` gets the way back from what is made for it elsewhere.
    async fn create(
        &self,
        service: &DesiredService,
        undo: &mut Vec<Undo>,
    ) -> Result<(), ServiceError> {
        self.progress.service(&service.name, Word::Creating, "");
        let created = self.container(service, &service.body).await;
        let id = created.map_err(|error| step("create the container", error))?;
        self.start(service, &id, undo).await
    }

    /// Makes the service's container. A run that was killed may have left one half made, or the
    /// gateway may have made it since the look at what is there: that one goes.
    async fn container(
        &self,
        service: &DesiredService,
        body: &ContainerCreateBody,
    ) -> Result<String, EngineError> {
        let mut tries = CREATE_TRIES;
        loop {
            let created = self.engine.create(&service.container, body.clone()).await;
            tries -= 1;
            match created {
                Err(EngineError::Conflict { message }) if tries > 0 => {
                    if !self.out_of_the_way(service).await? {
                        return Err(EngineError::Conflict { message });
                    }
                }
                created => return created,
            }
        }
    }

    /// Removes a container of the service's own that has its name; false when it is another one.
    async fn out_of_the_way(&self, service: &DesiredService) -> Result<bool, EngineError> {
        match self.engine.inspect(&service.container).await {
            Ok(there) if there.service() == Some(&service.name) => {
                self.engine.remove(&there.id).await?;
                Ok(true)
            }
            Ok(_) => Ok(false),
            // Gone meanwhile.
            Err(EngineError::NotFound { .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// For a container that is as desired and does not do its work: it may be in a loop of
    /// restarts, or running and unhealthy.
    async fn restart(&self, service: &DesiredService, id: &str) -> Result<(), ServiceError> {
        let stopped = self.engine.stop(id).await;
        stopped.map_err(|error| step("stop the container", error))?;
        self.start(service, id, &mut Vec::new()).await
    }

    /// For a container that the gateway does not let start any more.
    async fn renew(&self, service: &DesiredService, old: &Container) -> Result<(), ServiceError> {
        let removed = self.engine.remove(&old.id).await;
        removed.map_err(|error| step("remove the old container", error))?;
        self.create(service, &mut Vec::new()).await
    }

    async fn start(
        &self,
        service: &DesiredService,
        id: &str,
        undo: &mut Vec<Undo>,
    ) -> Result<(), ServiceError> {
        for provision in &service.provisions {
            self.progress
                .service(&service.name, Word::Provisioning, &provision.title);
            self.provisioner().make(provision, undo).await?;
        }
        self.progress.service(&service.name, Word::Starting, "");
        let started = self.engine.start(id).await;
        started.map_err(|error| step(START, error))?;
        self.gate.started(id, service.start_limits).await
    }

    fn provisioner(&self) -> Provisioner<'_> {
        Provisioner {
            engine: &self.engine,
            services: &self.services,
        }
    }

    /// Puts the new container in place of the old one, and the old one back when the new one does
    /// not become healthy. A run that is killed in between leaves the service without a container,
    /// which the next run makes.
    async fn replace(
        &self,
        service: &DesiredService,
        old: &Container,
        because: &[String],
    ) -> Result<(), Box<ServiceReport>> {
        let reasons = because.join(", ");
        self.progress
            .service(&service.name, Word::Stopping, &reasons);
        let before = match self.take_away(old).await {
            Err(error) => return Err(self.report(service, error).await),
            Ok(before) => before,
        };
        let mut undo = Vec::new();
        let Err(error) = self.create(service, &mut undo).await else {
            return Ok(());
        };
        let mut report = self.report(service, error).await;
        if old.plan_state == State::Healthy {
            let restored = Box::pin(self.restore(service, &before, undo)).await;
            report.restored = restored.is_ok();
            report.now = Some(match restored {
                Ok(()) => "rolled back to what ran before".to_owned(),
                Err(why) => {
                    // It may quote what a command said.
                    let why = self.engine.secrets().mask_quoted(&why);
                    format!("the rollback failed: {why}")
                }
            });
        }
        Err(report)
    }

    async fn take_away(&self, old: &Container) -> Result<Inspection, ServiceError> {
        let before = self.engine.inspect(&old.id).await;
        let before = before.map_err(|error| step("inspect the container", error))?;
        let stopped = self.engine.stop(&old.id).await;
        stopped.map_err(|error| step("stop the old container", error))?;
        let removed = self.engine.remove(&old.id).await;
        removed.map_err(|error| step("remove the old container", error))?;
        Ok(before)
    }

    /// Brings back what ran before, with what it found in its files and in other services.
    ///
    /// # Errors
    /// How it stands instead.
    async fn restore(
        &self,
        service: &DesiredService,
        before: &Inspection,
        undo: Vec<Undo>,
    ) -> Result<(), String> {
        self.progress.service(&service.name, Word::Restoring, "");
        let could_not =
            |step| move |error| diagnose::sentence(&ServiceError::Engine { step, error });
        if let Some(files) = self.previous_configs.get(&service.name) {
            configs::put_back(files).map_err(|failure| failure.what)?;
        }
        let removed = self.engine.remove(&service.container).await;
        removed.map_err(could_not("remove the new container"))?;
        let taken_back = self.provisioner().take_back(undo).await;
        let body = restore::create_body(before, &service.body);
        let created = self.container(service, &body).await;
        let id = created.map_err(could_not("create the old container again"))?;
        let started = self.engine.start(&id).await;
        started.map_err(could_not("start the old container again"))?;
        let healthy = self.gate.started(&id, service.start_limits).await;
        // What it misses elsewhere is why it is not healthy, if it is not.
        match (taken_back, healthy) {
            (Ok(()), Ok(())) => Ok(()),
            (Ok(()), Err(error)) => Err(format!("it {}", diagnose::sentence(&error))),
            (Err(error), healthy) => {
                let state = match healthy {
                    Ok(()) => "it still runs".to_owned(),
                    Err(error) => format!("it {}", diagnose::sentence(&error)),
                };
                let why = diagnose::sentence(&error);
                Err(format!(
                    "its data in other services was not restored ({why}); {state}"
                ))
            }
        }
    }

    async fn report(&self, service: &DesiredService, error: ServiceError) -> Box<ServiceReport> {
        let (name, container) = (&service.name, &service.container);
        Box::new(diagnose::report(&self.engine, name, container, error).await)
    }
}

/// How often a container is made before its name counts as taken.
const CREATE_TRIES: u32 = 4;
/// What a start that fails is reported as.
const START: &str = "start the container";

fn is_refused(error: &ServiceError) -> bool {
    let ServiceError::Engine { step, error } = error else {
        return false;
    };
    *step == START && matches!(error, EngineError::Denied { .. })
}

fn step(step: &'static str, error: EngineError) -> ServiceError {
    ServiceError::Engine { step, error }
}
