//! The log's file: opened where only the daemon can write, appended to in whole batches, and restored to
//! its last whole state when a batch fails. A full one gives way to a new one.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, RenameFlags};
use serde_json::{Value, json};

use super::chain::Head;
use super::files::{self, Keep, Rotation};
use super::head;
use super::past::{BEGUN, Found, OpenIntent, read_through, track};
use super::record::{Event, Record};
use super::reserve::Reserve;
use crate::own_dir::open_own_dir;

/// Written before a full file is removed.
const REMOVED: &str = "file-removed";
/// With more operations under way the first record would be too long; the file grows on meanwhile.
const MAX_UNDER_WAY: usize = 1000;

/// An open log, at the end of its chain.
#[derive(Debug)]
pub(super) struct LogFile {
    pub(super) dir: OwnedFd,
    pub(super) daemon: String,
    rotation: Rotation,
    pub(super) file: File,
    boot: String,
    pub(super) head: Head,
    /// What the head file tells.
    saved: Head,
    /// Length up to which the file holds whole, synced records.
    pub(super) good: u64,
    /// A failed batch may have left bytes behind `good`.
    pub(super) dirty: bool,
    reserve: Reserve,
    /// Operations without an outcome so far, by number of their intent.
    open: BTreeMap<u64, OpenIntent>,
}

impl LogFile {
    /// Opens `<dir>/<daemon>.jsonl` for this process alone and reads it through.
    pub(super) fn open(dir: &Path, daemon: &str, rotation: Rotation) -> io::Result<(Self, Found)> {
        let dir = open_own_dir(dir).map_err(io::Error::other)?;
        let file = open_checked(&dir, &files::current(daemon), OFlags::empty())?;
        rustix::fs::fsync(&dir)?;
        let saved = head::read(&dir, daemon);
        let watched = saved.as_ref().ok().and_then(Option::as_ref);
        let watched = watched.map(|saved| saved.seq);
        let (head, good, found) = read_through(&file, watched)?;
        let mut log = Self {
            dir,
            daemon: daemon.to_owned(),
            rotation,
            file,
            boot: boot_id()?,
            head,
            saved: Head::default(),
            good,
            dirty: found.torn.is_some(),
            reserve: Reserve::new(rotation.reserve),
            open: found.open.clone(),
        };
        log.restore()?;
        let mut after = None;
        let mut found = found;
        if log.good == 0 {
            // The first file ever, or a kill came between the end of one file and the first record of the next.
            let torn = found.torn.take();
            if let Some((name, of_last)) = log.take_up_the_last_full_file(watched)? {
                (after, found) = (Some(name), of_last);
            }
            found.torn = torn;
        }
        found.tampered = log.judge(&saved, &found);
        log.saved = saved.ok().flatten().unwrap_or_default();
        if found.tampered.is_none() {
            // Before the first record, so that no kill leaves records without a head. What contradicts
            // stays until that is recorded.
            head::write(&log.dir, daemon, &log.head)?;
        }
        if let Some(name) = after {
            let begun = log.begun(&name);
            log.append_here(std::iter::once(&begun))?;
        }
        Ok((log, found))
    }

    /// What the head file says against the log.
    fn judge(&self, saved: &io::Result<Option<Head>>, found: &Found) -> Option<String> {
        match saved {
            Ok(Some(saved)) => head::contradicts(saved, &self.head, found.digest.as_deref()),
            Ok(None) => found.had_head.then(|| {
                "its head file is missing, so a truncated end cannot be detected".to_owned()
            }),
            Err(error) => Some(format!("its head file cannot be read: {error}")),
        }
    }

    fn take_up_the_last_full_file(
        &mut self,
        watched: Option<u64>,
    ) -> io::Result<Option<(String, Found)>> {
        let Some((_, name)) = self.full_files()?.pop() else {
            return Ok(None);
        };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let last = rustix::fs::openat(&self.dir, name.as_str(), flags, Mode::empty())?;
        let (head, _, found) = read_through(&File::from(last), watched)?;
        self.head = head;
        self.open.clone_from(&found.open);
        Ok(Some((name, found)))
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

    /// Writes the head file, when it is behind. A failure leaves one that is as true.
    pub(super) fn save_head(&mut self) -> io::Result<()> {
        if self.saved != self.head {
            head::write(&self.dir, &self.daemon, &self.head)?;
            self.saved = self.head.clone();
        }
        Ok(())
    }

    pub(super) fn is_ahead_of_its_head_file(&self) -> bool {
        self.saved != self.head
    }

    /// The disk has no room for more than what is left of the reserve.
    pub(super) fn is_scarce(&self) -> bool {
        self.reserve.is_scarce()
    }

    /// Writes all events and syncs them; returns the number of the first. On an error none of
    /// them is in the log. A log that somebody touched is put aside first.
    pub(super) fn append<'a>(
        &mut self,
        events: impl Iterator<Item = &'a Event>,
    ) -> io::Result<u64> {
        self.check()?;
        self.restore()?;
        self.reserve.keep(&self.file, self.good);
        if self.good >= self.rotation.bytes && self.open.len() <= MAX_UNDER_WAY {
            // A log that grows too long is better than none.
            if let Err(error) = self.begin_a_new_file() {
                tracing::error!(%error, "cannot start a new audit log file");
            }
        }
        self.append_here(events)
    }

