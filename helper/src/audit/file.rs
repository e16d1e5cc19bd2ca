//! The log's file: opened where only the daemon can write, appended to in whole batches, and put
//! back to its last whole state when a batch fails. A full one gives way to a new one.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, RenameFlags};
use serde::Deserialize;
use serde_json::{Value, json};

use super::chain::{Break, Head, Line, next_line};
use super::files::{self, Rotation};
use super::record::{Event, Record};
use crate::own_dir::open_own_dir;

/// The first record of a new file. It names the operations that were under way, so that a start
/// needs to read the last file only.
const BEGUN: &str = "file-begun";
/// Written before a full file is removed.
const REMOVED: &str = "file-removed";
/// With more operations under way the first record would be too long; the file grows on meanwhile.
const MAX_UNDER_WAY: usize = 1000;

/// An open log, at the end of its chain.
#[derive(Debug)]
pub(super) struct LogFile {
    dir: OwnedFd,
    daemon: String,
    rotation: Rotation,
    file: File,
    boot: String,
    head: Head,
    /// Length up to which the file holds whole, synced records.
    good: u64,
    /// A failed batch may have left bytes behind `good`.
    dirty: bool,
    /// Operations without an outcome so far, by number of their intent.
    open: BTreeMap<u64, OpenIntent>,
}

/// What opening found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Operations of an earlier run without an outcome, by number of their intent.
    pub(super) open: BTreeMap<u64, OpenIntent>,
    /// A last line that was not whole; it was cut off.
    pub(super) torn: Option<Torn>,
    /// The first line that does not follow from the one before.
    pub(super) broken: Option<(u64, Break)>,
}

#[derive(Debug, Clone)]
pub(super) struct OpenIntent {
    pub(super) uid: u32,
    pub(super) operation: String,
}

#[derive(Debug)]
pub(super) struct Torn {
    pub(super) bytes: usize,
    pub(super) sha256: String,
}

impl LogFile {
    /// Opens `<dir>/<daemon>.jsonl` for this process alone and reads it through.
    pub(super) fn open(dir: &Path, daemon: &str, rotation: Rotation) -> io::Result<(Self, Found)> {
        let dir = open_own_dir(dir).map_err(io::Error::other)?;
        let file = open_checked(&dir, &files::current(daemon), OFlags::empty())?;
        rustix::fs::fsync(&dir)?;
        let (head, good, found) = read_through(&file)?;
        let mut log = Self {
            dir,
            daemon: daemon.to_owned(),
            rotation,
            file,
            boot: boot_id()?,
            head,
            good,
            dirty: found.torn.is_some(),
            open: found.open.clone(),
        };
        log.restore()?;
        if log.good > 0 {
            return Ok((log, found));
        }
        // The first file ever, or a kill came between the end of one file and the first record of the next.
        let torn = found.torn;
        let mut found = log.take_up_the_last_full_file()?;
        found.torn = torn;
        Ok((log, found))
    }

    fn take_up_the_last_full_file(&mut self) -> io::Result<Found> {
        let Some((_, name)) = self.full_files()?.pop() else {
            return Ok(Found::default());
        };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let last = rustix::fs::openat(&self.dir, name.as_str(), flags, Mode::empty())?;
        let (head, _, found) = read_through(&File::from(last))?;
        self.head = head;
        self.open.clone_from(&found.open);
        let begun = self.begun(&name);
        self.append_here(std::iter::once(&begun))?;
        Ok(found)
    }

