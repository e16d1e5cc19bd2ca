//! Reading a log back at a start: where its chain stands, which operations are open, and what each
//! UID has used of its budget.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Seek, SeekFrom};
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::chain::{Break, Head, Line, next_line};
use super::record::Event;

/// The first record of a new file. It names the operations that were under way, so that a start
/// needs to read the last file only.
pub(super) const BEGUN: &str = "file-begun";
/// The record of a start; `detail.head` says that there is a head file from then on.
pub(super) const START: &str = "start";
/// Somebody changed the log behind the daemon's back.
pub(super) const TAMPERED: &str = "log-tampered";
/// What is older counts against no budget any more.
const OLD: Duration = Duration::from_hours(3);

/// What opening found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Operations of an earlier run without an outcome, by number of their intent.
    pub(super) open: BTreeMap<u64, OpenIntent>,
    /// A last line that was not whole; it was cut off.
    pub(super) torn: Option<Torn>,
    /// The first line that does not follow from the one before.
    pub(super) broken: Option<(u64, Break)>,
    /// What the head file says against the log.
    pub(super) tampered: Option<String>,
    /// What tenants wrote not long ago, the oldest first.
    pub(super) spent: Vec<Spent>,
    /// Digest of the record that was looked for.
    pub(super) digest: Option<String>,
    /// A daemon that keeps a head file wrote this log.
    pub(super) had_head: bool,
}

/// One record of a tenant's operation.
#[derive(Debug)]
pub(super) struct Spent {
    pub(super) uid: u32,
    pub(super) bytes: u64,
    pub(super) age: Duration,
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

/// What reading back needs of a record; the rest is of no interest here.
#[derive(Deserialize)]
struct Sketch {
    seq: u64,
    event: String,
    #[serde(default)]
    time: String,
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

/// Reads a file from its beginning: the end of its chain, the length of its whole lines, and what
/// was found. The digest of record `watched` is kept.
pub(super) fn read_through(file: &File, watched: Option<u64>) -> io::Result<(Head, u64, Found)> {
    let (mut head, mut good, mut found) = (Head::default(), 0, Found::default());
    let now = Timestamp::now();
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
            if watched == Some(head.seq) {
                found.digest = Some(head.digest.clone());
            }
        }
        if let Err(problem) = head.advance(&line) {
            found.broken.get_or_insert((number, problem));
        }
        if watched == Some(head.seq) {
            found.digest = Some(head.digest.clone());
        }
        found.note(&line, now);
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

/// The number of a record that says that the log was changed, and what it says.
pub(super) fn tampering(line: &[u8]) -> Option<(u64, String)> {
    let sketch: Sketch = serde_json::from_slice(line).ok()?;
    (sketch.event == "daemon" && sketch.what == TAMPERED).then(|| {
        let problem = sketch.detail.get("problem").and_then(Value::as_str);
        (sketch.seq, problem.unwrap_or_default().to_owned())
    })
}

/// Keeps the operations that are under way after one more record.
pub(super) fn track(seq: u64, event: &Event, open: &mut BTreeMap<u64, OpenIntent>) {
    match event {
        Event::Intent(request) => {
            let (uid, operation) = (request.uid(), request.operation().to_owned());
            open.insert(seq, OpenIntent { uid, operation });
        }
        Event::Outcome { intent, .. } => {
            open.remove(intent);
        }
        Event::Denied { .. } | Event::RefusalsCounted { .. } | Event::Daemon { .. } => {}
    }
}

impl Found {
    /// The same for a record that is read back, and what it says beside.
    fn note(&mut self, line: &[u8], now: Timestamp) {
        let Ok(sketch) = serde_json::from_slice::<Sketch>(line) else {
            return;
        };
        match sketch.event.as_str() {
            "intent" => {
                self.spend(&sketch, line, now);
                let (uid, operation) = (sketch.uid, sketch.operation);
                self.open.insert(sketch.seq, OpenIntent { uid, operation });
            }
            "outcome" => {
                self.spend(&sketch, line, now);
                self.open.remove(&sketch.intent);
            }
            "daemon" if sketch.what == BEGUN => {
                self.had_head |= tells_of_a_head(&sketch.detail);
                let under_way = sketch.detail.get("under_way").cloned().unwrap_or_default();
                let under_way: Vec<(u64, u32, String)> =
                    serde_json::from_value(under_way).unwrap_or_default();
                let under_way = under_way.into_iter();
                self.open.extend(
                    under_way.map(|(seq, uid, operation)| (seq, OpenIntent { uid, operation })),
                );
            }
            "daemon" if sketch.what == START => self.had_head |= tells_of_a_head(&sketch.detail),
            _ => {}
        }
    }

    /// What a clock that was set back makes newer than now counts as new.
    fn spend(&mut self, sketch: &Sketch, line: &[u8], now: Timestamp) {
        let Ok(time) = sketch.time.parse::<Timestamp>() else {
            return;
        };
        let age = Duration::try_from(now.duration_since(time)).unwrap_or_default();
        if age < OLD {
            self.spent.push(Spent {
                uid: sketch.uid,
                bytes: line.len() as u64 + 1,
                age,
            });
        }
    }
}

fn tells_of_a_head(detail: &Value) -> bool {
    detail
        .get("head")
        .and_then(Value::as_bool)
        .unwrap_or_default()
}
