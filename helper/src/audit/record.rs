//! What a line of the log holds. `docs/audit.md` describes it for readers.

use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Intent;
use super::budget::OverBudget;
use crate::hex::hex;

/// The rule that refuses what a budget has no room for.
pub const BUDGET_RULE: &str = "builtin.audit-budget";
/// The longest `arguments` or `detail` that is written whole, bytes of JSON.
const MAX_ARGUMENTS: usize = 4096;
/// How much of longer ones is written.
const CUT_ARGUMENTS: usize = 1024;
/// The longest text of any other kind, bytes.
const MAX_TEXT: usize = 1024;
/// The same in a small record.
const SMALL_TEXT: usize = 160;
/// The longest `arguments` that stay whole in a small record, bytes of JSON.
const SMALL_ARGUMENTS: usize = 200;
/// Members of longer ones that stay, and how much of each.
const NAMES: [&str; 4] = ["name", "container", "image", "path"];
const SMALL_NAME: usize = 80;
/// What the chain adds to an event: its number, time, boot and the digest of the line before.
const CHAIN: u64 = 200;

/// One line: the chain's part, then the event's.
#[derive(Debug, Serialize)]
pub(super) struct Record<'a> {
    pub(super) seq: u64,
    pub(super) prev: &'a str,
    pub(super) time: String,
    pub(super) boot: &'a str,
    #[serde(flatten)]
    pub(super) event: &'a Event,
}

/// What happened.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(super) enum Event {
    /// An operation is allowed and about to happen.
    Intent(Request),
    /// An operation was refused; nothing happened.
    #[serde(rename = "refused")]
    Denied {
        #[serde(flatten)]
        request: Request,
        reason: String,
    },
    /// How the operation of record `intent` ended.
    Outcome {
        intent: u64,
        uid: u32,
        operation: String,
        outcome: Ending,
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        note: Option<&'static str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        duration_us: Option<u64>,
    },
    /// Refusals that were counted instead of listed; `uid` is absent for "all others".
    RefusalsCounted {
        #[serde(skip_serializing_if = "Option::is_none")]
        uid: Option<u32>,
        of: Who,
        count: u64,
        /// How many of them tried what would lead to the host.
        #[serde(skip_serializing_if = "is_zero")]
        reaching: u64,
        seconds: u64,
    },
    /// Something about the daemon or the log itself.
    Daemon { what: String, detail: Value },
}

/// Whose refusals were counted.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Who {
    Tenants,
    Strangers,
}

// As serde calls it.
#[expect(clippy::trivially_copy_pass_by_ref)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Event {
    /// Bytes that its line takes, within a few.
    pub(super) fn cost(&self) -> u64 {
        let event = serde_json::to_vec(self).map_or(0, |text| text.len());
        CHAIN + event as u64
    }

    /// Whose request it is about.
    pub(super) fn uid(&self) -> Option<u32> {
        match self {
            Self::Intent(request) | Self::Denied { request, .. } => Some(request.uid),
            Self::Outcome { uid, .. } => Some(*uid),
            Self::RefusalsCounted { .. } | Self::Daemon { .. } => None,
        }
    }

    /// An intent as what it became when the budget did not reach for it.
    pub(super) fn refused(self, over: &OverBudget) -> Option<Self> {
        let Self::Intent(mut request) = self else {
            return None;
        };
        request.make_small();
        BUDGET_RULE.clone_into(&mut request.rule);
        request.decision = Decision::Denied;
        Some(Self::Denied {
            request,
            reason: format!("AUDIT_BUDGET: {over}"),
        })
    }

    /// The same in few bytes: what names the thing stays, with the length and digest of the rest.
    pub(super) fn make_small(&mut self) {
        match self {
            Self::Intent(request) => request.make_small(),
            Self::Denied { request, reason } => {
                request.make_small();
                shorten(reason, SMALL_TEXT);
            }
            Self::Outcome {
                error: Some(error), ..
            } => shorten(error, SMALL_TEXT),
            Self::Outcome { .. } | Self::RefusalsCounted { .. } | Self::Daemon { .. } => {}
        }
    }
}

/// Who wanted what, and which rule decided.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Request {
    uid: u32,
    gid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<i32>,
    /// The process may be gone and its number reused.
    pid_verified: bool,
    operation: &'static str,
    arguments: Value,
    rule: String,
    policy: String,
    decision: Decision,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Decision {
    Allowed,
    #[serde(rename = "refused")]
    Denied,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Ending {
    Done,
    Failed,
    /// Nobody was left who could say how it ended.
    Interrupted,
}

impl Request {
    pub(super) fn new(intent: Intent, decision: Decision) -> Self {
        Self {
            uid: intent.caller.uid,
            gid: intent.caller.gid,
            pid: intent.caller.pid,
            pid_verified: false,
            operation: intent.operation,
            arguments: bounded(intent.arguments),
            rule: cut(intent.rule),
            policy: cut(intent.policy),
            decision,
        }
    }

    pub(super) fn uid(&self) -> u32 {
        self.uid
    }

    pub(super) fn operation(&self) -> &'static str {
        self.operation
    }

    fn make_small(&mut self) {
        let arguments = std::mem::take(&mut self.arguments);
        self.arguments = essence(arguments);
    }
}

/// The value itself, or its beginning with the length and digest of the whole.
pub(super) fn bounded(value: Value) -> Value {
    let text = value.to_string();
    if text.len() <= MAX_ARGUMENTS {
        return value;
    }
    json!({
        "cut": beginning(&text, CUT_ARGUMENTS),
        "bytes": text.len(),
        "sha256": hex(&Sha256::digest(text.as_bytes())),
    })
}

/// The text itself, or its beginning with a mark.
pub(super) fn cut(mut text: String) -> String {
    shorten(&mut text, MAX_TEXT);
    text
}

fn shorten(text: &mut String, most: usize) {
    if text.len() > most {
        *text = format!("{}…", beginning(text, most));
    }
}

/// What names the thing, and the length and digest of the whole.
fn essence(value: Value) -> Value {
    let text = value.to_string();
    if text.len() <= SMALL_ARGUMENTS {
        return value;
    }
    let mut small = serde_json::Map::new();
    small.insert("bytes".to_owned(), json!(text.len()));
    let digest = hex(&Sha256::digest(text.as_bytes()));
    small.insert("sha256".to_owned(), json!(digest));
    for key in NAMES {
        if let Some(name) = value.get(key).and_then(Value::as_str) {
            let mut name = name.to_owned();
            shorten(&mut name, SMALL_NAME);
            small.insert(key.to_owned(), json!(name));
        }
    }
    Value::Object(small)
}

/// At most `bytes` of the text, ending at a character.
fn beginning(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len()))
        .rev()
        .find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}
