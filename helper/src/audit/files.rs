//! The files of a log. `<daemon>.jsonl` is written; when it is full it becomes
//! `<daemon>.<number of its last record>.jsonl`, and the chain goes on in a new `<daemon>.jsonl`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// When a file is full, and how many full ones stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// A file of this many bytes takes no further batch.
    pub bytes: u64,
    /// Full files that are kept; the oldest beyond it are removed, with a record. `None` keeps all.
    pub keep: Option<usize>,
}

impl Rotation {
    /// Reading 64 MiB at a start takes well under a second.
    pub const KEEP_ALL: Self = Self {
        bytes: 64 << 20,
        keep: None,
    };
}

/// All files of one daemon's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Whose log it is, e.g. `helper`.
    pub daemon: String,
    /// The oldest first; the last is the one that is written.
    pub files: Vec<PathBuf>,
}

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
        if let Some((daemon, last)) = parse(&name) {
            let file = (last.unwrap_or(u64::MAX), dir.join(&name));
            logs.entry(daemon.to_owned()).or_default().push(file);
        }
    }
    logs.into_iter()
        .map(|(daemon, mut files)| {
            files.sort();
            let files = files.into_iter().map(|(_, file)| file).collect();
            Log { daemon, files }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_by_daemon_and_in_the_order_of_their_records() {
        let names = [
            "helper.jsonl",
            "engine.jsonl",
            &full("helper", 1000),
            &full("helper", 99),
            "helper.99.jsonl",
            "helper.jsonl.gz",
            ".helper.jsonl.new",
            ".jsonl",
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
