//! Reading a log: judging its chain, and reading its records with bounded memory.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, FlockOperation, Mode, OFlags};

use super::chain::{Break, Head, Line, next_line};
use super::files::{self, Log};
use super::head;
use super::past::{start_of, tampering};
use crate::own_dir;

/// Why a log is not what its daemon wrote, or cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// A line does not follow from the one before.
    #[error("{}:{line}: {problem}", path.display())]
    Invalid {
        /// The log.
        path: PathBuf,
        /// From 1.
        line: u64,
        /// What is wrong.
        problem: Break,
    },
    /// The last line is not whole and no daemon is writing it.
    #[error("{}:{line}: is incomplete; the daemon removes it at its next start", path.display())]
    Torn {
        /// The log.
        path: PathBuf,
        /// From 1.
        line: u64,
    },
    /// The log does not hold what its head file tells of.
    #[error("the log of {daemon}: {problem}")]
    Cut {
        /// Whose log.
        daemon: String,
        /// What is wrong.
        problem: String,
    },
    /// A record says that its daemon found the log changed.
    #[error("the log of {daemon}, record {seq}: {problem}")]
    Tampered {
        /// Whose log.
        daemon: String,
        /// The record, `log-tampered`; it tells where the rest is.
        seq: u64,
        /// What the daemon found.
        problem: String,
    },
    /// The log cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The log or its directory.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

/// Every log of the directory, by the name of its daemon.
///
/// # Errors
/// When the directory cannot be read.
pub fn logs(dir: &Path) -> Result<Vec<Log>, VerifyError> {
    let failed = |source| VerifyError::Read {
        path: dir.to_owned(),
        source,
    };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        names.push(name.to_string_lossy().into_owned());
    }
    Ok(files::logs(dir, names.into_iter()))
}

/// Opens one log for reading; never a link, never anything but a regular file.
///
/// # Errors
/// When it is not that, or may not be read.
pub fn open(path: &Path) -> Result<File, VerifyError> {
    let failed = |source| VerifyError::Read {
        path: path.to_owned(),
        source,
    };
    open_regular(path).map_err(failed)
}

fn open_regular(path: &Path) -> io::Result<File> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let dir = own_dir::open(&std::path::absolute(parent)?)?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(&dir, name, flags, Mode::empty())?;
    if FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) != FileType::RegularFile {
        return Err(io::Error::other("is not a regular file"));
    }
    Ok(File::from(fd))
}

/// A chain that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Number of the first record; more than 1 when the oldest files were removed.
    pub first: u64,
    /// The last record.
    pub head: Head,
}

/// Checks every line of all files of a log, that each file goes on where the one before ends, and
/// that the last reaches as far as the head file says.
///
/// # Errors
/// The first line that is not as its daemon wrote it; then a record that says that the log was
/// changed behind its daemon's back; then an end that was cut off.
pub fn verify(log: &Log) -> Result<Verified, VerifyError> {
    // First the head: what is written meanwhile only makes the chain longer.
    let saved = saved_head(log);
    let watched = saved.as_ref().ok().and_then(Option::as_ref);
    let mut sight = Sight::watching(watched.map(|head| head.seq));
    let mut chain: Option<Verified> = None;
    for path in &log.files {
        chain = verify_file(path, chain, &mut sight)?;
    }
    let verified = chain.unwrap_or_else(|| Verified {
        first: 1,
        head: Head::default(),
    });
    if let Some((seq, problem)) = sight.tampering {
        return Err(VerifyError::Tampered {
            daemon: log.daemon.clone(),
            seq,
            problem,
        });
    }
    let problem = match saved {
        Ok(Some(saved)) => head::contradicts(&saved, &verified.head, sight.digest.as_deref()),
        Ok(None) => Some(format!(
            "{} is missing, so a truncated end cannot be detected",
            head::name(&log.daemon)
        )),
        Err(error) => Some(format!(
            "{} cannot be read: {error}",
            head::name(&log.daemon)
        )),
    };
    match problem {
        Some(problem) => Err(VerifyError::Cut {
            daemon: log.daemon.clone(),
            problem,
        }),
        None => Ok(verified),
    }
}

