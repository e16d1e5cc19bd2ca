//! Chown: gives everything below one service directory to its owner, by descriptors only.
//!
//! The tree belongs to somebody who may change it during the walk. So each name is opened once,
//! following nothing and entering no other file system, and whatever was opened is what changes
//! hands. A symbolic link is itself given away, never what it points at. A file with several names
//! is given away too: all its names are on this tenant's own volume, and nobody can link into a
//! service directory what they could not already read and write there.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

use aistack_policy::{Grant, Refusal, Rule};
use aistack_proto::v1::ChownProgress;
use rustix::fs::{AtFlags, Dir, Gid, OFlags, Stat, Uid, chownat};
use rustix::io::Errno;
use tokio::sync::mpsc::{self, Receiver, Sender};

use super::directories::{is_gone, open_tree, set_mode};
use super::paths::{error_at, io_error, open_base};
use super::{Error, Ownership, ServiceDir};
use crate::safe_path::{ComponentError, Cross, is_directory, open_at, open_to_read};

/// How deep a tree may be; each level holds one descriptor.
const MAX_DEPTH: usize = 128;
/// How many entries one call looks at.
const MAX_ENTRIES: u64 = 20_000_000;
/// How often progress is reported, whichever comes first.
const EVERY_ENTRIES: u64 = 1000;
const EVERY: Duration = Duration::from_millis(250);
const SET_ID_BITS: u32 = 0o6000;

/// Where the walk's messages go.
type Messages = Sender<Result<ChownProgress, Error>>;

/// One service directory and whom everything in it is for.
#[derive(Debug)]
struct Job {
    base_dir: String,
    tree: &'static str,
    service: String,
    owner: Ownership,
}

/// Gives everything below one service directory to its owner. The last message has `done` set
/// or is an error; when the receiver is dropped the walk stops.
#[must_use]
pub fn chown(grant: &Grant, dir: &ServiceDir) -> Receiver<Result<ChownProgress, Error>> {
    let (sender, receiver) = mpsc::channel(8);
    match dir.ownership(grant) {
        Err(refusal) => drop(sender.try_send(Err(refusal.into()))),
        Ok(owner) => {
            let job = Job {
                base_dir: grant.base_dir.clone(),
                tree: dir.kind.tree(),
                service: dir.service.as_str().to_owned(),
                owner,
            };
            // The walk ends by itself: with its last message, or when nobody listens.
            drop(tokio::task::spawn_blocking(move || run(&job, &sender)));
        }
    }
    receiver
}

/// Walks, reports progress, and ends with `done` or an error. Stops when nobody listens any more.
fn run(job: &Job, messages: &Messages) {
    let mut walk = Walk::new(job, messages);
    let last = match walk.all() {
        Ok(()) => Ok(walk.progress(true)),
        Err(Stop::Error(error)) => Err(error),
        Err(Stop::NobodyListens) => return,
    };
    // Fails only when nobody listens any more.
    let _ = messages.blocking_send(last);
}

/// Why a walk ends early.
enum Stop {
    Error(Error),
    NobodyListens,
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

struct Walk<'a> {
    job: &'a Job,
    messages: &'a Messages,
    /// How the place is named: never with names that others chose.
    path: String,
    visited: u64,
    changed: u64,
    reported: Instant,
}

impl<'a> Walk<'a> {
    fn new(job: &'a Job, messages: &'a Messages) -> Self {
        Self {
            job,
            messages,
            path: format!("{}/{}", job.tree, job.service),
            visited: 0,
            changed: 0,
            reported: Instant::now(),
        }
    }