    /// Names of the full files with the numbers of their last records, the oldest first.
    fn full_files(&self) -> io::Result<Vec<(u64, String)>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.dir)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        Ok(files::full_files(&self.daemon, names.into_iter()))
    }

    pub(super) fn head(&self) -> &Head {
        &self.head
    }

    /// Writes all events and syncs them; returns the number of the first. On an error none of
    /// them is in the log.
    pub(super) fn append<'a>(
        &mut self,
        events: impl Iterator<Item = &'a Event>,
    ) -> io::Result<u64> {
        self.restore()?;
        if self.good >= self.rotation.bytes && self.open.len() <= MAX_UNDER_WAY {
            // A log that grows too long is better than none.
            if let Err(error) = self.begin_a_new_file() {
                tracing::error!(%error, "the audit log cannot go on in a new file");
            }
        }
        self.append_here(events)
    }

    fn append_here<'a>(&mut self, events: impl Iterator<Item = &'a Event>) -> io::Result<u64> {
        let (batch, head, open) = self.render(events)?;
        let first = self.head.seq + 1;
        self.dirty = true;
        let written = self
            .file
            .write_all(&batch)
            .and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // If this fails too, the next batch begins with it.
            let _ = self.restore();
            return Err(error);
        }
        self.dirty = false;
        self.good += batch.len() as u64;
        self.head = head;
        self.open = open;
        Ok(first)
    }

    /// Puts a new file in the place of the one that is written. Until its first record is on the
    /// disk nothing has changed; a kill between the two renames is mended by the next start.
    fn begin_a_new_file(&mut self) -> io::Result<()> {
        let current = files::current(&self.daemon);
        let full = files::full(&self.daemon, self.head.seq);
        let new = format!(".{current}.new");
        let mut file = open_checked(&self.dir, &new, OFlags::TRUNC)?;
        let (line, head, _) = self.render(std::iter::once(&self.begun(&full)))?;
        file.write_all(&line)?;
        file.sync_all()?;
        self.rename(&current, &full)?;
        if let Err(error) = self.rename(&new, &current) {
            // Back, so that the daemon's own file keeps its name.
            self.rename(&full, &current)?;
            return Err(error);
        }
        rustix::fs::fsync(&self.dir)?;
        self.file = file;
        self.good = line.len() as u64;
        self.head = head;
        tracing::info!(%full, "the audit log goes on in a new file");
        self.remove_the_oldest()
    }

    fn begun(&self, after: &str) -> Event {
        let under_way: Vec<Value> = self
            .open
            .iter()
            .map(|(seq, open)| json!([seq, open.uid, open.operation]))
            .collect();
        Event::Daemon {
            what: BEGUN.to_owned(),
            detail: json!({"after": after, "under_way": under_way}),
        }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let flags = RenameFlags::NOREPLACE;
        Ok(rustix::fs::renameat_with(
            &self.dir, from, &self.dir, to, flags,
        )?)
    }

    /// Removes what the administrator does not want to keep; the record comes first.
    fn remove_the_oldest(&mut self) -> io::Result<()> {
        let Some(keep) = self.rotation.keep else {
            return Ok(());
        };
        let files = self.full_files()?;
        let excess = files.len().saturating_sub(keep);
        for (last, name) in files.into_iter().take(excess) {
            let removed = Event::Daemon {
                what: REMOVED.to_owned(),
                detail: json!({"file": name, "last": last}),
            };
            self.append_here(std::iter::once(&removed))?;
            rustix::fs::unlinkat(&self.dir, name.as_str(), AtFlags::empty())?;
        }
        Ok(())
    }

    fn render<'a>(
        &self,
        events: impl Iterator<Item = &'a Event>,
    ) -> io::Result<(Vec<u8>, Head, BTreeMap<u64, OpenIntent>)> {
        let mut batch = Vec::new();
        let mut head = self.head.clone();
        let mut open = self.open.clone();
        for event in events {
            let record = Record {
                seq: head.seq + 1,
                prev: &head.digest,
                time: format!("{:.6}", jiff::Timestamp::now()),
                boot: &self.boot,
                event,
            };
            let line = serde_json::to_vec(&record)?;
            head = Head {
                seq: head.seq + 1,
                digest: Head::digest_of(&line),
            };
            batch.extend_from_slice(&line);
            batch.push(b'\n');
            track(head.seq, event, &mut open);
        }
        Ok((batch, head, open))
    }

    /// Cuts off what a failed batch left behind, durably.
    fn restore(&mut self) -> io::Result<()> {
        if self.dirty {
            self.file.set_len(self.good)?;
            self.file.sync_data()?;
            self.dirty = false;
        }
        Ok(())
    }
}

