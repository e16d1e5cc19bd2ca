//! Looks at what containers write to Docker's disk: how much of it is free, before anything new may
//! write there, and what each container has written outside of its mounts, again and again.
//!
//! Nothing here is a quota: a container is stopped after it has written too much. How long after is
//! what [`TICK`] and the time between two looks say.

mod dirs;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aistack_policy::Grant;
use http::Method;
use http_body_util::BodyExt;
use serde_json::{Value, json};

use self::dirs::Dirs;
use super::fault::Fault;
use super::gateway::Gateway;
use super::own::{OwnContainer, full_id, text};
use super::vet::layer::{self, Layer, Space};
use super::vet::target::Filters;
use crate::audit::Intent;
use crate::docker::{DockerError, OWNER_LABEL};
use crate::peer::Caller;
use crate::seldom::Seldom;

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
    /// Where containers write to.
    dirs: Mutex<Dirs>,
    /// Why containers were stopped, by full id; those that are gone are forgotten in each round.
    stopped: Mutex<HashMap<String, String>>,
}

impl Disk {
    pub(super) fn new(dir: Option<PathBuf>) -> Self {
        Self {
            dirs: Mutex::new(Dirs::new(dir)),
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
    pub(super) async fn admit_writes(&self) -> Result<(), Fault> {
        match self.space().await {
            Ok(space) => Ok(space.admit()?),
            Err(_) => Ok(()),
        }
    }

    /// The same for a container that exists, unless it can write to its mounts only.
    pub(super) async fn admit_writes_of(&self, container: &OwnContainer) -> Result<(), Fault> {
        if layer::is_read_only(&container.inspected) {
            return Ok(());
        }
        self.admit_writes().await
    }

    /// What callers of `docker info` should know.
    pub(super) async fn disk_warnings(&self) -> Vec<String> {
        let refused = self
            .space()
            .await
            .ok()
            .and_then(|space| space.admit().err());
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
        let shared = |dir: &&PathBuf| of(dir).is_some_and(|device| Some(device) == of(audit_dir));
        if let Some(docker) = dirs.iter().find(shared) {
            tracing::warn!(
                docker = %docker.display(),
                audit = %audit_dir.display(),
                "containers and the audit log share one file system; give Docker one of its own"
            );
        }
    }

    /// Whether what this container has written before lets it be started.
    pub(super) async fn check_layer(
        &self,
        grant: &Grant,
        container: &OwnContainer,
    ) -> Result<(), Fault> {
        if layer::is_read_only(&container.inspected) {
            return Ok(());
        }
        let measured = self.measure(grant, &container.id);
        match tokio::time::timeout(MEASURE, measured).await {
            Ok(layer) => Ok(layer::check_start(grant, layer?)?),
            Err(_) => Err(layer::unmeasured(grant).into()),
        }
    }

    /// How much of Docker's disk is free; as text why that is not known.
    async fn space(&self) -> Result<Space, String> {
        least_space(self.docker_dirs().await?).await
    }

    /// The same without asking Docker again, which a look every two seconds shall not: where systemd listens
    /// for Docker, a question starts an engine that the administrator has stopped.
    async fn space_as_known(&self) -> Result<Space, String> {
        let known = held(&self.disk.dirs).known();
        match known {
            Some((dirs, _)) => least_space(dirs).await,
            None => self.space().await,
        }
    }

    async fn docker_dirs(&self) -> Result<Vec<PathBuf>, String> {
        let known = held(&self.disk.dirs).known();
        if let Some((dirs, true)) = known {
            return Ok(dirs);
        }
        let asked = self.get("/info").await.map_err(|error| error.to_string());
        let told = asked.and_then(|info| {
            Dirs::told(&info).ok_or_else(|| "Docker does not say where its directory is".to_owned())
        });
        match (told, known) {
            (Ok(told), _) => {
                let now = told.known().map(|(dirs, _)| dirs).unwrap_or_default();
                *held(&self.disk.dirs) = told;
                Ok(now)
            }
            // While Docker is away, what it said last is the best there is.
            (Err(_), Some((dirs, _))) => Ok(dirs),
            (Err(why), None) => Err(why),
        }
    }

    /// What a container has written into its layer. Files are counted up to one more than the policy
    /// has for the tenant.
    async fn measure(&self, grant: &Grant, id: &str) -> Result<Layer, DockerError> {
        let shown = self
            .get(&format!("/containers/{id}/json?size=true"))
            .await?;
        let bytes = shown.get("SizeRw").and_then(Value::as_u64).unwrap_or(0);
        let path = format!("/containers/{id}/changes");
        let answer = self
            .docker
            .send(Method::GET, &path, &[], bytes::Bytes::new())
            .await?;
        if answer.status().as_u16() >= 300 {
            return Err(DockerError::of(answer).await);
        }
        let mut body = answer.into_body();
        let mut files = Paths::default();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| DockerError::Http(error.into()))?;
            if let Ok(data) = frame.into_data() {
                files.read(&data);
            }
            // The rest need not be read, nor sent.
            if files.count > layer::most_files(grant) {
                break;
            }
        }
        Ok(Layer {
            bytes,
            files: files.count,
        })
    }

