//! The files of a log. `<daemon>.jsonl` is written; when it is full it becomes
//! `<daemon>.<number of its last record>.jsonl`, and the chain goes on in a new `<daemon>.jsonl`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// When a file is full, how many full ones stay, and what is held back for a full disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// A file of this many bytes takes no further batch.
    pub bytes: u64,
    /// Which full files are kept; the oldest beyond it are removed, with a record.
    pub keep: Keep,
    /// Room on the disk that is held for the file that is written, bytes.
    pub reserve: u64,
}

/// Which full files are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// All.
    All,
    /// So many.
    Files(usize),
    /// As many as fit into so many bytes together with the file that is written.
    Bytes(u64),
}

impl Rotation {
    /// Reading 64 MiB at a start takes well under a second.
    pub const DEFAULT: Self = Self {
        bytes: 64 << 20,
        keep: Keep::DEFAULT,
        reserve: 16 << 20,
    };

    /// How many of the full files, the oldest first, are too many.
    pub(super) fn excess(&self, sizes: &[u64]) -> usize {
        match self.keep {
            Keep::All => 0,
            Keep::Files(files) => sizes.len().saturating_sub(files),
            Keep::Bytes(most) => {
                let mut all = sizes
                    .iter()
                    .fold(self.bytes, |all, size| all.saturating_add(*size));
                let mut excess = 0;
                for size in sizes {
                    if all <= most {
                        break;
                    }
                    all -= size;
                    excess += 1;
                }
                excess
            }
        }
    }
}

impl Keep {
    /// Where nothing else is said.
    pub const DEFAULT: Self = Self::Bytes(1 << 30);
}

/// As `--audit-keep` takes it: `1G`, `512M`, a number of files, or `all`.
impl FromStr for Keep {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let no = || {
            format!("\"{text}\" is no size (as 1G or 512M), no number of files, and not \"all\"")
        };
        if text == "all" {
            return Ok(Self::All);
        }
        let (number, shift) = match text.as_bytes().last() {
            Some(b'K') => (text.trim_end_matches('K'), 10),
            Some(b'M') => (text.trim_end_matches('M'), 20),
            Some(b'G') => (text.trim_end_matches('G'), 30),
            Some(b'T') => (text.trim_end_matches('T'), 40),
            _ => return text.parse().map(Self::Files).map_err(|_| no()),
        };
        let number: u64 = number.parse().map_err(|_| no())?;
        number
            .checked_mul(1 << shift)
            .map(Self::Bytes)
            .ok_or_else(no)
    }
}

/// As it is read.
impl fmt::Display for Keep {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => out.write_str("all"),
            Self::Files(files) => write!(out, "{files}"),
            Self::Bytes(bytes) => match bytes {
                bytes if bytes % (1 << 30) == 0 => write!(out, "{}G", bytes >> 30),
                bytes if bytes % (1 << 20) == 0 => write!(out, "{}M", bytes >> 20),
                bytes => write!(out, "{}K", bytes >> 10),
            },
        }
    }
}

/// All files of one daemon's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Whose log it is, e.g. `helper`.
    pub daemon: String,
    /// Where it is.
    pub dir: PathBuf,
    /// The oldest first; the last is the one that is written. None, when only the head file is left.
    pub files: Vec<PathBuf>,
}

/// What the name of a head file ends with.
pub(super) const HEAD: &str = ".head";

/// The file that is written.
pub(super) fn current(daemon: &str) -> String {
    format!("{daemon}.jsonl")
}

/// A full file whose last record has this number.
pub(super) fn full(daemon: &str, last: u64) -> String {
    format!("{daemon}.{last:020}.jsonl")
}

/// The daemon, and the number of the last record if the file is full; `None` for other files.
fn parse(name: &str) -> Option<(&str, Option<u64>)> {
    let stem = name.strip_suffix(".jsonl")?;
    let Some((daemon, number)) = stem.rsplit_once('.') else {
        return (!stem.is_empty()).then_some((stem, None));
    };
    let last = number.parse().ok()?;
    (full(daemon, last) == name && !daemon.is_empty()).then_some((daemon, Some(last)))
}

/// The full files of `daemon` among `names`, the oldest first.
pub(super) fn full_files(daemon: &str, names: impl Iterator<Item = String>) -> Vec<(u64, String)> {
    let mut files: Vec<(u64, String)> = names
        .filter_map(|name| match parse(&name) {
            Some((whose, Some(last))) if whose == daemon => Some((last, name)),
            _ => None,
        })
        .collect();
    files.sort();
    files
}

/// The logs that these files of `dir` make up.
pub(super) fn logs(dir: &Path, names: impl Iterator<Item = String>) -> Vec<Log> {
    let mut logs: BTreeMap<String, Vec<(u64, PathBuf)>> = BTreeMap::new();
    for name in names {
        if let Some(daemon) = name.strip_suffix(HEAD) {
            logs.entry(daemon.to_owned()).or_default();
        }
        if let Some((daemon, last)) = parse(&name) {
            let file = (last.unwrap_or(u64::MAX), dir.join(&name));
            logs.entry(daemon.to_owned()).or_default().push(file);
        }
    }
    logs.into_iter()
        .map(|(daemon, mut files)| {
            files.sort();
            let files = files.into_iter().map(|(_, file)| file).collect();
            let dir = dir.to_owned();
            Log { daemon, dir, files }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_on_disk_is_read_as_it_is_reported_and_counts_the_file_that_is_written() {
        for text in ["all", "3", "1G", "512M", "96K"] {
            assert_eq!(text.parse::<Keep>().unwrap().to_string(), text);
        }
        for bad in ["", "G", "1g", "-1", "1.5G", "99999999999T"] {
            assert!(bad.parse::<Keep>().is_err(), "{bad}");
        }
        let excess = |keep| {
            let rotation = Rotation {
                bytes: 10,
                keep,
                reserve: 0,
            };
            rotation.excess(&[10, 11, 12])
        };
        assert_eq!(excess(Keep::All), 0);
        assert_eq!(excess(Keep::Files(1)), 2);
        assert_eq!(excess(Keep::Bytes(43)), 0);
        assert_eq!(excess(Keep::Bytes(42)), 1);
        assert_eq!(excess(Keep::Bytes(1)), 3);
    }

    #[test]
    fn files_are_reported_by_daemon_and_in_the_order_of_their_records() {
        let names = [
            "helper.jsonl",
            "engine.jsonl",
            &full("helper", 1000),
            &full("helper", 99),
            "helper.99.jsonl",
            "helper.jsonl.gz",
            ".helper.jsonl.new",
            ".jsonl",
            "boot.head",
            "helper.head",
        ];
        let logs = logs(Path::new("/l"), names.iter().map(|name| (*name).to_owned()));
        let found: Vec<(&str, Vec<String>)> = logs
            .iter()
            .map(|log| {
                let files = log.files.iter().map(|file| file.display().to_string());
                (log.daemon.as_str(), files.collect())
            })
            .collect();
        assert_eq!(
            found,
            [
                ("boot", vec![]),
                ("engine", vec!["/l/engine.jsonl".to_owned()]),
                (
                    "helper",
                    vec![
                        "/l/helper.00000000000000000099.jsonl".to_owned(),
                        "/l/helper.00000000000000001000.jsonl".to_owned(),
                        "/l/helper.jsonl".to_owned(),
                    ]
                ),
            ]
        );
    }
}
