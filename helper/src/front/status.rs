//! How refusals and errors look to the caller: a gRPC code, a sentence, and
//! google.rpc.ErrorInfo for programs.

use std::time::Duration;

use aistack_policy::{Refusal, Rule};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::accept::REFUSAL_ENDS;
use crate::audit::{BUDGET_RULE, OverBudget};
use crate::daemon::error_chain;
use crate::ops;

/// The longest message, bytes: it travels in a header.
const MAX_MESSAGE: usize = 1024;

/// The kernel did not say who is calling.
pub(super) fn nobody() -> Status {
    plain(
        Code::Unauthenticated,
        "NO_CREDENTIALS",
        "the kernel gave no credentials for the caller",
    )
}

/// The path is none of this service's methods.
pub(super) fn unknown_method() -> Refusal {
    Refusal::new(
        "UNKNOWN_METHOD",
        "unknown method",
        Rule::builtin("closed-methods"),
    )
}

/// The caller sends too many requests.
pub(super) fn rate_limited(refusal: &Refusal, wait: Duration) -> Status {
    let rule = refusal.rule.to_string();
    let mut details = info(refusal.reason, Some(&rule), refusal.hint.as_deref());
    details.set_retry_info(Some(wait));
    Status::with_error_details(Code::ResourceExhausted, refusal.message.clone(), details)
}

/// The caller has so many connections that this one has no place. It is not in the audit log:
/// nothing is requested on it that would be done, and only some get an answer.
pub(super) fn too_many_connections(open: usize, pid: Option<i32>) -> Status {
    // When this connection has ended; not all of a crowd at one moment.
    let apart = pid.unwrap_or_default().unsigned_abs() % 1000;
    let wait = REFUSAL_ENDS + Duration::from_millis(200 + u64::from(apart));
    let mut details = info(
        "TOO_MANY_CONNECTIONS",
        Some("builtin.connections"),
        Some("run fewer aistack commands at once"),
    );
    details.set_retry_info(Some(wait));
    let message = format!(
        "you have {open} open connections, the maximum; try again in {} ms",
        wait.as_millis()
    );
    Status::with_error_details(Code::ResourceExhausted, message, details)
}

/// Another operation of the same UID runs.
pub(super) fn busy() -> Status {
    let details = info(
        "BUSY",
        Some("builtin.one-operation-at-a-time"),
        Some("wait for it to end, then run the command again"),
    );
    let message = "another operation of yours is still running";
    Status::with_error_details(Code::Aborted, message, details)
}

/// The answer is due and the operation goes on.
pub(super) fn still_running() -> Status {
    let details = info(
        "STILL_RUNNING",
        None,
        Some("the operation continues; run the command again to see its result"),
    );
    let message = "the operation takes longer than the call's deadline";
    Status::with_error_details(Code::DeadlineExceeded, message, details)
}

/// The daemon is shutting down.
pub(super) fn stopping() -> Status {
    plain(Code::Unavailable, "STOPPING", "aistack-helper is stopping")
}

/// The audit log cannot be written, and so nothing may be done.
pub(super) fn not_audited() -> Status {
    let details = info(
        "AUDIT_UNAVAILABLE",
        Some("builtin.audit"),
        Some("ask the administrator to check the audit log's disk"),
    );
    let message = "the audit log cannot be written, so nothing was done";
    Status::with_error_details(Code::Unavailable, message, details)
}

/// The caller's records have used up their budget, and so nothing may be done for this caller.
pub(super) fn over_budget(over: &OverBudget) -> Status {
    let mut details = info(
        "AUDIT_BUDGET",
        Some(BUDGET_RULE),
        Some("wait, then run the command again"),
    );
    details.set_retry_info(Some(over.wait));
    Status::with_error_details(Code::ResourceExhausted, over.to_string(), details)
}

/// It was done, and that cannot be recorded.
pub(super) fn outcome_not_audited() -> Status {
    let details = info(
        "AUDIT_UNAVAILABLE",
        Some("builtin.audit"),
        Some("ask the administrator to check the audit log's disk, then run the command again"),
    );
    let message = "the operation ended, but the audit log cannot be written";
    Status::with_error_details(Code::Unavailable, message, details)
}

/// An error of the helper's own.
pub(super) fn internal() -> Status {
    plain(
        Code::Internal,
        "INTERNAL",
        "internal error of aistack-helper; see its log",
    )
}

/// A refusal before anything was done.
pub(super) fn refused(code: Code, refusal: &Refusal) -> Status {
    let rule = refusal.rule.to_string();
    let details = info(refusal.reason, Some(&rule), refusal.hint.as_deref());
    Status::with_error_details(code, bounded(refusal.message.clone()), details)
}

/// An operation that was not done.
pub(super) fn failed(error: &ops::Error) -> Status {
    if let Some(refusal) = error.refusal() {
        return refused(error.code(), refusal);
    }
    let details = info(error.reason(), None, error.hint().as_deref());
    Status::with_error_details(error.code(), bounded(error_chain(error)), details)
}

fn plain(code: Code, reason: &str, message: &str) -> Status {
    Status::with_error_details(code, message, info(reason, None, None))
}

fn info(reason: &str, rule: Option<&str>, hint: Option<&str>) -> ErrorDetails {
    let metadata = [("rule", rule), ("hint", hint)]
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), bounded(value?.to_owned()))));
    ErrorDetails::with_error_info(
        reason,
        aistack_proto::ERROR_DOMAIN,
        metadata.collect::<std::collections::HashMap<_, _>>(),
    )
}

fn bounded(mut text: String) -> String {
    if text.len() > MAX_MESSAGE {
        let end = (0..=MAX_MESSAGE)
            .rev()
            .find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or(0));
        text.push('…');
    }
    text
}