    /// Watches until it is dropped: measures all layers each time that `every` has passed, and at once
    /// when the disk loses much.
    pub async fn watch_layers(self: Arc<Self>, every: Duration) {
        let mut watch = Watch::new(every);
        loop {
            tokio::time::sleep(TICK.min(every)).await;
            let space = self.space_as_known().await;
            watch.tell(&space);
            if !watch.is_due(space.as_ref().ok()) {
                continue;
            }
            let began = Instant::now();
            if let Err(error) = self.measure_all().await {
                tracing::debug!(%error, "the layers of containers were not measured");
            }
            watch.measured(began.elapsed(), space.ok());
        }
    }

    /// One round over the containers of all tenants that run or are restarted.
    async fn measure_all(&self) -> Result<(), Fault> {
        // Asked here, with the other questions: the next looks are at the disk that Docker has now.
        if let Err(why) = self.docker_dirs().await {
            tracing::debug!(why, "Docker's directory is not known");
        }
        let filters = Filters::default().encoded_with("label", OWNER_LABEL);
        let list = self
            .get(&format!("/containers/json?all=true&filters={filters}"))
            .await?;
        let containers: Vec<&Value> = list.as_array().into_iter().flatten().collect();
        let ids: HashSet<&str> = containers.iter().map(|one| text(one, "/Id")).collect();
        held(&self.disk.stopped).retain(|id, _| ids.contains(id.as_str()));
        for container in containers {
            // One that is restarted again and again is between two starts most of the time.
            if matches!(text(container, "/State"), "created" | "exited" | "dead") {
                continue;
            }
            let looked = tokio::time::timeout(MEASURE, self.measure_one(container)).await;
            match looked {
                Ok(Ok(())) => {}
                // Removed or ended meanwhile, or Docker is slow: the next round sees.
                Ok(Err(error)) => {
                    if let Some(unsaid) = NOT_MEASURED.again() {
                        tracing::warn!(%error, unsaid, "a container's layer was not looked at");
                    }
                }
                Err(_) => tracing::warn!(
                    container = text(container, "/Id"),
                    "a container's layer was not measured in a minute"
                ),
            }
        }
        Ok(())
    }