    /// The same looks without anything to write.
    pub(super) fn look(&mut self) -> io::Result<()> {
        self.check()?;
        self.reserve.keep(&self.file, self.good);
        Ok(())
    }

    pub(super) fn append_here<'a>(
        &mut self,
        events: impl Iterator<Item = &'a Event>,
    ) -> io::Result<u64> {
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
    /// disk nothing has changed; a kill between the two renames is repaired by the next start.
    fn begin_a_new_file(&mut self) -> io::Result<()> {
        let current = files::current(&self.daemon);
        let full = files::full(&self.daemon, self.head.seq);
        let new = self.new_file(&full)?;
        // What is reserved behind the last record goes back to the disk.
        self.file.set_len(self.good)?;
        self.rename(&current, &full)?;
        if let Err(error) = self.go_on_in(new) {
            // Back, so that the daemon's own file keeps its name.
            self.rename(&full, &current)?;
            return Err(error);
        }
        tracing::info!(%full, "started a new audit log file");
        self.remove_the_oldest()
    }

    /// A file with its first record, which still has a name of its own. `after` is the file before.
    pub(super) fn new_file(&self, after: &str) -> io::Result<NewFile> {
        let mut file = open_checked(&self.dir, &self.new_name(), OFlags::TRUNC)?;
        let (line, head, _) = self.render(std::iter::once(&self.begun(after)))?;
        file.write_all(&line)?;
        file.sync_all()?;
        let length = line.len() as u64;
        Ok(NewFile { file, head, length })
    }

    /// Gives the new file its name; nothing has it any more.
    pub(super) fn go_on_in(&mut self, new: NewFile) -> io::Result<()> {
        self.rename(&self.new_name(), &files::current(&self.daemon))?;
        rustix::fs::fsync(&self.dir)?;
        self.file = new.file;
        self.good = new.length;
        self.dirty = false;
        self.head = new.head;
        self.reserve.begin();
        self.reserve.keep(&self.file, self.good);
        if let Err(error) = self.save_head() {
            tracing::warn!(%error, "the head file of the audit log cannot be written");
        }
        Ok(())
    }

    fn new_name(&self) -> String {
        format!(".{}.new", files::current(&self.daemon))
    }

    fn begun(&self, after: &str) -> Event {
        let under_way: Vec<Value> = self
            .open
            .iter()
            .map(|(seq, open)| json!([seq, open.uid, open.operation]))
            .collect();
        Event::Daemon {
            what: BEGUN.to_owned(),
            detail: json!({"after": after, "under_way": under_way, "head": true}),
        }
    }

    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let flags = RenameFlags::NOREPLACE;
        Ok(rustix::fs::renameat_with(
            &self.dir, from, &self.dir, to, flags,
        )?)
    }

    /// Removes what the administrator does not want to keep; the record comes first.
    fn remove_the_oldest(&mut self) -> io::Result<()> {
        if self.rotation.keep == Keep::All {
            return Ok(());
        }
        let mut files = Vec::new();
        for (last, name) in self.full_files()? {
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            let bytes = rustix::fs::statat(&self.dir, name.as_str(), flags)?.st_size;
            files.push((last, name, u64::try_from(bytes).unwrap_or_default()));
        }
        let sizes: Vec<u64> = files.iter().map(|(_, _, bytes)| *bytes).collect();
        let excess = self.rotation.excess(&sizes);
        for (last, name, _) in files.into_iter().take(excess) {
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
            self.reserve.begin();
        }
        Ok(())
    }
}

/// A file that holds the first record and waits for its name.
#[derive(Debug)]
pub(super) struct NewFile {
    file: File,
    head: Head,
    length: u64,
}

/// Opens a file of the log for this process alone, and makes it where it is missing.
pub(super) fn open_checked(dir: &OwnedFd, name: &str, more: OFlags) -> io::Result<File> {
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

/// Which start of the machine this is (random(4)).
fn boot_id() -> io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?
        .trim()
        .to_owned())
}
