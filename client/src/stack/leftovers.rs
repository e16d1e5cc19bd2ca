//! Services that still run on the tenant's data and are no containers of the Docker Engine that is there now. An
//! engine that was killed, or stopped with `live-restore`, leaves its containers running; the next one takes them over
//! only when it has the same image store and data directory. Otherwise it starts others beside them, and two
//! servers on one directory destroy its data.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::read_to_string;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::Serialize;

use super::look;
use crate::desired::{DesiredService, Stack};
use crate::engine::{Engine, EngineError};
use crate::error::CliError;
use crate::exit::Exit;

/// What it means that there are some.
pub const MEANS: &str = "two servers on one directory destroy its data";

/// One such service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Leftover {
    /// Its directory below `data` or `logs`, which is named after the service.
    pub service: String,
    /// Its first process on this host.
    pub pid: u32,
    /// Full id of its container.
    pub container: String,
    /// The signal that stops it, e.g. `SIGINT`.
    pub signal: String,
}

/// All of them, as far as the kernel shows the processes of others to the tenant.
///
/// # Errors
/// What the gateway answered.
pub async fn find(engine: &Engine, stack: &Stack) -> Result<Vec<Leftover>, EngineError> {
    find_of(engine, Path::new(&stack.base_dir), stack.services.iter()).await
}

/// Refuses to go on while there are some.
///
/// # Errors
/// That there are some, and what the gateway answered.
pub async fn refuse(engine: &Engine, stack: &Stack) -> Result<(), CliError> {
    refuse_of(engine, Path::new(&stack.base_dir), stack.services.iter()).await
}

/// The same for these services.
///
/// # Errors
/// That there are some, and what the gateway answered.
pub async fn refuse_of(
    engine: &Engine,
    base_dir: &Path,
    services: impl Iterator<Item = &DesiredService>,
) -> Result<(), CliError> {
    let left = find_of(engine, base_dir, services).await?;
    if left.is_empty() {
        return Ok(());
    }
    Err(CliError::new(
        Exit::Failed,
        format!("{}; nothing was changed", describe(&left)),
    )
    .because(MEANS)
    .next(next(&left)))
}

/// Which they are.
#[must_use]
pub fn describe(left: &[Leftover]) -> String {
    let names: Vec<String> = left
        .iter()
        .map(|own| format!("{} (process {})", own.service, own.pid))
        .collect();
    format!(
        "processes outside of this Docker Engine still use your data: {}",
        names.join(", ")
    )
}

/// What to do.
#[must_use]
pub fn next(left: &[Leftover]) -> String {
    let kill: Vec<String> = left
        .iter()
        .map(|own| {
            let signal = own.signal.trim_start_matches("SIG");
            format!("kill -s {signal} {}", own.pid)
        })
        .collect();
    format!(
        "{}; then run aistack deploy. A former Docker Engine left them: see docs/upgrade.md",
        kill.join("; ")
    )
}

/// All of it in one sentence.
#[must_use]
pub fn sentence(left: &[Leftover]) -> String {
    format!("{}; {MEANS}: {}", describe(left), next(left))
}

async fn find_of(
    engine: &Engine,
    base_dir: &Path,
    services: impl Iterator<Item = &DesiredService>,
) -> Result<Vec<Leftover>, EngineError> {
    let signals: BTreeMap<&str, &str> = services
        .map(|service| {
            let signal = service.body.stop_signal.as_deref();
            (service.name.as_str(), signal.unwrap_or("SIGTERM"))
        })
        .collect();
    let Some(volume) = look::volume(base_dir) else {
        return Ok(Vec::new());
    };
    let seen = || scan(Path::new("/proc"), &volume, &signals);
    let mut left = seen();
    if left.is_empty() {
        return Ok(left);
    }
    let known = engine.ids().await?;
    left.retain(|own| !known.contains(&own.container));
    if !left.is_empty() {
        // What was removed while the engine was queried is gone by now.
        let still: BTreeSet<u32> = seen().into_iter().map(|own| own.pid).collect();
        left.retain(|own| still.contains(&own.pid));
    }
    Ok(left)
}

