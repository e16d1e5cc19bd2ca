//! One changing command at a time for each tenant: flock(2) on `BASE_DIR/config/.lock`. The kernel
//! gives the lock back when its holder ends, however it ends.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rustix::fs::{FlockOperation, OFlags, flock};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::error::{CliError, is_full};
use crate::exit::Exit;
use crate::ui;

/// How often a waiting run looks again.
const AGAIN: Duration = Duration::from_millis(200);
/// How long every run waits: who looks how the lock stands has it for a moment.
const MOMENT: Duration = Duration::from_millis(60);

/// The lock, as long as it lives.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Who holds it, for the others to read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Process id of the run.
    pub pid: u32,
    /// Its command.
    pub command: String,
    /// Unix time, seconds.
    pub since: i64,
}

/// For people.
impl std::fmt::Display for Holder {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let command = ui::clean(&self.command);
        let age = ui::ago(self.age());
        write!(out, "`{command}` (PID {}), running for {age}", self.pid)
    }
}

impl Holder {
    /// For how long it has the lock.
    #[must_use]
    pub fn age(&self) -> Duration {
        let age = Timestamp::now().as_second().saturating_sub(self.since);
        Duration::from_secs(age.try_into().unwrap_or_default())
    }

    /// True while its process is there.
    #[must_use]
    pub fn alive(&self) -> bool {
        Path::new("/proc").join(self.pid.to_string()).exists()
    }
}

/// How the lock stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LockState {
    /// Nobody has it.
    Free,
    /// A process has it.
    Held {
        /// Who, where the file says it.
        holder: Option<Holder>,
    },
}

/// How the lock stands now.
///
/// # Errors
/// What the kernel said; no file is not a lock.
pub fn state(base_dir: &Path) -> Result<LockState, CliError> {
    let path = base_dir.join("config/.lock");
    let options = OpenOptions::new()
        .read(true)
        .custom_flags(no_follow())
        .open(&path);
    let mut file = match options {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(LockState::Free),
        Err(error) => return Err(CliError::io("open", &path, &error)),
    };
    // Shared, and given back at once: only a holder is in the way of it.
    if flock(&file, FlockOperation::NonBlockingLockShared).is_ok() {
        return Ok(LockState::Free);
    }
    let holder = read_holder(&mut file);
    Ok(LockState::Held { holder })
}

/// Tells the run that holds the lock to end, and waits until it has.
///
/// # Errors
/// When it is another's process, is not the holder any more, or does not end.
pub fn end(base_dir: &Path, holder: &Holder) -> Result<(), CliError> {
    let pid = i32::try_from(holder.pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    let pid = pid.ok_or_else(|| CliError::new(Exit::Failed, "the lock names no process"))?;
    for signal in [rustix::process::Signal::TERM, rustix::process::Signal::KILL] {
        // Checked again right before: a process id is used again one day.
        let still = LockState::Held {
            holder: Some(holder.clone()),
        };
        if state(base_dir)? != still {
            return Ok(());
        }
        rustix::process::kill_process(pid, signal).map_err(|error| {
            CliError::new(Exit::Failed, format!("cannot end PID {}", holder.pid))
                .because(error.to_string())
        })?;
        for _ in 0..25 {
            std::thread::sleep(AGAIN);
            if state(base_dir)? != still {
                return Ok(());
            }
        }
    }
    Err(CliError::new(
        Exit::Locked,
        format!("PID {} did not end", holder.pid),
    ))
}

fn read_holder(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(4096).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

impl Lock {
    /// Takes the lock; waits for it as long as `wait`.
    ///
    /// # Errors
    /// [`Exit::Locked`] with the holder, or what the kernel said.
    pub async fn take(base_dir: &Path, command: &str, wait: Duration) -> Result<Self, CliError> {
        let path = base_dir.join("config/.lock");
        let deadline = Instant::now() + wait.max(MOMENT);
        // Opened each time: `destroy --purge` removes the file, and a lock on what has no name any
        // more keeps nobody out.
        let mut file = loop {
            let mut file = open(&path).map_err(|error| CliError::io("open", &path, &error))?;
            if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
                let left = deadline.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(locked(&mut file, &path));
                }
                tokio::time::sleep(left.min(AGAIN)).await;
            } else if is_at(&file, &path) {
                break file;
            }
        };
        let holder = Holder {
            pid: std::process::id(),
            command: command.to_owned(),
            since: Timestamp::now().as_second(),
        };
        match write_holder(&mut file, &holder) {
            // On a full volume it is not known who holds it; it is held all the same.
            Err(error) if is_full(&error) => {
                let emptied = file.set_len(0);
                emptied.map_err(|error| CliError::io("write", &path, &error))?;
            }
            written => written.map_err(|error| CliError::io("write", &path, &error))?,
        }
        Ok(Self { _file: file })
    }
}

