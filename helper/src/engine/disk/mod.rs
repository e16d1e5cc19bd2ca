//! Looks at what containers write to Docker's disk: how much of it is free, before anything new may
//! write there, and what each container has written outside of its mounts, again and again.
//!
//! Nothing here is a quota: a container is stopped after it has written too much. How long after is
//! what [`TICK`] and the time between two looks say.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aistack_policy::Grant;
use http::Method;
use serde_json::{Value, json};
use tokio::sync::OwnedMutexGuard;

use dirs::Disks;
use measure::{MeasureError, Unmeasured};

use super::error::GatewayError;
use super::gateway::Gateway;
use super::own::{OwnContainer, full_id, text};
use super::vet::layer::{self, Layer, Space};
use super::vet::target::Filters;
use crate::audit::Intent;
use crate::docker::{Body, DockerError, OWNER_LABEL};
use crate::peer::Caller;
use crate::seldom::Seldom;

mod dirs;
mod measure;

static NOT_MEASURED: Seldom = Seldom::new();

/// Time between two looks at the disk, which cost nothing.
const TICK: Duration = Duration::from_secs(2);
/// Bytes and inodes that the disk may lose until all layers are measured at once.
const LOST: (u64, u64) = (512 << 20, 50_000);
/// Docker walks through a layer to measure it: between two rounds there is at least this time, and
/// so many times what the last round took.
const PAUSE: Duration = Duration::from_secs(5);
const PAUSE_FACTOR: u32 = 4;
/// The longest time for measuring one layer.
const MEASURE: Duration = Duration::from_mins(1);
/// Seconds between the stop signal and the kill. Meanwhile it would go on writing: 2 s were 3.6 GB, where
/// this was measured.
const GRACE: u32 = 0;

/// Which disk is watched, and what was found.
#[derive(Debug)]
pub(super) struct Disk {
    /// The directories that Docker writes to, by the command line; Docker is queried where it names none.
    named: Vec<PathBuf>,
    /// Why containers were stopped, by full id; those that are gone are forgotten in each round.
    stopped: Mutex<HashMap<String, String>>,
}

impl Disk {
    pub(super) fn new(named: Vec<PathBuf>) -> Self {
        Self {
            named,
            stopped: Mutex::default(),
        }
    }

    /// Why the gateway stopped this container, if it did.
    pub(super) fn why_stopped(&self, id: &str) -> Option<String> {
        held(&self.stopped).get(id).cloned()
    }

    /// The container was started again.
    pub(super) fn forget(&self, id: &str) {
        held(&self.stopped).remove(id);
    }
}

