//! Room on the disk that is held for the log, so that it goes on for a while when somebody fills
//! the rest.

use std::fs::File;
use std::time::{Duration, Instant};

use rustix::fs::FallocateFlags;
use rustix::io::Errno;

/// How often a full disk is tried again.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Blocks behind the end of the file, without changing its length (fallocate(2)).
#[derive(Debug)]
pub(super) struct Reserve {
    /// Bytes to hold; 0 where the file system cannot.
    wanted: u64,
    /// Up to this offset they are held.
    until: u64,
    /// When a disk without room was last tried.
    refused: Option<Instant>,
}

impl Reserve {
    pub(super) fn new(wanted: u64) -> Self {
        Self {
            wanted,
            until: 0,
            refused: None,
        }
    }

    /// What was held is given back: another file, or one that was cut.
    pub(super) fn begin(&mut self) {
        self.until = 0;
    }

    /// The disk had no room when it was last tried.
    pub(super) fn is_scarce(&self) -> bool {
        self.refused.is_some()
    }

    /// Holds room behind `end`, before half of it is used.
    pub(super) fn keep(&mut self, file: &File, end: u64) {
        let enough = self.until >= end.saturating_add(self.wanted / 2);
        let just_tried = self.refused.is_some_and(|at| at.elapsed() < ASK_AGAIN);
        if self.wanted == 0 || just_tried || (enough && self.refused.is_none()) {
            return;
        }
        match rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, end, self.wanted) {
            Ok(()) => {
                self.until = end.saturating_add(self.wanted);
                if self.refused.take().is_some() {
                    tracing::warn!("the audit log's disk has space again");
                }
            }
            Err(Errno::NOSPC | Errno::DQUOT) => {
                if self.refused.replace(Instant::now()).is_none() {
                    tracing::error!(
                        "the audit log's disk is full: writing to the reserve, with small budgets"
                    );
                }
            }
            // A file system without it: there is no reserve.
            Err(error) => {
                tracing::debug!(%error, "cannot reserve space for the audit log");
                self.wanted = 0;
                self.refused = None;
            }
        }
    }
}