fn open(path: &PathBuf) -> std::io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(no_follow())
        .open(path)
}

fn no_follow() -> i32 {
    i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default()
}

/// Whether `path` still leads to this very file.
fn is_at(file: &File, path: &Path) -> bool {
    let own = file.metadata().map(|own| (own.dev(), own.ino()));
    let there = path.symlink_metadata();
    let there = there.map(|there| (there.dev(), there.ino()));
    matches!((own, there), (Ok(own), Ok(there)) if own == there)
}

/// Over what stands there, so that it takes no new room where there was a holder before.
fn write_holder(file: &mut File, holder: &Holder) -> std::io::Result<()> {
    let text = serde_json::to_vec(holder)?;
    file.rewind()?;
    file.write_all(&text)?;
    file.set_len(text.len() as u64)
}

fn locked(file: &mut File, path: &Path) -> CliError {
    let who = read_holder(file).map_or_else(|| "another run".to_owned(), |held| held.to_string());
    CliError::new(Exit::Locked, format!("the stack is locked by {who}"))
        .because(format!("lock file: {}", path.display()))
        .next("wait for it, or run again with --lock-wait=10m")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_second_run_learns_who_holds_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("config")).unwrap();
        let first = Lock::take(dir.path(), "aistack deploy", Duration::ZERO)
            .await
            .unwrap();
        let failure = Lock::take(dir.path(), "aistack init", Duration::ZERO)
            .await
            .unwrap_err();
        assert_eq!(failure.exit, Exit::Locked);
        let pid = std::process::id();
        let shown = format!("`aistack deploy` (PID {pid})");
        assert!(failure.what.contains(&shown), "{failure}");
        let LockState::Held { holder } = state(dir.path()).unwrap() else {
            panic!("it is held");
        };
        assert_eq!(holder.unwrap().pid, pid);
        drop(first);
        assert_eq!(state(dir.path()).unwrap(), LockState::Free);
        Lock::take(dir.path(), "aistack init", Duration::ZERO)
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn a_lock_whose_file_was_removed_meanwhile_is_taken_on_the_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("config");
        std::fs::create_dir(&config).unwrap();
        let first = Lock::take(dir.path(), "one", Duration::ZERO).await.unwrap();
        let path = dir.path().to_owned();
        let second =
            tokio::spawn(async move { Lock::take(&path, "two", Duration::from_secs(10)).await });
        tokio::time::sleep(Duration::from_millis(50)).await;
        std::fs::remove_file(config.join(".lock")).unwrap();
        drop(first);
        let _second = second.await.unwrap().unwrap();
        let third = Lock::take(dir.path(), "three", Duration::ZERO).await;
        assert_eq!(third.unwrap_err().exit, Exit::Locked);
    }

    #[tokio::test]
    async fn a_run_that_waits_gets_the_lock_when_it_is_free() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("config")).unwrap();
        let first = Lock::take(dir.path(), "one", Duration::ZERO).await.unwrap();
        let path = dir.path().to_owned();
        let second =
            tokio::spawn(async move { Lock::take(&path, "two", Duration::from_secs(10)).await });
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(first);
        second.await.unwrap().unwrap();
    }
}
