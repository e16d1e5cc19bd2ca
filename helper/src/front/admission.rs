//! The choke point: who is calling, may they, and not too often. No call passes beside it.

use std::sync::Arc;
use std::time::Duration;

use aistack_policy::{Grant, Refusal};
use serde_json::{Value, json};
use tonic::{Code, Status};

use super::method::Method;
use super::{Front, status};
use crate::audit::{Denied, Intent};
use crate::daemon::error_chain;
use crate::peer::Caller;
use crate::policy_store::LoadedPolicy;
use crate::rate::{Rate, Rates, RequestKind};
use crate::seldom::Seldom;

static NOT_RECORDED: Seldom = Seldom::new();

/// How often the calls of one UID are answered.
pub(super) const RATES: Rates = Rates {
    reads: Rate {
        burst: 60,
        interval: Duration::from_millis(100),
    },
    changes: Rate {
        burst: 60,
        interval: Duration::from_secs(1),
    },
    strangers: Rate {
        burst: 60,
        interval: Duration::from_millis(50),
    },
};

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
    pub(super) async fn admit(
        &self,
        caller: Option<Caller>,
        path: &str,
    ) -> Result<Permission, Status> {
        let caller = caller.ok_or_else(status::nobody)?;
        let policy = self.shared.policy.current();
        let method = Method::of(path);
        let grant = policy.policy.grant(caller.uid);
        let stranger = grant.is_none();
        let refused = match (grant, method) {
            (Some(grant), Some(method)) => {
                let kind = if method.counts_as_change() {
                    RequestKind::Change(caller.uid)
                } else {
                    RequestKind::Read(caller.uid)
                };
                let Some(wait) = self.wait_of(kind) else {
                    return Ok(Permission {
                        caller,
                        method,
                        grant: Arc::new(grant),
                        policy,
                    });
                };
                Denial::TooOften(wait)
            }
            (Some(_), None) => match self.wait_of(RequestKind::Read(caller.uid)) {
                Some(wait) => Denial::TooOften(wait),
                None => Denial::By(status::unknown_method()),
            },
            (None, _) => match self.wait_of(RequestKind::Stranger) {
                Some(wait) => Denial::TooOften(wait),
                None => Denial::By(status::no_grant(caller.uid)),
            },
        };
        let intent = Intent {
            caller,
            operation: method.map_or("unknown", Method::operation),
            arguments: method.map_or_else(|| json!({ "path": path }), |_| json!({})),
            rule: String::new(),
            policy: policy.digest.clone(),
        };
        let who = if stranger {
            Denied::Stranger
        } else {
            Denied::Tenant
        };
        Err(self.refuse(intent, who, &refused).await)
    }

    /// Records a refusal of a permitted call for what is in its message. No ordinary client sends
    /// such a message, so it is listed.
    pub(super) async fn refuse_message(&self, permission: &Permission, refusal: Refusal) -> Status {
        let intent = permission.intent(json!({}));
        self.refuse(intent, Denied::Reaching, &Denial::By(refusal))
            .await
    }

    /// A refusal holds even where it cannot be recorded: nothing is done either way.
    async fn refuse(&self, mut intent: Intent, who: Denied, refused: &Denial) -> Status {
        let (status, refusal) = match refused {
            Denial::TooOften(wait) => (status::too_often(*wait), &status::rate()),
            Denial::By(refusal) => (status::refused(code_of(refusal), refusal), refusal),
        };
        intent.rule = refusal.rule.to_string();
        let reason = format!("{}: {}", refusal.reason, refusal.message);
        if let Err(error) = self.shared.audit.denied(intent, who, &reason).await {
            // Callers cause this as often as they are refused.
            if let Some(unsaid) = NOT_RECORDED.again() {
                tracing::error!(error = %error_chain(&error), unsaid, "a refusal is not in the audit log");
            }
        }
        status
    }

    /// How long the caller must wait before its next call, `None` when it may call now.
    fn wait_of(&self, kind: RequestKind) -> Option<Duration> {
        self.shared.limiter.take(kind).err()
    }
}

/// Why a call does not pass.
#[derive(Debug)]
enum Denial {
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
