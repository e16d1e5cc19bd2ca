//! The choke point: who is calling, may they, and not too often. No call passes beside it.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use aistack_policy::{Grant, Refusal};
use serde_json::{Value, json};
use tonic::{Code, Status};

use super::method::Method;
use super::{Front, status};
use crate::audit::Intent;
use crate::peer::Caller;
use crate::policy_store::LoadedPolicy;
use crate::rate::{Buckets, Rate};

/// Calls that only read.
const READS: Rate = Rate {
    burst: 60,
    interval: Duration::from_millis(100),
};
/// Calls that change something, and so write to the audit log.
const CHANGES: Rate = Rate {
    burst: 60,
    interval: Duration::from_secs(1),
};
/// Calls of everyone who is no tenant, together.
const STRANGERS: Rate = Rate {
    burst: 60,
    interval: Duration::from_millis(50),
};
/// Buckets in use at once; more tenants than that do not call at one moment.
const MAX_BUCKETS: usize = 4096;

/// The token buckets.
#[derive(Debug)]
pub(super) struct Rates {
    reads: Buckets,
    changes: Buckets,
    strangers: Buckets,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            reads: Buckets::new(READS, MAX_BUCKETS),
            changes: Buckets::new(CHANGES, MAX_BUCKETS),
            strangers: Buckets::new(STRANGERS, 1),
        }
    }
}

/// A call that may be made: by whom, what, and under which grant. Only the choke point makes one.
#[derive(Debug, Clone)]
pub(super) struct Permission {
    pub(super) caller: Caller,
    pub(super) method: Method,
    pub(super) grant: Arc<Grant>,
    pub(super) policy: Arc<LoadedPolicy>,
}

impl Permission {
    /// The audit record of this call with its vetted arguments.
    pub(super) fn intent(&self, arguments: Value) -> Intent {
        Intent {
            caller: self.caller,
            operation: self.method.operation(),
            arguments,
            rule: self.method.rule(&self.grant).to_string(),
            policy: self.policy.digest.clone(),
        }
    }
}

impl Front {
    /// Whether this call may be made at all, before its message is read.
    pub(super) async fn enter(
        &self,
        caller: Option<Caller>,
        path: &str,
    ) -> Result<Permission, Status> {
        let caller = caller.ok_or_else(status::nobody)?;
        let policy = self.shared.policy.current();
        let method = Method::of(path);
        let grant = policy.policy.grant(caller.uid);
        let refused = match (grant, method) {
            (Some(grant), Some(method)) => {
                let Some(wait) = self.wait_of(caller.uid, method.changes()) else {
                    return Ok(Permission {
                        caller,
                        method,
                        grant: Arc::new(grant),
                        policy,
                    });
                };
                Refused::TooOften(wait)
            }
            (Some(_), None) => match self.wait_of(caller.uid, false) {
                Some(wait) => Refused::TooOften(wait),
                None => Refused::By(status::unknown_method()),
            },
            (None, _) => match self.wait_of_strangers() {
                Some(wait) => Refused::TooOften(wait),
                None => Refused::By(status::no_grant(caller.uid)),
            },
        };
        let intent = Intent {
            caller,
            operation: method.map_or("unknown", Method::operation),
            arguments: method.map_or_else(|| json!({ "path": path }), |_| json!({})),
            rule: String::new(),
            policy: policy.digest.clone(),
        };
        Err(self.refuse(intent, &refused).await)
    }

    /// Records a refusal of a permitted call for what is in its message.
    pub(super) async fn refuse_message(&self, permission: &Permission, refusal: Refusal) -> Status {
        let intent = permission.intent(json!({}));
        self.refuse(intent, &Refused::By(refusal)).await
    }

    /// A refusal holds even where it cannot be recorded: nothing is done either way.
    async fn refuse(&self, mut intent: Intent, refused: &Refused) -> Status {
        let (status, refusal) = match refused {
            Refused::TooOften(wait) => (status::too_often(*wait), &status::rate()),
            Refused::By(refusal) => (status::refused(code_of(refusal), refusal), refusal),
        };
        intent.rule = refusal.rule.to_string();
        let reason = format!("{}: {}", refusal.reason, refusal.message);
        if let Err(error) = self.shared.audit.denied(intent, &reason).await {
            tracing::error!(error = %status::told(&error), "a refusal is not in the audit log");
        }
        status
    }

    /// How long this UID must wait before its next call, `None` when it may call now.
    fn wait_of(&self, uid: u32, changes: bool) -> Option<Duration> {
        self.take_token(|rates, now| {
            let buckets = if changes {
                &mut rates.changes
            } else {
                &mut rates.reads
            };
            buckets.take(uid, now)
        })
    }

    fn wait_of_strangers(&self) -> Option<Duration> {
        self.take_token(|rates, now| rates.strangers.take(0, now))
    }

    fn take_token(
        &self,
        take: impl FnOnce(&mut Rates, Duration) -> Result<(), Duration>,
    ) -> Option<Duration> {
        let mut rates = self
            .shared
            .rates
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        take(&mut rates, self.shared.started.elapsed()).err()
    }
}

/// Why a call does not pass.
#[derive(Debug)]
enum Refused {
    TooOften(Duration),
    By(Refusal),
}

/// Everything but these two is about what the caller sent.
fn code_of(refusal: &Refusal) -> Code {
    match refusal.reason {
        "UNKNOWN_METHOD" => Code::Unimplemented,
        "NO_GRANT" => Code::PermissionDenied,
        _ => Code::InvalidArgument,
    }
}
