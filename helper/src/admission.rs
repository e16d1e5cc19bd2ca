//! Whom the daemons admit: a tenant of the policy who does not send too many requests. Both daemons
//! decide it here, so that the same event has the same code, rule and text in both.

use std::time::Duration;

use aistack_policy::{Grant, Refusal, Rule};

use crate::audit::{Audit, Denied, Intent};
use crate::daemon::error_chain;
use crate::rate::{Limiter, RequestKind};
use crate::seldom::Seldom;

/// The reason of a caller who sends too many requests.
pub(crate) const TOO_MANY_REQUESTS: &str = "TOO_MANY_REQUESTS";
/// The reason of a caller whom the policy does not name.
pub(crate) const NO_GRANT: &str = "NO_GRANT";

static NOT_RECORDED: Seldom = Seldom::new();

/// Why a request is not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denial {
    /// The caller sends too many requests; one after this time is admitted.
    RateLimited(Duration),
    /// The policy does not name this UID.
    NotTenant(u32),
}

impl Denial {
    /// As the caller and the audit log see it.
    pub(crate) fn refusal(self) -> Refusal {
        match self {
            Self::RateLimited(wait) => {
                // Rounded up: a request after that time is admitted.
                let wait = wait.as_millis().saturating_add(1);
                let rule = Rule::builtin("rate-limit");
                Refusal::new(TOO_MANY_REQUESTS, "too many requests", rule)
                    .with_hint(format!("try again in {wait} ms"))
            }
            Self::NotTenant(uid) => {
                let rule = Rule {
                    key: "tenants.uids".to_owned(),
                    line: None,
                };
                let message = format!("UID {uid} is not a tenant of this host");
                Refusal::new(NO_GRANT, message, rule)
                    .with_hint("ask the administrator to add your UID to the policy")
            }
        }
    }
}

/// Admits one request of `uid`, which has this grant; `counts_as_change` when it writes to the audit
/// log. All callers without a grant share one limit.
///
/// # Errors
/// Why it is not admitted.
pub(crate) fn admit(
    limiter: &Limiter,
    uid: u32,
    grant: Option<Grant>,
    counts_as_change: bool,
) -> Result<Grant, Denial> {
    let kind = match grant {
        None => RequestKind::Stranger,
        Some(_) if counts_as_change => RequestKind::Change(uid),
        Some(_) => RequestKind::Read(uid),
    };
    limiter.take(kind).map_err(Denial::RateLimited)?;
    grant.ok_or(Denial::NotTenant(uid))
}

/// Records a refusal. It holds even where it cannot be recorded: nothing is done either way.
pub(crate) async fn record_refusal(
    audit: &Audit,
    mut intent: Intent,
    who: Denied,
    refusal: &Refusal,
) {
    intent.rule = refusal.rule.to_string();
    let reason = format!("{}: {}", refusal.reason, refusal.message);
    if let Err(error) = audit.denied(intent, who, &reason).await {
        // Callers cause this as often as they are refused.
        if let Some(unsaid) = NOT_RECORDED.again() {
            tracing::error!(error = %error_chain(&error), unsaid, "a refusal is not in the audit log");
        }
    }
}

#[cfg(test)]
mod tests {
    use aistack_policy::Policy;

    use super::*;
    use crate::rate::{Rate, Rates};

    fn limiter() -> Limiter {
        let once = Rate {
            burst: 1,
            interval: Duration::from_mins(1),
        };
        Limiter::new(Rates {
            reads: once,
            changes: once,
            strangers: once,
        })
    }

    fn grant(uid: u32) -> Option<Grant> {
        let text = include_str!("../tests/corpus/policy.toml");
        Policy::parse(text).unwrap().grant(uid)
    }

    #[test]
    fn tenants_have_limits_of_their_own_and_strangers_share_one() {
        let limiter = limiter();
        let denied = |uid, change| admit(&limiter, uid, grant(uid), change).err();
        for uid in [1001, 1002] {
            assert_eq!(denied(uid, false), None);
            assert_eq!(
                denied(uid, true),
                None,
                "reads and changes are counted apart"
            );
            assert!(matches!(denied(uid, false), Some(Denial::RateLimited(_))));
            assert!(matches!(denied(uid, true), Some(Denial::RateLimited(_))));
        }
        assert_eq!(denied(70_001, false), Some(Denial::NotTenant(70_001)));
        assert!(matches!(denied(70_002, true), Some(Denial::RateLimited(_))));
    }

    #[test]
    fn a_denial_names_its_rule_and_the_next_step() {
        let shown = |denial: Denial| {
            let refusal = denial.refusal();
            let hint = refusal.hint.clone().unwrap();
            format!("{}: {refusal}; {hint}", refusal.reason)
        };
        assert_eq!(
            shown(Denial::RateLimited(Duration::from_millis(11))),
            "TOO_MANY_REQUESTS: too many requests [builtin.rate-limit]; try again in 12 ms"
        );
        assert_eq!(
            shown(Denial::NotTenant(70_001)),
            "NO_GRANT: UID 70001 is not a tenant of this host [tenants.uids]; \
             ask the administrator to add your UID to the policy"
        );
    }
}