fn held<T>(lock: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gateway {
    /// Refuses what would write to Docker's disk while that is down to its reserve. A disk that
    /// cannot be looked at refuses nothing: the watch says so in the log.
    pub(super) async fn admit_writes(&self) -> Result<(), GatewayError> {
        Ok(self.disks().await.admit()?)
    }

    /// The same for a container that exists, unless it can write to its mounts only.
    pub(super) async fn admit_writes_of(
        &self,
        container: &OwnContainer,
    ) -> Result<(), GatewayError> {
        if layer::is_read_only(&container.inspected) {
            return Ok(());
        }
        self.admit_writes().await
    }

    /// What callers of `docker info` should know.
    pub(super) async fn disk_warnings(&self) -> Vec<String> {
        let refused = self.disks().await.admit().err();
        let warning = refused.map(|refusal| format!("WARNING: {}", refusal.message));
        warning.into_iter().collect()
    }

    /// Says in the log when Docker's directory shares its file system with the daemon's own log: what
    /// containers write then fills the disk that everybody's changes are recorded on.
    pub async fn tell_shared_disk(&self, audit_dir: &Path) {
        let Ok(dirs) = self.docker_dirs().await else {
            return;
        };
        let of = |dir: &Path| rustix::fs::stat(dir).map(|stat| stat.st_dev).ok();
        for docker in dirs {
            if of(&docker).is_some_and(|device| Some(device) == of(audit_dir)) {
                tracing::warn!(
                    docker = %docker.display(),
                    audit = %audit_dir.display(),
                    "containers and the audit log share a file system; give Docker its own"
                );
            }
        }
    }

    /// Whether what this container has written before lets it be started.
    pub(super) async fn check_layer(
        &self,
        grant: &Grant,
        container: &OwnContainer,
    ) -> Result<(), GatewayError> {
        if layer::is_read_only(&container.inspected) {
            return Ok(());
        }
        let _turn = self.walk_turn(grant.uid).await.ok_or(GatewayError::Busy)?;
        let measured = self.measure(grant, &container.id);
        match tokio::time::timeout(MEASURE, measured).await {
            Ok(Ok(layer)) => Ok(layer::check_start(grant, layer)?),
            Ok(Err(MeasureError::Docker(error)))
                if !matches!(error, DockerError::Response { .. }) =>
            {
                Err(error.into())
            }
            Ok(Err(error)) => {
                tracing::debug!(container = container.id, %error, "its layer was not measured");
                Err(layer::unmeasured(grant).into())
            }
            Err(_) => Err(layer::unmeasured(grant).into()),
        }
    }

    /// How much is free where Docker writes.
    async fn disks(&self) -> Disks {
        match self.docker_dirs().await {
            Ok(dirs) => Self::look_at(dirs).await,
            Err(why) => Disks::unseen(why),
        }
    }

    /// The same without asking Docker again, which a look every two seconds must not: where systemd listens for
    /// Docker, a question starts an engine that the administrator has stopped.
    async fn disks_as_known(&self) -> Disks {
        let known = self
            .docker
            .last_facts()
            .filter(|_| self.disk.named.is_empty());
        match known.map(|facts| dirs::of(&facts, Path::exists)) {
            Some(Ok(dirs)) => Self::look_at(dirs).await,
            Some(Err(why)) => Disks::unseen(why),
            None => self.disks().await,
        }
    }

    async fn look_at(dirs: Vec<PathBuf>) -> Disks {
        // A disk that hangs must not hang the daemon.
        let looked = tokio::task::spawn_blocking(move || Disks::look(&dirs)).await;
        looked.unwrap_or_else(|error| Disks::unseen(error.to_string()))
    }

    async fn docker_dirs(&self) -> Result<Vec<PathBuf>, String> {
        if !self.disk.named.is_empty() {
            return Ok(self.disk.named.clone());
        }
        let facts = self
            .docker
            .facts()
            .await
            .map_err(|error| error.to_string())?;
        dirs::of(&facts, Path::exists)
    }

    /// Watches until it is dropped: measures all layers each time that `every` has passed, and at once
    /// when the disk loses much.
    pub async fn watch_layers(self: Arc<Self>, every: Duration) {
        let mut watch = Watch::new(every);
        let mut unmeasured = Unmeasured::default();
        loop {
            tokio::time::sleep(TICK.min(every)).await;
            let disks = self.disks_as_known().await;
            watch.tell(&disks);
            if !watch.is_due(&disks.spaces) {
                continue;
            }
            let began = Instant::now();
            if let Err(error) = self.measure_all(&mut unmeasured).await {
                tracing::debug!(%error, "the layers of containers were not measured");
            }
            watch.measured(began.elapsed(), disks.spaces);
        }
    }

    /// One round over the containers of all tenants that run or are restarted.
    async fn measure_all(&self, unmeasured: &mut Unmeasured) -> Result<(), GatewayError> {
        let filters = Filters::default().encoded_with("label", OWNER_LABEL);
        let list = self
            .get(&format!("/containers/json?all=true&filters={filters}"))
            .await?;
        let containers: Vec<&Value> = list.as_array().into_iter().flatten().collect();
        let ids: HashSet<&str> = containers.iter().map(|one| text(one, "/Id")).collect();
        held(&self.disk.stopped).retain(|id, _| ids.contains(id.as_str()));
        unmeasured.retain(&ids);
        let mut busy = HashSet::new();
        for container in containers {
            // One that is restarted again and again is between two starts most of the time.
            if matches!(text(container, "/State"), "created" | "exited" | "dead") {
                continue;
            }
            let _turn = self.turn_of_owner(container, &mut busy).await;
            let looked =
                tokio::time::timeout(MEASURE, self.measure_one(container, unmeasured)).await;
            match looked {
                Ok(Ok(())) => {}
                // Removed or ended meanwhile, or Docker is slow: the next round sees.
                Ok(Err(error)) => {
                    if let Some(unsaid) = NOT_MEASURED.again() {
                        tracing::warn!(%error, unsaid, "a container's layer was not checked");
                    }
                }
                Err(_) => tracing::warn!(
                    container = text(container, "/Id"),
                    "measuring a container's layer took over a minute"
                ),
            }
        }
        Ok(())
    }

    /// The turn of a container's owner, for a walk through its files. The watch goes on without one that does
    /// not come, and waits for each owner once in a round: nobody keeps it from looking.
    async fn turn_of_owner(
        &self,
        listed: &Value,
        busy: &mut HashSet<u32>,
    ) -> Option<OwnedMutexGuard<()>> {
        let owner = owner_of(listed).filter(|uid| !busy.contains(uid))?;
        let turn = self.walk_turn(owner).await;
        if turn.is_none() {
            busy.insert(owner);
        }
        turn
    }

    async fn measure_one(
        &self,
        listed: &Value,
        unmeasured: &mut Unmeasured,
    ) -> Result<(), GatewayError> {
        // The containers of that is no longer a tenant are the administrator's to stop.
        let Some(grant) = owner_of(listed).and_then(|uid| self.grant(uid)) else {
            return Ok(());
        };
        let id = full_id(text(listed, "/Id")).ok_or(GatewayError::Answer)?;
        let container = self.own_container(&grant, &id).await?;
        if layer::is_read_only(&container.inspected) {
            return Ok(());
        }
        let layer = match self.measure(&grant, &id).await {
            Ok(layer) => layer,
            Err(error) if error.is_of_the_container() && unmeasured.again(&id) => {
                // Docker's text has paths of the host; it is in this log only.
                tracing::warn!(container = id, %error, "Docker cannot measure it");
                let why = layer::UNMEASURED.to_owned();
                return self.stop_overfull(&grant, &container, None, why).await;
            }
            Err(MeasureError::Docker(error)) => return Err(error.into()),
            Err(MeasureError::NoSize) => return Err(GatewayError::Answer),
        };
        unmeasured.measured(&id);
        match layer::excess(&grant, layer) {
            None => {
                // It has made room before it could be stopped.
                self.disk.forget(&id);
                Ok(())
            }
            Some(excess) => {
                self.stop_overfull(&grant, &container, Some(layer), excess)
                    .await
            }
        }
    }

    async fn stop_overfull(
        &self,
        grant: &Grant,
        container: &OwnContainer,
        layer: Option<Layer>,
        excess: String,
    ) -> Result<(), GatewayError> {
        let id = &container.id;
        tracing::warn!(container = id, uid = grant.uid, "stopping it: {excess}");
        let intent = Intent {
            caller: ourselves(),
            operation: "container.overfull",
            arguments: json!({
                "container": container.name, "id": id, "owner": grant.uid,
                "bytes": layer.map(|layer| layer.bytes),
                "files": layer.and_then(|layer| layer.files), "because": excess,
            }),
            rule: grant.rules.writable_layer.to_string(),
            policy: self.policy_digest(),
        };
        let path = format!("/containers/{id}/stop?t={GRACE}");
        // Reported from now on: who looks while it stops must see why. It stays reported when Docker answers with
        // an error: one that did not see the end of the container within 10 s has killed it all the same,
        // and one that did not stop it is queried again in the next round.
        let why = format!("stopped by the gateway: {excess}; recreate it");
        held(&self.disk.stopped).insert(id.clone(), why);
        let stop = self.docker.act(Method::POST, &path, Body::NONE);
        self.enforced(intent, stop).await
    }
}

/// The UID that a container of a list belongs to.
fn owner_of(listed: &Value) -> Option<u32> {
    let owner = listed.get("Labels")?.get(OWNER_LABEL)?.as_str()?;
    owner.parse().ok()
}

/// Who stops a container that nobody requested to stop.
fn ourselves() -> Caller {
    Caller {
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        pid: Some(rustix::process::getpid().as_raw_nonzero().get()),
    }
}

/// When it is time to measure again. Pure but for the clock.
#[derive(Debug)]
struct Watch {
    every: Duration,
    looked: Instant,
    pause: Duration,
    before: Vec<Space>,
    /// What was said of the disk last.
    reported: Option<Result<bool, String>>,
}

impl Watch {
    fn new(every: Duration) -> Self {
        Self {
            every,
            looked: Instant::now(),
            pause: PAUSE.min(every),
            before: Vec::new(),
            reported: None,
        }
    }

    fn is_due(&mut self, now: &[Space]) -> bool {
        let since = self.looked.elapsed();
        if self.before.len() != now.len() && !now.is_empty() {
            self.before = now.to_vec();
        }
        let mut disks = self.before.iter().zip(now);
        let lost = disks.any(|(before, now)| lost_much(before, now));
        since >= self.every || (lost && since >= self.pause)
    }

    fn measured(&mut self, took: Duration, now: Vec<Space>) {
        self.looked = Instant::now();
        self.pause = (took * PAUSE_FACTOR).max(PAUSE).min(self.every);
        self.before = now;
    }

    /// Says in the log when the reserve is touched, when it is whole again, and why it cannot be seen;
    /// each once.
    fn tell(&mut self, disks: &Disks) {
        let enough = disks.admit().is_ok();
        let now = match &disks.unseen {
            Some(why) if enough => Err(why.clone()),
            _ => Ok(enough),
        };
        if self.reported.as_ref() == Some(&now) {
            return;
        }
        match &now {
            Ok(false) => tracing::error!(
                "Docker's disk is down to its reserve: no new writers until there is space"
            ),
            Ok(true) if self.reported.is_some() => {
                tracing::info!("Docker's disk has its reserve again");
            }
            Ok(true) => {}
            Err(why) => tracing::error!(why, "Docker's disk cannot be watched"),
        }
        self.reported = Some(now);
    }
}

fn lost_much(before: &Space, now: &Space) -> bool {
    let (bytes, inodes) = LOST;
    before.bytes_free.saturating_sub(now.bytes_free) >= bytes
        || before.inodes_free.saturating_sub(now.inodes_free) >= inodes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_measured_in_time_and_at_once_when_the_disk_loses_much() {
        let space = |bytes_free, inodes_free| Space {
            bytes: 1 << 40,
            bytes_free,
            inodes: 1 << 30,
            inodes_free,
        };
        let full = space(1 << 39, 1 << 29);
        let mut watch = Watch::new(Duration::from_hours(1));
        watch.pause = Duration::ZERO;
        assert!(!watch.is_due(&[full]));
        let (bytes, inodes) = LOST;
        assert!(!watch.is_due(&[space((1 << 39) - bytes + 1, 1 << 29)]));
        let less = space((1 << 39) - bytes, 1 << 29);
        assert!(watch.is_due(&[less]));
        assert!(watch.is_due(&[space(1 << 39, (1 << 29) - inodes)]));
        watch.measured(Duration::ZERO, vec![less]);
        assert!(!watch.is_due(&[less]), "counted from the last round on");
        assert_eq!(watch.pause, PAUSE);
        watch.measured(Duration::from_mins(1), vec![less]);
        assert_eq!(watch.pause, Duration::from_mins(4));
        assert!(
            !watch.is_due(&[full, space((1 << 39) - 2 * bytes, 1 << 29)]),
            "a disk that was not seen before has lost nothing"
        );
        assert!(!watch.is_due(&[]));
        watch.every = Duration::ZERO;
        assert!(watch.is_due(&[]), "also where the disk cannot be seen");
    }
}
