//! A log that somebody renamed, removed, replaced, cut or wrote to while its daemon runs: said
//! loudly, put aside, and gone on with in a file of the daemon's own.

use std::io::{self, Write};
use std::os::unix::fs::FileExt;

use rustix::fs::{AtFlags, OFlags};
use rustix::io::Errno;
use serde_json::json;

use super::file::{LogFile, open_checked};
use super::files;
use super::past::TAMPERED;
use super::record::Event;

/// Bytes that are copied at once; io::copy would use calls that the sandbox refuses.
const COPY: usize = 64 << 10;

impl LogFile {
    /// Whether the file is where and as it was left; if not, a new one is begun.
    ///
    /// # Errors
    /// When that fails; nothing may be written then.
    pub(super) fn check(&mut self) -> io::Result<()> {
        match self.what_was_done()? {
            None => Ok(()),
            Some(problem) => self.begin_again(problem),
        }
    }

    fn what_was_done(&self) -> io::Result<Option<&'static str>> {
        let current = files::current(&self.daemon);
        let open = rustix::fs::fstat(&self.file)?;
        let named = rustix::fs::statat(&self.dir, current, AtFlags::SYMLINK_NOFOLLOW);
        let named = match named {
            Err(Errno::NOENT) => return Ok(Some("it was renamed or removed while it was written")),
            other => other?,
        };
        let length = u64::try_from(open.st_size).unwrap_or_default();
        Ok(
            if (named.st_dev, named.st_ino) != (open.st_dev, open.st_ino) {
                Some("it was replaced while it was written")
            } else if length < self.good {
                Some("it was truncated while it was written")
            } else if length > self.good && !self.dirty {
                Some("another process wrote to it")
            } else {
                None
            },
        )
    }

    fn begin_again(&mut self, problem: &'static str) -> io::Result<()> {
        tracing::error!(
            problem,
            seq = self.head.seq,
            digest = %self.head.digest,
            "the audit log was tampered with; started a new file"
        );
        let current = files::current(&self.daemon);
        let full = files::full(&self.daemon, self.head.seq);
        let saved = self.save_records_as(&full);
        if let Err(error) = &saved {
            tracing::error!(%error, "its records cannot be saved");
        }
        let new = self.new_file(&full)?;
        // Not *.jsonl, so nothing takes it for a log.
        let aside = format!("{current}.{}.found", self.head.seq);
        let put_aside = match self.rename(&current, &aside) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        self.go_on_in(new)?;
        let record = Event::Daemon {
            what: TAMPERED.to_owned(),
            detail: json!({
                "problem": problem,
                "saved_as": saved.is_ok().then_some(&full),
                "put_aside_as": put_aside.then_some(&aside),
            }),
        };
        self.append_here(std::iter::once(&record)).map(drop)
    }

    /// Copies the whole records out of the file that is still open, whatever its name is now.
    fn save_records_as(&self, full: &str) -> io::Result<()> {
        let copy = format!(".{}.saved", files::current(&self.daemon));
        let mut to = open_checked(&self.dir, &copy, OFlags::TRUNC)?;
        let mut buffer = vec![0; COPY];
        let mut at = 0;
        while at < self.good {
            let most = usize::try_from(self.good - at).map_or(COPY, |left| left.min(COPY));
            let part = buffer.get_mut(..most).unwrap_or_default();
            self.file.read_exact_at(part, at)?;
            to.write_all(part)?;
            at += most as u64;
        }
        to.sync_all()?;
        self.rename(&copy, full)
    }
}