    async fn measure_one(&self, listed: &Value) -> Result<(), Fault> {
        let owner = listed.get("Labels").and_then(|all| all.get(OWNER_LABEL));
        let owner = owner
            .and_then(Value::as_str)
            .and_then(|uid| uid.parse().ok());
        // The containers of who is no tenant any more are the administrator's to stop.
        let Some(grant) = owner.and_then(|uid| self.grant(uid)) else {
            return Ok(());
        };
        let id = full_id(text(listed, "/Id")).ok_or(Fault::Answer)?;
        let container = self.own_container(&grant, &id).await?;
        if layer::is_read_only(&container.inspected) {
            return Ok(());
        }
        let layer = self.measure(&grant, &id).await?;
        match layer::excess(&grant, layer) {
            None => Ok(()),
            Some(excess) => self.stop_overfull(&grant, &container, layer, excess).await,
        }
    }

    async fn stop_overfull(
        &self,
        grant: &Grant,
        container: &OwnContainer,
        layer: Layer,
        excess: String,
    ) -> Result<(), Fault> {
        let id = &container.id;
        tracing::warn!(container = id, uid = grant.uid, "stopping it: {excess}");
        let intent = Intent {
            caller: ourselves(),
            operation: "container.overfull",
            arguments: json!({
                "container": container.name, "id": id, "owner": grant.uid,
                "bytes": layer.bytes, "files": layer.files,
            }),
            rule: grant.rules.writable_layer.to_string(),
            policy: self.policy_digest(),
        };
        let path = format!("/containers/{id}/stop?t={GRACE}");
        // Told from now on: who looks while it stops shall see why.
        let why = format!("stopped by the gateway: {excess}; remove it and make it again");
        held(&self.disk.stopped).insert(id.clone(), why);
        let stop = self.docker.act(Method::POST, &path, bytes::Bytes::new());
        let stopped = self.enforced(intent, stop).await;
        if stopped.is_err() {
            held(&self.disk.stopped).remove(id);
        }
        stopped
    }
}

