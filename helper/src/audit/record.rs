//! What a line of the log holds. `docs/audit.md` describes it for readers.

use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Intent;
use crate::hex::hex;

/// The longest `arguments` or `detail` that is written whole, bytes of JSON.
const MAX_ARGUMENTS: usize = 4096;
/// How much of longer ones is written.
const CUT_ARGUMENTS: usize = 1024;
/// The longest text of any other kind, bytes.
const MAX_TEXT: usize = 1024;

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
    Refused {
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
        count: u64,
        seconds: u64,
    },
    /// Something about the daemon or the log itself.
    Daemon { what: String, detail: Value },
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
    Refused,
}

#[derive(Debug, Clone, Copy, Serialize)]
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
pub(super) fn cut(text: String) -> String {
    if text.len() <= MAX_TEXT {
        return text;
    }
    format!("{}…", beginning(&text, MAX_TEXT))
}

/// At most `bytes` of the text, ending at a character.
fn beginning(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len()))
        .rev()
        .find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}
