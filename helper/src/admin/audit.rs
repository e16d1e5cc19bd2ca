//! `aistack-helper audit show|verify|follow`.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::Value;

use crate::audit::Log;
use crate::audit::read::{self, Records, VerifyError};

/// How often `follow` looks for new records.
const LOOK: Duration = Duration::from_millis(300);
/// The most records that `--tail` keeps in memory.
const MAX_TAIL: usize = 100_000;

/// Reading the audit log.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Print the records.
    Show {
        /// Which records, and how.
        #[command(flatten)]
        view: View,
        /// Only the last N records of each log.
        #[arg(long, value_name = "N")]
        tail: Option<usize>,
    },
    /// Check that no record was changed, removed or added; exit code 1 if one was.
    Verify {
        /// Directory of the logs.
        #[arg(long, value_name = "DIR", default_value = "/var/log/aistack")]
        audit_dir: PathBuf,
    },
    /// Print the last records and then new ones as they come.
    Follow {
        /// Which records, and how.
        #[command(flatten)]
        view: View,
    },
}

/// Which records, and how they are shown.
#[derive(Debug, Args)]
pub struct View {
    /// Directory of the logs.
    #[arg(long, value_name = "DIR", default_value = "/var/log/aistack")]
    audit_dir: PathBuf,
    /// Only records of this UID.
    #[arg(long)]
    uid: Option<u32>,
    /// The records as they are stored, one JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Why the command failed.
#[derive(Debug, thiserror::Error)]
pub enum AuditCommandError {
    /// A log was changed or cannot be read.
    #[error(transparent)]
    Log(#[from] VerifyError),
    /// The directory holds no log.
    #[error("no *.jsonl in {}; name the directory with --audit-dir", .0.display())]
    NoLogs(PathBuf),
    /// Reading or printing failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Runs the command, printing to `out`.
///
/// # Errors
/// When a log is missing, unreadable or, for `verify`, not as its daemon wrote it.
pub fn run(command: AuditCommand, out: &mut impl Write) -> Result<(), AuditCommandError> {
    match command {
        AuditCommand::Show { view, tail } => show(&view, tail, out),
        AuditCommand::Verify { audit_dir } => verify(&audit_dir, out),
        AuditCommand::Follow { view } => follow(&view, out),
    }
}

fn logs(dir: &Path) -> Result<Vec<Log>, AuditCommandError> {
    let logs = read::logs(dir)?;
    if logs.is_empty() {
        return Err(AuditCommandError::NoLogs(dir.to_owned()));
    }
    Ok(logs)
}

fn verify(dir: &Path, out: &mut impl Write) -> Result<(), AuditCommandError> {
    for log in logs(dir)? {
        let verified = read::verify(&log)?;
        let (name, files, first) = (&log.daemon, log.files.len(), verified.first);
        let (seq, digest) = (verified.head.seq, verified.head.digest);
        if first > 1 {
            writeln!(
                out,
                "{name}: begins with record {first}; the older ones were removed"
            )?;
        }
        writeln!(
            out,
            "{name}: records {first} to {seq} in {files} file(s), chain intact, head {digest}"
        )?;
    }
    Ok(())
}

fn show(view: &View, tail: Option<usize>, out: &mut impl Write) -> Result<(), AuditCommandError> {
    for log in logs(&view.audit_dir)? {
        print_log(view, &log, tail, out)?;
    }
    out.flush()?;
    Ok(())
}

/// Prints all files of a log, or the last of what they hold; returns the file that is written.
fn print_log(
    view: &View,
    log: &Log,
    tail: Option<usize>,
    out: &mut impl Write,
) -> Result<Option<Records>, AuditCommandError> {
    let mut last = Tail::new(tail);
    let mut written = None;
    for file in &log.files {
        let mut records = Records::new(read::open(file)?);
        print(view, &mut records, &mut last, out)?;
        written = Some(records);
    }
    last.print(view, out)?;
    Ok(written)
}

fn follow(view: &View, out: &mut impl Write) -> Result<(), AuditCommandError> {
    let mut all = Vec::new();
    for log in logs(&view.audit_dir)? {
        if let Some(records) = print_log(view, &log, Some(10), out)? {
            all.push((log, records));
        }
    }
    loop {
        out.flush()?;
        std::thread::sleep(LOOK);
        for (log, records) in &mut all {
            // Looked at before the rest is read: what comes after a new file began is in that.
            let newer = newer_file(log, records)?;
            print(view, records, &mut Tail::new(None), out)?;
            if let Some(newer) = newer {
                *records = newer;
                print(view, records, &mut Tail::new(None), out)?;
            }
        }
    }
}

/// The file that is written now, if it is not the one that is read.
fn newer_file(log: &Log, records: &Records) -> Result<Option<Records>, AuditCommandError> {
    let Some(path) = log.files.last() else {
        return Ok(None);
    };
    let file = match read::open(path) {
        Ok(file) => file,
        // Between two files for a moment.
        Err(VerifyError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    let (now, then) = (file.metadata()?, records.file().metadata()?);
    Ok((now.ino() != then.ino()).then(|| Records::new(file)))
}

/// The last records, where only those are wanted.
struct Tail {
    wanted: Option<usize>,
    last: VecDeque<Vec<u8>>,
}

impl Tail {
    fn new(wanted: Option<usize>) -> Self {
        Self {
            wanted: wanted.map(|wanted| wanted.min(MAX_TAIL)),
            last: VecDeque::new(),
        }
    }

    fn print(self, view: &View, out: &mut impl Write) -> io::Result<()> {
        let mut lines = self.last.iter();
        lines.try_for_each(|line| print_line(view, line, out))
    }
}

/// Prints what there is, or keeps the last of it.
fn print(
    view: &View,
    records: &mut Records,
    tail: &mut Tail,
    out: &mut impl Write,
) -> io::Result<()> {
    while let Some(line) = records.next_line()? {
        if view.uid.is_some_and(|uid| !is_of(line, uid)) {
            continue;
        }
        let Some(wanted) = tail.wanted else {
            print_line(view, line, out)?;
            continue;
        };
        tail.last.push_back(line.to_vec());
        if tail.last.len() > wanted {
            tail.last.pop_front();
        }
    }
    Ok(())
}

fn is_of(line: &[u8], uid: u32) -> bool {
    #[derive(serde::Deserialize)]
    struct Owned {
        uid: Option<u32>,
    }
    serde_json::from_slice::<Owned>(line).is_ok_and(|record| record.uid == Some(uid))
}

fn print_line(view: &View, line: &[u8], out: &mut impl Write) -> io::Result<()> {
    if view.json {
        out.write_all(line)?;
        return out.write_all(b"\n");
    }
    match serde_json::from_slice(line) {
        Ok(record) => writeln!(out, "{}", sentence(&record)),
        Err(_) => writeln!(out, "(not a record)"),
    }
}

/// One line for people. Every text of the record that is not this daemon's own word is shown as
/// JSON, so that it cannot move the cursor or look like another line.
fn sentence(record: &Value) -> String {
    let field = |name: &str| word(record.get(name));
    let quoted = |name: &str| record.get(name).map_or(String::new(), Value::to_string);
    let head = format!("{} #{}", field("time"), field("seq"));
    let who = format!("uid {} {}", field("uid"), field("operation"));
    match record.get("event").and_then(Value::as_str) {
        Some("intent") => format!(
            "{head} {who} allowed by {} {}",
            field("rule"),
            quoted("arguments")
        ),
        Some("refused") => format!(
            "{head} {who} REFUSED by {} {} {}",
            field("rule"),
            quoted("reason"),
            quoted("arguments")
        ),
        Some("outcome") => {
            let (outcome, intent) = (field("outcome"), field("intent"));
            let took = record
                .get("duration_us")
                .and_then(Value::as_u64)
                .map_or(String::new(), |us| {
                    format!(" in {}.{:03} ms", us / 1000, us % 1000)
                });
            format!(
                "{head} {who} {outcome} (#{intent}){took} {}",
                quoted("error")
            )
        }
        Some("refusals-counted") => {
            let uid = record.get("uid").map(|uid| format!("uid {uid}"));
            let who = uid.unwrap_or_else(|| format!("other {}", field("of")));
            let reaching = record.get("reaching").and_then(Value::as_u64);
            let reaching = reaching.map_or(String::new(), |count| {
                format!(", {count} of them for access to the host")
            });
            let (count, seconds) = (field("count"), field("seconds"));
            format!("{head} {who} {count} more refusals within {seconds} s{reaching}")
        }
        Some("daemon") => format!("{head} daemon {} {}", field("what"), quoted("detail")),
        _ => format!("{head} {record}"),
    }
    .trim_end()
    .to_owned()
}

/// A plain word as it is, anything else as JSON.
fn word(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) if text.bytes().all(|byte| (b' '..0x7f).contains(&byte)) => {
            text.clone()
        }
        Some(other) => other.to_string(),
        None => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_record_is_one_line_whatever_is_in_it() {
        let hostile = "x\n2026 #9 uid 0 whoami\u{1b}[2K\u{202e}";
        let record = json!({
            "time": "2026-11-25T10:00:00Z", "seq": 3, "uid": 1001, "event": "refused",
            "operation": hostile, "rule": hostile, "reason": hostile, "arguments": {"a": hostile},
        });
        let line = sentence(&record);
        assert!(!line.contains(['\n', '\u{1b}']), "{line}");
        assert!(
            line.starts_with("2026-11-25T10:00:00Z #3 uid 1001 "),
            "{line}"
        );
    }
}
