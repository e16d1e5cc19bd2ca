//! Admission of a gRPC call: who is calling, may they, and not too often. No call passes beside it.

use std::sync::Arc;
use std::time::Duration;

use aistack_policy::{Grant, Refusal};
use serde_json::{Value, json};
use tonic::{Code, Status};

use super::method::Method;
use super::{Front, status};
use crate::admission::{self, Denial};
use crate::audit::{Denied, Intent};
use crate::peer::Caller;
use crate::policy_store::LoadedPolicy;
use crate::rate::{Rate, Rates};

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

/// A call that may be made: by whom, what, and under which grant. Only admission makes one.
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
        let counts_as_change = method.is_some_and(Method::changes);
        let admitted = admission::admit(&self.shared.limiter, caller.uid, grant, counts_as_change);
        let (who, refusal, wait) = match (admitted, method) {
            (Ok(grant), Some(method)) => {
                return Ok(Permission {
                    caller,
                    method,
                    grant: Arc::new(grant),
                    policy,
                });
            }
            (Ok(_), None) => (Denied::Tenant, status::unknown_method(), None),
            (Err(denial), _) => {
                let wait = match denial {
                    Denial::RateLimited(wait) => Some(wait),
                    Denial::NotTenant(_) => None,
                };
                (who(stranger), denial.refusal(), wait)
            }
        };
        let intent = Intent {
            caller,
            operation: method.map_or("unknown", Method::operation),
            arguments: method.map_or_else(|| json!({ "path": path }), |_| json!({})),
            rule: String::new(),
            policy: policy.digest.clone(),
        };
        Err(self.refuse(intent, who, &refusal, wait).await)
    }

    /// Records a refusal of a permitted call for what is in its message. No ordinary client sends
    /// such a message, so it is listed.
    pub(super) async fn refuse_message(&self, permission: &Permission, refusal: Refusal) -> Status {
        let intent = permission.intent(json!({}));
        self.refuse(intent, Denied::Reaching, &refusal, None).await
    }

    async fn refuse(
        &self,
        intent: Intent,
        who: Denied,
        refusal: &Refusal,
        wait: Option<Duration>,
    ) -> Status {
        admission::record_refusal(&self.shared.audit, intent, who, refusal).await;
        match wait {
            Some(wait) => status::rate_limited(refusal, wait),
            None => status::refused(code_of(refusal), refusal),
        }
    }
}

fn who(stranger: bool) -> Denied {
    if stranger {
        Denied::Stranger
    } else {
        Denied::Tenant
    }
}

/// Everything but these two is about what the caller sent.
fn code_of(refusal: &Refusal) -> Code {
    match refusal.reason {
        "UNKNOWN_METHOD" => Code::Unimplemented,
        admission::NO_GRANT => Code::PermissionDenied,
        _ => Code::InvalidArgument,
    }
}