/// Opens a file of the log for this process alone, and makes it where it is missing.
fn open_checked(dir: &OwnedFd, name: &str, more: OFlags) -> io::Result<File> {
    let flags = OFlags::RDWR
        | OFlags::APPEND
        | OFlags::CREATE
        | OFlags::NOFOLLOW
        | OFlags::NONBLOCK
        | OFlags::CLOEXEC
        | more;
    let fd = rustix::fs::openat(dir, name, flags, Mode::RUSR | Mode::WUSR)?;
    let stat = rustix::fs::fstat(&fd)?;
    let regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    let own = stat.st_uid == rustix::process::geteuid().as_raw();
    if !regular || !own || stat.st_mode & 0o077 != 0 || stat.st_nlink != 1 {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("{name} must be a regular file of the daemon's own, mode 0600, with one name"),
        ));
    }
    lock(&fd, name)?;
    Ok(File::from(fd))
}

fn lock(fd: impl AsFd, name: &str) -> io::Result<()> {
    rustix::fs::flock(fd, FlockOperation::NonBlockingLockExclusive).map_err(|errno| {
        if errno == rustix::io::Errno::WOULDBLOCK {
            io::Error::new(
                io::ErrorKind::AddrInUse,
                format!("another process writes {name} already"),
            )
        } else {
            errno.into()
        }
    })
}

/// What reading back needs of a record; the rest is of no interest here.
#[derive(Deserialize)]
struct Sketch {
    seq: u64,
    event: String,
    #[serde(default)]
    intent: u64,
    #[serde(default)]
    uid: u32,
    #[serde(default)]
    operation: String,
    #[serde(default)]
    what: String,
    #[serde(default)]
    detail: Value,
}

fn read_through(file: &File) -> io::Result<(Head, u64, Found)> {
    let (mut head, mut good, mut found) = (Head::default(), 0, Found::default());
    let mut file = file;
    file.seek(SeekFrom::Start(0))?;
    let mut reader = BufReader::new(file);
    let (mut line, mut number) = (Vec::new(), 0);
    loop {
        match next_line(&mut reader, &mut line)? {
            Line::End => return Ok((head, good, found)),
            Line::Torn => {
                found.torn = Some(Torn {
                    bytes: line.len(),
                    sha256: Head::digest_of(&line),
                });
                return Ok((head, good, found));
            }
            Line::Whole => {}
        }
        number += 1;
        good += line.len() as u64 + 1;
        if number == 1 {
            head = start_of(&line);
        }
        if let Err(problem) = head.advance(&line) {
            found.broken.get_or_insert((number, problem));
        }
        note_intents(&line, &mut found.open);
    }
}

/// Where the chain stood before the first line of a file: at its beginning, unless the line says that
/// another file came before.
pub(super) fn start_of(line: &[u8]) -> Head {
    serde_json::from_slice::<Sketch>(line)
        .ok()
        .filter(|sketch| sketch.event == "daemon" && sketch.what == BEGUN)
        .and_then(|_| Head::before(line))
        .unwrap_or_default()
}

/// Keeps the operations that are under way after one more record.
fn track(seq: u64, event: &Event, open: &mut BTreeMap<u64, OpenIntent>) {
    match event {
        Event::Intent(request) => {
            let (uid, operation) = (request.uid(), request.operation().to_owned());
            open.insert(seq, OpenIntent { uid, operation });
        }
        Event::Outcome { intent, .. } => {
            open.remove(intent);
        }
        Event::Refused { .. } | Event::RefusalsCounted { .. } | Event::Daemon { .. } => {}
    }
}

/// The same for a record that is read back.
fn note_intents(line: &[u8], open: &mut BTreeMap<u64, OpenIntent>) {
    let Ok(sketch) = serde_json::from_slice::<Sketch>(line) else {
        return;
    };
    match sketch.event.as_str() {
        "intent" => {
            let (uid, operation) = (sketch.uid, sketch.operation);
            open.insert(sketch.seq, OpenIntent { uid, operation });
        }
        "outcome" => {
            open.remove(&sketch.intent);
        }
        "daemon" if sketch.what == BEGUN => {
            let under_way = sketch.detail.get("under_way").cloned().unwrap_or_default();
            let under_way: Vec<(u64, u32, String)> =
                serde_json::from_value(under_way).unwrap_or_default();
            open.extend(
                under_way
                    .into_iter()
                    .map(|(seq, uid, operation)| (seq, OpenIntent { uid, operation })),
            );
        }
        _ => {}
    }
}

/// Which start of the machine this is (random(4)).
fn boot_id() -> io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?
        .trim()
        .to_owned())
}