    fn all(&mut self) -> Result<(), Stop> {
        require_a_tenants(self.job.owner)?;
        let volume = open_base(&self.job.base_dir)?;
        let tree = open_tree(&volume, self.job.tree)?;
        let name = OsStr::new(&self.job.service);
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let top = open_at(&tree, name, flags, Cross::Nothing).map_err(error_at(&self.path))?;
        let before = self.changed;
        let Some(dir) = self.chown_dir(&top)? else {
            return Err(error_at(&self.path)(ComponentError::Missing).into());
        };
        let mut levels = vec![dir];
        if self.changed > before {
            let top = open_to_read(&top).map_err(self.failed("open"))?;
            set_mode(&top, self.job.owner.mode).map_err(self.failed("set the mode of"))?;
        }
        while let Some(dir) = levels.last_mut() {
            let Some(entry) = dir.read() else {
                levels.pop();
                continue;
            };
            let entry = entry.map_err(self.failed("read something below"))?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if matches!(name.as_bytes(), b"." | b"..") {
                continue;
            }
            let parent = dir.fd().map_err(self.failed("read something below"))?;
            let flags = OFlags::PATH | OFlags::NOFOLLOW;
            let place = match open_at(parent, name, flags, Cross::Nothing) {
                Err(problem) if is_gone(&problem) => continue,
                other => other.map_err(error_at(&format!("something below {}", self.path)))?,
            };
            if let Some(below) = self.visit(&place)? {
                if levels.len() >= MAX_DEPTH {
                    return Err(too_large("the depth of the tree", MAX_DEPTH as u64).into());
                }
                levels.push(below);
            }
        }
        Ok(())
    }

    /// Gives one thing to its owner; a directory comes back to be walked.
    fn visit(&mut self, place: &OwnedFd) -> Result<Option<Dir>, Stop> {
        self.count()?;
        let stat = rustix::fs::fstat(place).map_err(self.failed("look at something below"))?;
        if is_directory(&stat) {
            return self.chown_dir(place);
        }
        self.give(place, &stat)?;
        Ok(None)
    }

    /// Gives a directory to its owner, without set-id bits: chown(2) keeps those of directories.
    /// `None` for one that was removed meanwhile.
    fn chown_dir(&mut self, place: &OwnedFd) -> Result<Option<Dir>, Stop> {
        let failed = self.failed("open something below");
        // The very directory that `place` is, whatever its name is by now.
        let dir = match open_to_read(place) {
            Err(Errno::NOENT) => return Ok(None),
            other => other.map_err(&failed)?,
        };
        let stat = rustix::fs::fstat(&dir).map_err(&failed)?;
        if stat.st_mode & SET_ID_BITS != 0 {
            let mode = stat.st_mode & 0o7777 & !SET_ID_BITS;
            set_mode(&dir, mode).map_err(self.failed("set the mode of something below"))?;
        }
        self.give(place, &stat)?;
        Ok(Some(Dir::new(dir).map_err(failed)?))
    }

    fn give(&mut self, place: &OwnedFd, stat: &Stat) -> Result<(), Stop> {
        let Ownership { uid, gid, .. } = self.job.owner;
        if (stat.st_uid, stat.st_gid) == (uid, gid) {
            return Ok(());
        }
        let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        chownat(place, "", uid, gid, AtFlags::EMPTY_PATH)
            .map_err(self.failed("change the owner of something below"))?;
        self.changed += 1;
        Ok(())
    }

    fn count(&mut self) -> Result<(), Stop> {
        self.visited += 1;
        if self.visited > MAX_ENTRIES {
            return Err(too_large("the number of files", MAX_ENTRIES).into());
        }
        let due = self.visited.is_multiple_of(EVERY_ENTRIES) || self.reported.elapsed() >= EVERY;
        if due {
            self.reported = Instant::now();
            let progress = self.progress(false);
            let sent = self.messages.blocking_send(Ok(progress));
            return sent.map_err(|_| Stop::NobodyListens);
        }
        if self.messages.is_closed() {
            return Err(Stop::NobodyListens);
        }
        Ok(())
    }

    fn progress(&self, done: bool) -> ChownProgress {
        ChownProgress {
            visited: self.visited,
            changed: self.changed,
            done,
        }
    }

    fn failed(&self, step: &'static str) -> impl Fn(Errno) -> Error + use<> {
        io_error(step, &self.path)
    }
}

/// (uid_t)-1 would change nothing and say it did; root is nobody's service.
fn require_a_tenants(owner: Ownership) -> Result<(), Error> {
    let no_tenants = |id: u32| id == 0 || id == u32::MAX;
    if no_tenants(owner.uid) || no_tenants(owner.gid) {
        let message = format!("files cannot be given to {}:{}", owner.uid, owner.gid);
        return Err(Refusal::new("BAD_OWNER", message, Rule::builtin("owner")).into());
    }
    Ok(())
}

fn too_large(what: &'static str, limit: u64) -> Error {
    Error::TooLarge { what, limit }
}
