//! The client's end of the vetted Docker Engine API that aistack-engine serves.

mod attach;
mod connector;
mod container;
mod error;
mod exec;
mod images;
mod streams;

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aistack_policy::engine::EngineFacts;
use bollard::Docker;
use bollard::models::{ContainerCreateBody, SystemInfo, SystemVersion};
use bollard::query_parameters::{
    CreateContainerOptions, InspectContainerOptions, ListContainersOptions, RemoveContainerOptions,
    StartContainerOptions, StopContainerOptions,
};
use tokio::time::Instant;

pub use attach::Joined;
pub use container::{Container, Health, Inspection, LABEL_IMAGE, Probe};
pub use error::EngineError;
pub use exec::ExecOutput;
pub use images::{Image, PullProgress};
pub use streams::{Event, LogLine, LogQuery, Usage};

#[cfg(test)]
pub(crate) use container::tests;

use crate::desired::{LABEL_SERVICE, Secrets, TimeScale};
use crate::patience::{Notify, Patience};

/// How long the head of an answer may take on a machine that is not slow, beside the time that a container has to stop.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(5);
/// How long a container has to stop where it says nothing else (moby, `container/container.go`).
const STOP_GRACE: Duration = Duration::from_secs(10);
/// How long the removal of a container that somebody else began is waited for.
const REMOVAL: Duration = Duration::from_mins(1);
/// How often it is looked at.
const AGAIN: Duration = Duration::from_millis(200);

/// One CPU as Docker counts it.
const CPU: i64 = 1_000_000_000;

/// A connection to the gateway.
#[derive(Debug, Clone)]
pub struct Engine {
    docker: Docker,
    socket: PathBuf,
    /// What no message quotes of what containers and commands say.
    secrets: Arc<Mutex<Secrets>>,
    patience: Patience,
    answer_timeout: Duration,
}

impl Engine {
    /// Gives every answer so much longer from now on, for all clones.
    pub fn slow_down(&self, scale: TimeScale) {
        self.patience.slow_down(scale.times());
    }

    /// Keeps these out of every message from now on.
    pub fn hide(&self, secrets: &Secrets) {
        let mut hidden = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        hidden.add_all(secrets);
    }

    /// What is kept out of messages.
    #[must_use]
    pub fn secrets(&self) -> Secrets {
        let hidden = self.secrets.lock();
        hidden.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// An engine behind `socket`. The first request connects.
    ///
    /// # Errors
    /// [`EngineError::Unreachable`] when there is no socket.
    pub fn at(socket: &Path) -> Result<Self, EngineError> {
        Self::connect_with(socket, None)
    }

    /// The same, and `notify` tells what is waited for.
    ///
    /// # Errors
    /// [`EngineError::Unreachable`] when there is no socket.
    pub fn connect_with(
        socket: &Path,
        notify: Option<Arc<dyn Notify>>,
    ) -> Result<Self, EngineError> {
        let unreachable = || EngineError::Unreachable {
            socket: socket.to_owned(),
            why: None,
        };
        if !socket.exists() {
            return Err(unreachable());
        }
        // For what no request of ours limits: how slow the machine is, is told later.
        let longest = ANSWER_TIMEOUT.saturating_mul(TimeScale::MOST);
        let docker = connector::docker_at(socket, longest.as_secs()).map_err(|_| unreachable())?;
        Ok(Self {
            docker,
            socket: socket.to_owned(),
            secrets: Arc::default(),
            patience: Patience::with("the engine gateway", socket, notify),
            answer_timeout: ANSWER_TIMEOUT,
        })
    }

    /// The same with another time for an answer.
    #[must_use]
    pub fn answering_within(self, time: Duration) -> Self {
        Self {
            answer_timeout: time,
            ..self
        }
    }

    /// One answer, within the time that it may take beside `grace`. On the heap, since every verb waits for
    /// many.
    fn in_time<'a, T: 'a>(
        &'a self,
        grace: Duration,
        requested: impl Future<Output = Result<T, bollard::errors::Error>> + 'a,
    ) -> impl Future<Output = Result<T, bollard::errors::Error>> + 'a {
        let requested = Box::pin(requested);
        async move {
            let limit = self.answer_timeout.saturating_add(grace);
            let answer = tokio::time::timeout(self.patience.limit(limit), requested).await;
            answer.unwrap_or(Err(bollard::errors::Error::RequestTimeoutError))
        }
    }