/// The first processes of containers that have a directory of these services mounted from the volume.
fn scan(proc: &Path, volume: &str, signals: &BTreeMap<&str, &str>) -> Vec<Leftover> {
    let own_uid = rustix::process::getuid().as_raw();
    let entries = std::fs::read_dir(proc).into_iter().flatten().flatten();
    let mut found: Vec<Leftover> = entries
        .filter_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            // Of another user's process the kernel shows no mounts.
            if entry.metadata().ok()?.uid() != own_uid {
                return None;
            }
            let read = |name: &str| read_to_string(entry.path().join(name)).ok();
            if !is_first(&read("status")?) {
                return None;
            }
            let container = container_of(&read("cgroup")?)?;
            let mounts = read("mountinfo")?;
            let service = service_of(&mounts, volume, |name| signals.contains_key(name))?;
            let signal = signals.get(service.as_str()).copied();
            Some(Leftover {
                service,
                pid,
                container,
                signal: signal.unwrap_or_default().to_owned(),
            })
        })
        .collect();
    found.sort_by(|one, other| (&one.service, one.pid).cmp(&(&other.service, other.pid)));
    found
}

/// Whether it is process 1 of a process namespace below this one (proc_pid_status(5), `NSpid`).
fn is_first(status: &str) -> bool {
    let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    let ids: Vec<&str> = ids.unwrap_or_default().split_whitespace().collect();
    ids.len() > 1 && ids.last() == Some(&"1")
}

/// The id in the name of a control group: `/docker/ID`, or `docker-ID.scope` where systemd manages them.
fn container_of(cgroup: &str) -> Option<String> {
    let parts = cgroup.lines().flat_map(|line| line.split('/'));
    let mut ids = parts.filter_map(|part| {
        let part = part.strip_prefix("docker-").unwrap_or(part);
        let id = part.strip_suffix(".scope").unwrap_or(part);
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        (id.len() == 64 && id.bytes().all(hex)).then(|| id.to_owned())
    });
    ids.next()
}

/// The service whose own directory of the volume is among the mounts: `id parent major:minor root …`
/// (proc_pid_mountinfo(5)).
fn service_of(mounts: &str, volume: &str, is_service: impl Fn(&str) -> bool) -> Option<String> {
    let mut roots = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(2);
        (words.next()? == volume).then(|| words.next()).flatten()
    });
    roots.find_map(|root| {
        let mut parts = root.trim_start_matches('/').split('/');
        let writable = matches!(parts.next()?, "data" | "logs");
        let name = parts.next()?;
        (writable && is_service(name)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(proc: &Path, pid: u32, nspid: &str, cgroup: &str, mounts: &str) {
        let dir = proc.join(pid.to_string());
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(dir.join("status"), format!("Name:\tx\nNSpid:\t{nspid}\n")).unwrap();
        std::fs::write(dir.join("cgroup"), cgroup).unwrap();
        std::fs::write(dir.join("mountinfo"), mounts).unwrap();
    }

    #[test]
    fn only_first_processes_of_containers_on_a_services_data_are_found() {
        let proc = tempfile::tempdir().unwrap();
        let proc = proc.path();
        let (a, b) = ("a".repeat(64), "b".repeat(64));
        let v1 = |id: &str| format!("4:memory:/docker/{id}\n1:name=systemd:/docker/{id}\n");
        let data = "50 40 7:3 /data/postgres /var/lib/postgresql/data rw - ext4 /dev/loop3 rw\n";
        process(proc, 10, "10 1", &v1(&a), data);
        let v2 = format!("0::/system.slice/docker-{b}.scope\n");
        let logs = "51 40 7:3 /logs/redis /logs rw - ext4 /dev/loop3 rw\n";
        process(proc, 11, "500 11 1", &v2, logs);
        // A child, a process of the host, another volume's, a backup of everything, another service.
        process(proc, 12, "12 7", &v1(&a), data);
        process(proc, 13, "13", &v1(&a), data);
        process(proc, 14, "14 1", &v1(&a), &data.replace("7:3", "7:4"));
        process(
            proc,
            15,
            "15 1",
            &v1(&a),
            &data.replace("/data/postgres ", "/ "),
        );
        process(
            proc,
            16,
            "16 1",
            &v1(&a),
            &data.replace("/data/postgres", "/data/mine"),
        );
        process(proc, 17, "17 1", "0::/user.slice\n", data);
        process(proc, 18, "18 1", &v1(&a), &data.replace("/data", "/etc"));
        let signals = BTreeMap::from([("postgres", "SIGINT"), ("redis", "SIGTERM")]);
        let found = scan(proc, "7:3", &signals);
        let ids: Vec<(&str, u32, &str)> = found
            .iter()
            .map(|own| (own.service.as_str(), own.pid, own.container.as_str()))
            .collect();
        assert_eq!(
            ids,
            [("postgres", 10, a.as_str()), ("redis", 11, b.as_str())]
        );
        let next = next(&found);
        assert!(
            next.starts_with("kill -s INT 10; kill -s TERM 11; then"),
            "{next}"
        );
        let text = sentence(&found);
        assert!(
            text.contains("postgres (process 10), redis (process 11)"),
            "{text}"
        );
    }
}