fn saved_head(log: &Log) -> io::Result<Option<Head>> {
    let dir = own_dir::open(&std::path::absolute(&log.dir)?)?;
    head::read(&dir, &log.daemon)
}

/// What is looked for while a log is read.
struct Sight {
    watched: Option<u64>,
    /// Digest of the record that is watched.
    digest: Option<String>,
    /// The first record that says that the log was changed.
    tampering: Option<(u64, String)>,
}

impl Sight {
    fn watching(watched: Option<u64>) -> Self {
        Self {
            watched,
            digest: None,
            tampering: None,
        }
    }

    fn see(&mut self, line: &[u8], head: &Head) {
        if self.watched == Some(head.seq) {
            self.digest = Some(head.digest.clone());
        }
        if self.tampering.is_none() {
            self.tampering = tampering(line);
        }
    }
}

fn verify_file(
    path: &Path,
    mut chain: Option<Verified>,
    sight: &mut Sight,
) -> Result<Option<Verified>, VerifyError> {
    let mut reader = BufReader::new(open(path)?);
    let (mut buffer, mut line) = (Vec::new(), 1);
    loop {
        let next = next_line(&mut reader, &mut buffer).map_err(|source| VerifyError::Read {
            path: path.to_owned(),
            source,
        })?;
        match next {
            Line::End => return Ok(chain),
            Line::Torn if is_written(reader.get_ref()) => return Ok(chain),
            Line::Torn => {
                return Err(VerifyError::Torn {
                    path: path.to_owned(),
                    line,
                });
            }
            Line::Whole => {
                let so_far = chain.get_or_insert_with(|| {
                    let head = start_of(&buffer);
                    let first = head.seq + 1;
                    Verified { first, head }
                });
                so_far
                    .head
                    .advance(&buffer)
                    .map_err(|problem| VerifyError::Invalid {
                        path: path.to_owned(),
                        line,
                        problem,
                    })?;
                sight.see(&buffer, &so_far.head);
            }
        }
        line += 1;
    }
}

/// True when a daemon has the log's lock: its last line may be half there.
fn is_written(file: &File) -> bool {
    rustix::fs::flock(file, FlockOperation::NonBlockingLockShared).is_err()
}

/// Goes through the whole lines of one log. A torn last line is left out; calling again with the
/// same reader goes on with what came since, when the torn bytes are read again.
#[derive(Debug)]
pub struct Records {
    reader: BufReader<File>,
    buffer: Vec<u8>,
    torn: Vec<u8>,
}

impl Records {
    /// The records of an open log, from its beginning.
    #[must_use]
    pub fn new(file: File) -> Self {
        Self {
            reader: BufReader::new(file),
            buffer: Vec::new(),
            torn: Vec::new(),
        }
    }

    /// The file that is read.
    #[must_use]
    pub fn file(&self) -> &File {
        self.reader.get_ref()
    }

    /// The next whole line, `None` when there is none yet.
    ///
    /// # Errors
    /// When the log cannot be read or a line is too long to be a record.
    pub fn next_line(&mut self) -> io::Result<Option<&[u8]>> {
        match next_line(&mut self.reader, &mut self.buffer)? {
            Line::End => Ok(None),
            Line::Torn => {
                self.torn.append(&mut self.buffer);
                if self.torn.len() as u64 > super::chain::MAX_LINE {
                    return Err(io::Error::other("a line is too long"));
                }
                Ok(None)
            }
            Line::Whole => {
                if !self.torn.is_empty() {
                    let rest = std::mem::take(&mut self.buffer);
                    self.buffer = std::mem::take(&mut self.torn);
                    self.buffer.extend_from_slice(&rest);
                }
                Ok(Some(&self.buffer))
            }
        }
    }
}