    /// The same with another time for a Docker Engine that is away; with none, that is told at once.
    #[must_use]
    pub fn waiting_for_docker(mut self, time: Duration) -> Self {
        self.patience = self.patience.waiting_for_docker(time);
        self
    }

    /// Asks what changes nothing, or what may be done twice.
    async fn ask<T, F>(&self, mut ask: impl FnMut() -> F) -> Result<T, EngineError>
    where
        F: Future<Output = Result<T, bollard::errors::Error>>,
    {
        let again = |error: &_| error::again(error, true);
        let ask = || self.in_time(Duration::ZERO, ask());
        let answer = self.patience.turn(ask, again).await;
        answer.map_err(|error| self.error(error))
    }

    /// Asks for what must not be done twice.
    async fn ask_once<T, F>(&self, mut ask: impl FnMut() -> F) -> Result<T, EngineError>
    where
        F: Future<Output = Result<T, bollard::errors::Error>>,
    {
        let again = |error: &_| error::again(error, false);
        let ask = || self.in_time(Duration::ZERO, ask());
        let answer = self.patience.turn(ask, again).await;
        answer.map_err(|error| self.error(error))
    }

    /// The stack's containers, stopped ones too.
    ///
    /// # Errors
    /// What the gateway answered.
    pub async fn list(&self) -> Result<Vec<Container>, EngineError> {
        let options = ListContainersOptions {
            all: true,
            filters: Some(HashMap::from([(
                "label".to_owned(),
                vec![LABEL_SERVICE.to_owned()],
            )])),
            ..ListContainersOptions::default()
        };
        let list = || self.docker.list_containers(Some(options.clone()));
        let summaries = self.ask(list).await?;
        Ok(summaries
            .into_iter()
            .filter_map(Container::from_summary)
            .collect())
    }

    /// Ports of the host that the caller's containers publish, also those that are no service.
    ///
    /// # Errors
    /// What the gateway answered.
    pub async fn published(&self) -> Result<BTreeSet<u16>, EngineError> {
        let options = None::<ListContainersOptions>;
        let list = self.docker.list_containers(options);
        let summaries = self.in_time(Duration::ZERO, list).await;
        let summaries = summaries.map_err(|error| self.error(error))?;
        let ports = summaries.into_iter().filter_map(|summary| summary.ports);
        Ok(ports
            .flatten()
            .filter_map(|port| port.public_port)
            .collect())
    }

    /// Id and name of every container of the caller's that runs, also of those that are no service.
    ///
    /// # Errors
    /// What the gateway answered.
    pub async fn running(&self) -> Result<Vec<(String, String)>, EngineError> {
        let list = || self.docker.list_containers(None::<ListContainersOptions>);
        let summaries = self.ask(list).await?;
        let named = summaries.into_iter().filter_map(|summary| {
            let name = summary.names?.into_iter().next()?;
            Some((summary.id?, name.trim_start_matches('/').to_owned()))
        });
        Ok(named.collect())
    }

    /// What the gateway warns of, without the word that Docker puts before it.
    ///
    /// # Errors
    /// What the gateway answered.
    pub async fn warnings(&self) -> Result<Vec<String>, EngineError> {
        let info = self.in_time(Duration::ZERO, self.docker.info()).await;
        let warnings = info.map_err(|error| self.error(error))?.warnings;
        let plain = |text: String| text.trim_start_matches("WARNING: ").to_owned();
        Ok(warnings
            .unwrap_or_default()
            .into_iter()
            .map(plain)
            .collect())
    }

