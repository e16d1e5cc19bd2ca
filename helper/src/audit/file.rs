//! The log's file: opened where only the daemon can write, appended to in whole batches, and put
//! back to its last whole state when a batch fails.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{FileType, FlockOperation, Mode, OFlags};
use serde::Deserialize;

use super::chain::{Break, Head, Line, next_line};
use super::record::{Event, Record};
use crate::own_dir::open_own_dir;

/// An open log, at the end of its chain.
#[derive(Debug)]
pub(super) struct LogFile {
    file: File,
    boot: String,
    head: Head,
    /// Length up to which the file holds whole, synced records.
    good: u64,
    /// A failed batch may have left bytes behind `good`.
    dirty: bool,
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

#[derive(Debug)]
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
    pub(super) fn open(dir: &Path, daemon: &str) -> io::Result<(Self, Found)> {
        let file = open_checked(dir, daemon)?;
        let (head, good, found) = read_through(&file)?;
        let mut log = Self {
            file,
            boot: boot_id()?,
            head,
            good,
            dirty: found.torn.is_some(),
        };
        log.restore()?;
        Ok((log, found))
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
        let (batch, head) = self.render(events)?;
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
        Ok(first)
    }

    fn render<'a>(&self, events: impl Iterator<Item = &'a Event>) -> io::Result<(Vec<u8>, Head)> {
        let mut batch = Vec::new();
        let mut head = self.head.clone();
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
        }
        Ok((batch, head))
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

fn open_checked(dir: &Path, daemon: &str) -> io::Result<File> {
    let dir = open_own_dir(dir).map_err(io::Error::other)?;
    let name = format!("{daemon}.jsonl");
    let flags = OFlags::RDWR
        | OFlags::APPEND
        | OFlags::CREATE
        | OFlags::NOFOLLOW
        | OFlags::NONBLOCK
        | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(&dir, name.as_str(), flags, Mode::RUSR | Mode::WUSR)?;
    let stat = rustix::fs::fstat(&fd)?;
    let regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    let own = stat.st_uid == rustix::process::geteuid().as_raw();
    if !regular || !own || stat.st_mode & 0o077 != 0 || stat.st_nlink != 1 {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("{name} must be a regular file of the daemon's own, mode 0600, with one name"),
        ));
    }
    lock(&fd, &name)?;
    rustix::fs::fsync(&dir)?;
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
        if let Err(problem) = head.advance(&line) {
            found.broken.get_or_insert((number, problem));
        }
        note_intents(&line, &mut found.open);
    }
}

fn note_intents(line: &[u8], open: &mut BTreeMap<u64, OpenIntent>) {
    let Ok(sketch) = serde_json::from_slice::<Sketch>(line) else {
        return;
    };
    match sketch.event.as_str() {
        "intent" => {
            open.insert(
                sketch.seq,
                OpenIntent {
                    uid: sketch.uid,
                    operation: sketch.operation,
                },
            );
        }
        "outcome" => {
            open.remove(&sketch.intent);
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