/// The disk of these directories with the least space left for its size.
async fn least_space(dirs: Vec<PathBuf>) -> Result<Space, String> {
    // A disk that hangs must not hang the daemon.
    let looked = tokio::task::spawn_blocking(move || {
        let mut least: Option<Space> = None;
        for dir in &dirs {
            let stat =
                rustix::fs::statvfs(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
            let space = Space {
                bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
                bytes_free: stat.f_bavail.saturating_mul(stat.f_frsize),
                inodes: stat.f_files,
                inodes_free: stat.f_favail,
            };
            least = Some(least.map_or(space, |least| tighter(least, space)));
        }
        least.ok_or_else(|| "no directory is known".to_owned())
    });
    looked.await.map_err(|error| error.to_string())?
}

/// One that is down to its reserve, else the fuller one.
fn tighter(one: Space, other: Space) -> Space {
    match (one.is_enough(), other.is_enough()) {
        (false, true) => one,
        (true, false) => other,
        _ => {
            // a/b < c/d as a*d < c*b, which overflows no u128.
            let product = |free: u64, all: u64| u128::from(free) * u128::from(all);
            let fuller =
                product(other.bytes_free, one.bytes) < product(one.bytes_free, other.bytes);
            if fuller { other } else { one }
        }
    }
}

/// Who stops a container that nobody asked to stop.
fn ourselves() -> Caller {
    Caller {
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        pid: Some(rustix::process::getpid().as_raw_nonzero().get()),
    }
}

/// Counts the entries of Docker's list of changes as it comes. A quotation mark in a name is written
/// `\"`, so that these bytes are a key and nothing else.
#[derive(Debug, Default)]
struct Paths {
    count: u64,
    matched: usize,
}

impl Paths {
    const KEY: &'static [u8] = b"\"Path\":";

    fn read(&mut self, data: &[u8]) {
        for byte in data {
            self.matched = match Self::KEY.get(self.matched) {
                Some(expected) if expected == byte => self.matched + 1,
                // The key's first byte is nowhere else in it but at the end of "Path".
                _ => usize::from(*byte == b'"'),
            };
            if self.matched == Self::KEY.len() {
                self.count = self.count.saturating_add(1);
                self.matched = 0;
            }
        }
    }
}

/// When it is time to measure again. Pure but for the clock.
#[derive(Debug)]
struct Watch {
    every: Duration,
    looked: Instant,
    pause: Duration,
    before: Option<Space>,
    /// What was said of the disk last.
    told: Option<Result<bool, String>>,
}

impl Watch {
    fn new(every: Duration) -> Self {
        Self {
            every,
            looked: Instant::now(),
            pause: PAUSE.min(every),
            before: None,
            told: None,
        }
    }

    fn is_due(&mut self, space: Option<&Space>) -> bool {
        let since = self.looked.elapsed();
        let before = self
            .before
            .get_or_insert(space.copied().unwrap_or_default());
        let lost = space.is_some_and(|now| lost_much(before, now));
        since >= self.every || (lost && since >= self.pause)
    }

    fn measured(&mut self, took: Duration, space: Option<Space>) {
        self.looked = Instant::now();
        self.pause = (took * PAUSE_FACTOR).max(PAUSE).min(self.every);
        self.before = space.or(self.before);
    }

    /// Says in the log when the reserve is touched, when it is whole again, and why it cannot be seen;
    /// each once.
    fn tell(&mut self, space: &Result<Space, String>) {
        let now = space.clone().map(|space| space.is_enough());
        if self.told.as_ref() == Some(&now) {
            return;
        }
        match &now {
            Ok(false) => tracing::error!(
                "Docker's disk is down to its reserve: nothing new may write to it until there is room"
            ),
            Ok(true) if self.told.is_some() => {
                tracing::info!("Docker's disk has its reserve again");
            }
            Ok(true) => {}
            Err(why) => tracing::error!(why, "Docker's disk cannot be watched"),
        }
        self.told = Some(now);
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
    fn of_two_disks_the_one_that_is_fuller_counts() {
        let space = |bytes, bytes_free, inodes_free| Space {
            bytes,
            bytes_free,
            inodes: 1000,
            inodes_free,
        };
        let (roomy, fuller) = (space(1 << 40, 1 << 39, 900), space(1 << 41, 1 << 39, 900));
        assert_eq!(tighter(roomy, fuller), fuller);
        assert_eq!(tighter(fuller, roomy), fuller);
        // No inodes are left, however many bytes.
        let spent = space(1 << 40, (1 << 40) - 1, 0);
        assert!(!spent.is_enough() && fuller.is_enough());
        assert_eq!(tighter(fuller, spent), spent);
        assert_eq!(tighter(spent, fuller), spent);
    }

    #[test]
    fn changes_are_counted_however_the_answer_is_cut() {
        let list = br#"[{"Path":"/a","Kind":1},{"Path":"/\"Path\":\"","Kind":1},{"Path":"/x"}]"#;
        for size in 1..list.len() {
            let mut paths = Paths::default();
            list.chunks(size).for_each(|part| paths.read(part));
            assert_eq!(paths.count, 3, "in parts of {size}");
        }
        let mut none = Paths::default();
        none.read(b"null");
        none.read(b"\"\"\"Path\"Path\"");
        assert_eq!(none.count, 0);
    }

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
        assert!(!watch.is_due(Some(&full)));
        assert!(!watch.is_due(None));
        let (bytes, inodes) = LOST;
        assert!(!watch.is_due(Some(&space((1 << 39) - bytes + 1, 1 << 29))));
        let less = space((1 << 39) - bytes, 1 << 29);
        assert!(watch.is_due(Some(&less)));
        assert!(watch.is_due(Some(&space(1 << 39, (1 << 29) - inodes))));
        watch.measured(Duration::ZERO, Some(less));
        assert!(!watch.is_due(Some(&less)), "counted from the last round on");
        assert_eq!(watch.pause, PAUSE);
        watch.measured(Duration::from_mins(1), Some(less));
        assert_eq!(watch.pause, Duration::from_mins(4));
        watch.every = Duration::ZERO;
        assert!(watch.is_due(None), "also where the disk cannot be seen");
    }
}
