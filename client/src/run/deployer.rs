//! Brings one service at a time into its desired state; the graph says which may go together.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::desired::{DesiredService, Provision};
use crate::engine::{Container, Engine, EngineError, Inspection};
use crate::failure::ServiceReport;
use crate::plan::{Action, State};
use crate::run::configs::{self, Previous};
use crate::run::diagnose::{self, Trouble};
use crate::run::gate::Gate;
use crate::run::graph::Worker;
use crate::run::restore;
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
                    // made anew is judged by what holds now.
                    Err(trouble) if is_refused(&trouble) => self.renew(service, container).await,
                    result => result,
                }
            }
            (Action::Replace { because }, Some(container)) => {
                return self.replace(service, container, because).await;
            }
            _ => self.create(service).await,
        };
        match result {
            Ok(()) => Ok(()),
            Err(trouble) => Err(self.report(service, trouble).await),
        }
    }

    async fn create(&self, service: &DesiredService) -> Result<(), Trouble> {
        self.progress.service(&service.name, Word::Creating, "");
        let body = service.body.clone();
        let created = self.engine.create(&service.container, body).await;
        let id = created.map_err(|error| step("create the container", error))?;
        self.start(service, &id).await
    }

    /// For a container that is as desired and does not do its work: it may be in a loop of
    /// restarts, or running and unhealthy.
    async fn restart(&self, service: &DesiredService, id: &str) -> Result<(), Trouble> {
        let stopped = self.engine.stop(id).await;
        stopped.map_err(|error| step("stop the container", error))?;
        self.start(service, id).await
    }

    /// For a container that the gateway does not let start any more.
    async fn renew(&self, service: &DesiredService, old: &Container) -> Result<(), Trouble> {
        let removed = self.engine.remove(&old.id).await;
        removed.map_err(|error| step("remove the old container", error))?;
        self.create(service).await
    }

    async fn start(&self, service: &DesiredService, id: &str) -> Result<(), Trouble> {
        for provision in &service.provisions {
            self.progress
                .service(&service.name, Word::Provisioning, &provision.title);
            self.provision(provision).await?;
        }
        self.progress.service(&service.name, Word::Starting, "");
        let started = self.engine.start(id).await;
        started.map_err(|error| step(START, error))?;
        self.gate.healthy(id, service.start_limits).await
    }

    /// Makes what the service needs inside another one. The provider is healthy by now, whatever
    /// its container's id is.
    async fn provision(&self, provision: &Provision) -> Result<(), Trouble> {
        let title = format!("{} in {}", provision.title, provision.provider);
        let Some(provider) = self.services.get(&provision.provider) else {
            let why = "there is no such service".to_owned();
            return Err(Trouble::Provision { title, why });
        };
        let output = self
            .engine
            .exec(&provider.container, &provision.command, &provision.stdin)
            .await
            .map_err(|error| step("run a command in its provider", error))?;
        if output.code == 0 {
            return Ok(());
        }
        let why = output.failure(&provision.stdin);
        Err(Trouble::Provision { title, why })
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
        let trouble = match self.take_away(old).await {
            Err(trouble) => return Err(self.report(service, trouble).await),
            Ok(before) => match self.create(service).await {
                Ok(()) => return Ok(()),
                Err(trouble) => (trouble, before),
            },
        };
        let (trouble, before) = trouble;
        let mut report = self.report(service, trouble).await;
        if old.plan_state == State::Healthy {
            report.restored = self.restore(service, &before).await;
        }
        Err(report)
    }

    async fn take_away(&self, old: &Container) -> Result<Inspection, Trouble> {
        let before = self.engine.inspect(&old.id).await;
        let before = before.map_err(|error| step("inspect the container", error))?;
        let stopped = self.engine.stop(&old.id).await;
        stopped.map_err(|error| step("stop the old container", error))?;
        let removed = self.engine.remove(&old.id).await;
        removed.map_err(|error| step("remove the old container", error))?;
        Ok(before)
    }

    /// Brings back what ran before; true when it is healthy again.
    async fn restore(&self, service: &DesiredService, before: &Inspection) -> bool {
        self.progress.service(&service.name, Word::Restoring, "");
        if let Some(files) = self.previous_configs.get(&service.name)
            && configs::put_back(files).is_err()
        {
            return false;
        }
        if self.engine.remove(&service.container).await.is_err() {
            return false;
        }
        let body = restore::create_body(before, &service.body);
        let Ok(id) = self.engine.create(&service.container, body).await else {
            return false;
        };
        self.engine.start(&id).await.is_ok()
            && self.gate.healthy(&id, service.start_limits).await.is_ok()
    }

    async fn report(&self, service: &DesiredService, trouble: Trouble) -> Box<ServiceReport> {
        let (name, container) = (&service.name, &service.container);
        Box::new(diagnose::report(&self.engine, name, container, trouble).await)
    }
}

/// What a start that fails is told as.
const START: &str = "start the container";

fn is_refused(trouble: &Trouble) -> bool {
    let Trouble::Engine { step, error } = trouble else {
        return false;
    };
    *step == START && matches!(error, EngineError::Refused { .. })
}

fn step(step: &'static str, error: EngineError) -> Trouble {
    Trouble::Engine { step, error }
}