    /// Makes a container; returns its id. One that may use more CPUs than the host has may use all
    /// of them.
    ///
    /// # Errors
    /// What the gateway answered.
    pub async fn create(
        &self,
        name: &str,
        mut body: ContainerCreateBody,
    ) -> Result<String, EngineError> {
        if let Some(host) = &mut body.host_config {
            host.nano_cpus = self.within_host(host.nano_cpus).await?;
        }
        let options = CreateContainerOptions {
            name: Some(name.to_owned()),
            ..CreateContainerOptions::default()
        };
        let create = || {
            let (options, body) = (options.clone(), body.clone());
            self.docker.create_container(Some(options), body)
        };
        Ok(self.ask_once(create).await?.id)
    }

    /// Docker refuses a limit above the host's own number (moby, `daemon/daemon_unix.go`). Every
    /// host has one CPU, so that the question is asked only for more.
    async fn within_host(&self, nano_cpus: Option<i64>) -> Result<Option<i64>, EngineError> {
        let Some(wanted) = nano_cpus.filter(|wanted| *wanted > CPU) else {
            return Ok(nano_cpus);
        };
        let info = self.ask(|| self.docker.info()).await?;
        let has = info.ncpu.map(|cpus| cpus.saturating_mul(CPU));
        Ok(Some(has.map_or(wanted, |has| wanted.min(has))))
    }

    /// What the host's Docker Engine says of itself, as far as the gateway shows it: without its versions,
    /// since it is asked in ours.
    ///
    /// # Errors
    /// What the gateway answered.
    pub async fn facts(&self) -> Result<EngineFacts, EngineError> {
        let (version, info) = tokio::join!(
            self.in_time(Duration::ZERO, self.docker.version()),
            self.in_time(Duration::ZERO, self.docker.info()),
        );
        let version = version.map_err(|error| self.error(error))?;
        let info = info.map_err(|error| self.error(error))?;
        facts_of(&version, &info)
    }

    /// Its version and its storage driver, in its own words.
    ///
    /// # Errors
    /// What the gateway answered.
    pub async fn version_and_driver(&self) -> Result<(String, String), EngineError> {
        let info = self.ask(|| self.docker.info()).await?;
        let version = info.server_version.unwrap_or_default();
        Ok((version, info.driver.unwrap_or_default()))
    }

    /// Full ids of all containers of the caller's, also of those that are no service.
    ///
    /// # Errors
    /// What the gateway answered.
    pub async fn ids(&self) -> Result<BTreeSet<String>, EngineError> {
        let options = ListContainersOptions {
            all: true,
            ..ListContainersOptions::default()
        };
        let list = || self.docker.list_containers(Some(options.clone()));
        let summaries = self.ask(list).await?;
        Ok(summaries.into_iter().filter_map(|own| own.id).collect())
    }

    /// Starts a container; one that runs already is not an error.
    ///
    /// # Errors
    /// What the gateway answered.
    pub async fn start(&self, id: &str) -> Result<(), EngineError> {
        let options = || None::<StartContainerOptions>;
        self.ask(async || done_already(self.docker.start_container(id, options()).await))
            .await
    }

    /// Stops a container; one that does not run is not an error. Its own time to stop is waited for.
    ///
    /// # Errors
    /// What the gateway answered.
    pub async fn stop(&self, id: &str) -> Result<(), EngineError> {
        let grace = self.inspect(id).await?.stop_grace();
        let grace = grace.unwrap_or(STOP_GRACE);
        // Without a time of ours the container's own grace period holds.
        let options = || None::<StopContainerOptions>;
        let stop = || async {
            let stop = self.docker.stop_container(id, options());
            done_already(self.in_time(grace, stop).await)
        };
        let again = |error: &_| error::again(error, true);
        let stopped = self.patience.long_turn(grace, stop, again).await;
        stopped.map_err(|error| self.error(error))
    }

