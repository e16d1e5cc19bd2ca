//! The client's end of the vetted Docker Engine API that aistack-engine serves.

mod attach;
mod container;
mod error;
mod exec;
mod images;
mod streams;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use aistack_policy::engine::{EngineFacts, LimitsHeld};
use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{
    CreateContainerOptions, InspectContainerOptions, ListContainersOptions, RemoveContainerOptions,
    StartContainerOptions, StopContainerOptions,
};
use bollard::{API_DEFAULT_VERSION, Docker};

pub use attach::Joined;
pub use container::{Container, Health, Inspection, LABEL_IMAGE};
pub use error::EngineError;
pub use exec::ExecOutput;
pub use images::{Image, PullProgress};
pub use streams::{Event, LogLine, LogQuery, Usage};

#[cfg(test)]
pub(crate) use container::tests;

use crate::desired::LABEL_SERVICE;

/// How long the head of an answer may take, seconds: longer than any container's stop.
const ANSWER_TIMEOUT: u64 = 120;

/// One CPU as Docker counts it.
const CPU: i64 = 1_000_000_000;

/// A connection to the gateway.
#[derive(Debug, Clone)]
pub struct Engine {
    docker: Docker,
    socket: PathBuf,
}

impl Engine {
    /// An engine behind `socket`. The first request connects.
    ///
    /// # Errors
    /// [`EngineError::Unreachable`] when there is no socket.
    pub fn at(socket: &Path) -> Result<Self, EngineError> {
        let unreachable = || EngineError::Unreachable {
            socket: socket.to_owned(),
        };
        let path = socket.to_str().ok_or_else(unreachable)?;
        let docker = Docker::connect_with_unix(path, ANSWER_TIMEOUT, API_DEFAULT_VERSION)
            .map_err(|_| unreachable())?;
        Ok(Self {
            docker,
            socket: socket.to_owned(),
        })
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
        let summaries = self.docker.list_containers(Some(options)).await;
        let summaries = summaries.map_err(|error| self.error(error))?;
        Ok(summaries
            .into_iter()
            .filter_map(Container::from_summary)
            .collect())
    }

    /// Id and name of every container of the caller's that runs, also of those that are no service.
    ///
    /// # Errors
    /// What the gateway answered.
    pub async fn running(&self) -> Result<Vec<(String, String)>, EngineError> {
        let summaries = self
            .docker
            .list_containers(None::<ListContainersOptions>)
            .await;
        let summaries = summaries.map_err(|error| self.error(error))?;
        let named = summaries.into_iter().filter_map(|summary| {
            let name = summary.names?.into_iter().next()?;
            Some((summary.id?, name.trim_start_matches('/').to_owned()))
        });
        Ok(named.collect())
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
        let answer = self.docker.create_container(Some(options), body).await;
        answer
            .map(|created| created.id)
            .map_err(|error| self.error(error))
    }

    /// Docker refuses a limit above the host's own number (moby, `daemon/daemon_unix.go`). Every
    /// host has one CPU, so that the question is asked only for more.
    async fn within_host(&self, nano_cpus: Option<i64>) -> Result<Option<i64>, EngineError> {
        let Some(wanted) = nano_cpus.filter(|wanted| *wanted > CPU) else {
            return Ok(nano_cpus);
        };
        let info = self
            .docker
            .info()
            .await
            .map_err(|error| self.error(error))?;
        let has = info.ncpu.map(|cpus| cpus.saturating_mul(CPU));
        Ok(Some(has.map_or(wanted, |has| wanted.min(has))))
    }

    /// What the host's Docker Engine says of itself, as far as the gateway shows it: without its versions,
    /// since it is asked in ours.
    ///
    /// # Errors
    /// What the gateway answered.
    pub async fn facts(&self) -> Result<EngineFacts, EngineError> {
        let info = self
            .docker
            .info()
            .await
            .map_err(|error| self.error(error))?;
        Ok(EngineFacts {
            version: info.server_version.unwrap_or_default(),
            security_options: info.security_options.unwrap_or_default(),
            cgroup_driver: info
                .cgroup_driver
                .map(|driver| driver.to_string())
                .unwrap_or_default(),
            limits: LimitsHeld {
                memory: info.memory_limit.unwrap_or(true),
                cpus: info.cpu_cfs_quota.unwrap_or(true),
                pids: info.pids_limit.unwrap_or(true),
            },
            live_restore: info.live_restore_enabled.unwrap_or(false),
            ..EngineFacts::default()
        })
    }

    /// Starts a container; one that runs already is no error.
    ///
    /// # Errors
    /// What the gateway answered.
    pub async fn start(&self, id: &str) -> Result<(), EngineError> {
        let started = self
            .docker
            .start_container(id, None::<StartContainerOptions>)
            .await;
        self.unless_done_already(started)
    }

    /// Stops a container; one that does not run is no error.
    ///
    /// # Errors
    /// What the gateway answered.
    pub async fn stop(&self, id: &str) -> Result<(), EngineError> {
        // Without a time of ours the container's own grace period holds.
        let stopped = self
            .docker
            .stop_container(id, None::<StopContainerOptions>)
            .await;
        self.unless_done_already(stopped)
    }

    /// Removes a container with its anonymous volumes; one that is gone is no error.
    ///
    /// # Errors
    /// What the gateway answered.
    pub async fn remove(&self, id: &str) -> Result<(), EngineError> {
        let options = RemoveContainerOptions {
            v: true,
            force: true,
            link: false,
        };
        let removed = self.docker.remove_container(id, Some(options)).await;
        match removed.map_err(|error| self.error(error)) {
            Ok(()) | Err(EngineError::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// What a container is doing, with the output of its last health probe.
    ///
    /// # Errors
    /// What the gateway answered.
    pub async fn inspect(&self, id: &str) -> Result<Inspection, EngineError> {
        let answer = self
            .docker
            .inspect_container(id, None::<InspectContainerOptions>)
            .await;
        answer
            .map(Inspection::from_response)
            .map_err(|error| self.error(error))
    }

    /// Docker answers 304 for a start of what runs and a stop of what does not.
    fn unless_done_already(
        &self,
        result: Result<(), bollard::errors::Error>,
    ) -> Result<(), EngineError> {
        match result {
            Err(bollard::errors::Error::DockerResponseServerError {
                status_code: 304, ..
            })
            | Ok(()) => Ok(()),
            Err(error) => Err(self.error(error)),
        }
    }

    fn error(&self, error: bollard::errors::Error) -> EngineError {
        EngineError::from_bollard(error, &self.socket)
    }
}