    /// Removes a container with its anonymous volumes; one that is gone is not an error.
    ///
    /// # Errors
    /// What the gateway answered.
    pub async fn remove(&self, id: &str) -> Result<(), EngineError> {
        let options = RemoveContainerOptions {
            v: true,
            force: true,
            link: false,
        };
        let until = Instant::now() + REMOVAL;
        loop {
            let remove = || self.docker.remove_container(id, Some(options.clone()));
            match self.ask(remove).await {
                Ok(()) | Err(EngineError::NotFound { .. }) => return Ok(()),
                // Somebody removes it already: moby, `daemon/delete.go`.
                Err(EngineError::Conflict { .. }) if Instant::now() < until => {
                    tokio::time::sleep(AGAIN).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// What a container is doing, with the output of its last health probe.
    ///
    /// # Errors
    /// What the gateway answered.
    pub async fn inspect(&self, id: &str) -> Result<Inspection, EngineError> {
        let options = || None::<InspectContainerOptions>;
        let inspect = || self.docker.inspect_container(id, options());
        self.ask(inspect).await.map(Inspection::from_response)
    }

    fn error(&self, error: bollard::errors::Error) -> EngineError {
        EngineError::from_bollard(error, &self.socket)
    }
}

/// What the gateway shows of an engine.
fn facts_of(version: &SystemVersion, info: &SystemInfo) -> Result<EngineFacts, EngineError> {
    let mut shown = as_json(info)?;
    // What is null in the answer is left out here.
    if let (None, Some(fields)) = (&info.security_options, shown.as_object_mut()) {
        fields.insert("SecurityOptions".to_owned(), serde_json::Value::Null);
    }
    EngineFacts::read_shown(&as_json(version)?, &shown).map_err(unreadable)
}

fn as_json(answer: &impl serde::Serialize) -> Result<serde_json::Value, EngineError> {
    serde_json::to_value(answer).map_err(unreadable)
}

fn unreadable(error: impl std::fmt::Display) -> EngineError {
    EngineError::Failed {
        message: format!("the engine's description of itself cannot be read: {error}"),
    }
}

/// Docker answers 304 for a start of what runs and a stop of what does not.
fn done_already(result: Result<(), bollard::errors::Error>) -> Result<(), bollard::errors::Error> {
    match result {
        Err(bollard::errors::Error::DockerResponseServerError {
            status_code: 304, ..
        })
        | Ok(()) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod fact_tests {
    use aistack_policy::engine::{EngineFacts, judge};
    use serde_json::Value;

    use super::facts_of;

    macro_rules! recorded {
        ($name:literal) => {
            include_str!(concat!(
                "../../../helper/tests/corpus/docker/",
                $name,
                ".json"
            ))
        };
    }

    #[test]
    fn what_the_client_reads_of_an_engine_is_judged_as_the_daemons_judge_it() {
        for (version, info) in [
            (recorded!("20.10-version"), recorded!("20.10-info")),
            (
                recorded!("20.10-version"),
                recorded!("20.10-userns-remap-info"),
            ),
            (recorded!("26.1-version"), recorded!("26.1-info")),
            (recorded!("29.99-version"), recorded!("29.99-info")),
            (
                recorded!("29.99-version"),
                recorded!("29.99-min-api-1.44-live-restore-no-new-privileges-info"),
            ),
            (
                recorded!("29.99-rootless-version"),
                recorded!("29.99-rootless-info"),
            ),
            (
                recorded!("podman-4.3-version"),
                recorded!("podman-4.3-info"),
            ),
        ] {
            let json = |text: &str| -> Value { serde_json::from_str(text).unwrap() };
            let read = facts_of(
                &serde_json::from_str(version).unwrap(),
                &serde_json::from_str(info).unwrap(),
            );
            let read = judge(&read.unwrap());
            let own = EngineFacts::read_shown(&json(version), &json(info)).unwrap();
            assert_eq!(read, judge(&own), "{version}");
        }
    }

    #[test]
    fn an_engine_without_security_options_can_be_read() {
        let version = serde_json::from_str("{}").unwrap();
        let info = serde_json::from_str("{\"SecurityOptions\": null}").unwrap();
        assert!(facts_of(&version, &info).is_ok());
    }
}
