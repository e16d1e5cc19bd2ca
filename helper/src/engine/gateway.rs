//! One request from beginning to end: who, may they, what, is it theirs, do it, record it.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aistack_policy::{Grant, Refusal, Rule};
use serde_json::{Value, json};

use super::changing::Changing;
use super::disk::Disk;
use super::error::GatewayError;
use super::http::Served;
use super::pulled::Pulled;
use super::reach;
use super::request_limit::RequestLimit;
use super::vet::target::{Line, Offered};
use crate::audit::{Audit, Denied, Intent, OpenRecord, Outcome};
use crate::docker::{Docker, DockerError};
use crate::guard::{Answer, Probe};
use crate::locks::Locks;
use crate::peer::Caller;
use crate::policy_store::{LoadedPolicy, PolicyStore};
use crate::rate::{Limiter, Rate, Rates, RequestKind};
use crate::seldom::Seldom;

static NOT_RECORDED: Seldom = Seldom::new();

/// How often the requests of one UID are answered.
const RATES: Rates = Rates {
    reads: Rate {
        burst: 500,
        interval: Duration::from_millis(5),
    },
    changes: Rate {
        burst: 200,
        interval: Duration::from_millis(100),
    },
    strangers: Rate {
        burst: 60,
        interval: Duration::from_millis(50),
    },
};

/// How often a long stream asks whether its caller still is a tenant.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// What every request needs.
#[derive(Debug)]
pub struct Gateway {
    pub(super) docker: Docker,
    pub(super) locks: Locks,
    pub(super) changing: Changing,
    pub(super) request_limit: RequestLimit,
    pub(super) disk: Disk,
    pub(super) pulled: Pulled,
    /// Where the helper says which profiles are loaded.
    pub(super) apparmor_dir: PathBuf,
    guard: Probe,
    policy: PolicyStore,
    audit: Audit,
    limiter: Limiter,
}

/// A caller who is a tenant, with the grant that holds for this request.
#[derive(Debug, Clone)]
pub(super) struct Tenant {
    pub(super) caller: Caller,
    pub(super) grant: Arc<Grant>,
    policy: Arc<LoadedPolicy>,
}

impl Tenant {
    pub(super) fn intent(&self, operation: &'static str, arguments: Value, rule: &Rule) -> Intent {
        Intent {
            caller: self.caller,
            operation,
            arguments,
            rule: rule.to_string(),
            policy: self.policy.digest.clone(),
        }
    }
}

impl Gateway {
    /// A gateway to this Docker. In `apparmor_dir` the helper says which profiles are loaded;
    /// `docker_dirs` are the directories that Docker writes to, asked of Docker where there are none.
    /// `pulled` holds what each tenant has pulled.
    #[must_use]
    pub fn new(
        docker: Docker,
        policy: PolicyStore,
        audit: Audit,
        apparmor_dir: PathBuf,
        docker_dirs: Vec<PathBuf>,
        pulled: Pulled,
    ) -> Self {
        Self {
            docker,
            pulled,
            disk: Disk::new(docker_dirs),
            locks: Locks::default(),
            changing: Changing::default(),
            request_limit: RequestLimit::default(),
            apparmor_dir,
            guard: Probe::default(),
            policy,
            audit,
            limiter: Limiter::new(RATES),
        }
    }

    /// The same with a way to see whether the network guard is in force.
    #[must_use]
    pub fn with_guard(self, guard: Probe) -> Self {
        Self { guard, ..self }
    }

    /// Whether the table of the policy in force is the kernel's now.
    pub(super) fn ask_guard(&self) -> Answer {
        self.guard.ask(self.policy.current().canary)
    }

    /// True when the policy in force knows this UID.
    #[must_use]
    pub fn is_tenant(&self, uid: u32) -> bool {
        // Asked for every connection that comes: no grant is made for it.
        let policy = self.policy.current();
        let mut tenants = policy.policy.tenants().iter();
        tenants.any(|range| range.contains(&uid))
    }

    /// Forgets what was kept for UIDs that the policy in force does not know: they may be given to
    /// somebody else.
    pub fn forget_who_left(&self) {
        self.pulled.forget_others(|uid| self.is_tenant(uid));
    }

    /// What stands in the head of every answer.
    pub(super) fn served(&self) -> Served {
        Served::of(self.docker.known_api().as_ref())
    }

    /// What the policy in force gives this UID.
    pub(super) fn grant(&self, uid: u32) -> Option<Grant> {
        self.policy.current().policy.grant(uid)
    }

    /// Which policy is in force, for the audit log.
    pub(super) fn policy_digest(&self) -> String {
        self.policy.current().digest.clone()
    }

    /// Whether this request may be made at all: by a tenant, of an offered endpoint, not too
    /// often. A refusal is recorded.
    pub(super) async fn admit(
        &self,
        caller: Caller,
        method: &str,
        target: &str,
    ) -> Result<(Tenant, Line), GatewayError> {
        let policy = self.policy.current();
        let Some(grant) = policy.policy.grant(caller.uid) else {
            let refusal = self.stranger(caller.uid);
            let intent = Intent {
                caller,
                operation: "request",
                arguments: path_only(method, target),
                rule: String::new(),
                policy: policy.digest.clone(),
            };
            return Err(self.denied(intent, Denied::Stranger, refusal).await);
        };
        let tenant = Tenant {
            caller,
            grant: Arc::new(grant),
            policy,
        };
        // What is refused writes a record too, and counts as what it says it is.
        let known = self.docker.known_api().map(|api| api.spoken);
        let parsed = Line::parse(method, target, Offered::with(known));
        let kind = match &parsed {
            Ok(line) if !line.endpoint.counts_as_change() => RequestKind::Read(caller.uid),
            _ => RequestKind::Change(caller.uid),
        };
        match self.in_time(kind).and(parsed) {
            Ok(line) => Ok((tenant, line)),
            Err(refusal) => {
                let rule = refusal.rule.clone();
                let intent = tenant.intent("request", path_only(method, target), &rule);
                Err(self.refused(intent, refusal).await)
            }
        }
    }

    /// Records that `refusal` ended a tenant's request.
    pub(super) async fn refused(&self, intent: Intent, refusal: Refusal) -> GatewayError {
        let who = reach::kind_of(&refusal);
        self.denied(intent, who, refusal).await
    }

    async fn denied(&self, mut intent: Intent, who: Denied, refusal: Refusal) -> GatewayError {
        intent.rule = refusal.rule.to_string();
        let reason = format!("{}: {}", refusal.reason, refusal.message);
        // A refusal holds even where it cannot be recorded: nothing is done either way.
        if let Err(error) = self.audit.denied(intent, who, &reason).await {
            // Callers cause this as often as they are refused.
            if let Some(unsaid) = NOT_RECORDED.again() {
                tracing::error!(%error, unsaid, "a refusal is not in the audit log");
            }
        }
        GatewayError::Refusal(refusal)
    }

    /// Does something between its two records.
    pub(super) async fn recorded<T>(
        &self,
        intent: Intent,
        act: impl Future<Output = Result<T, DockerError>>,
    ) -> Result<T, GatewayError> {
        let record = self.audit.intent(intent).await?;
        closed(record, act).await
    }

    /// The same for what upholds the policy, whatever its owner's budget in the log is.
    pub(super) async fn enforced<T>(
        &self,
        intent: Intent,
        act: impl Future<Output = Result<T, DockerError>>,
    ) -> Result<T, GatewayError> {
        let record = self.audit.enforcement(intent).await?;
        closed(record, act).await
    }

    /// Returns when this UID is no tenant any more.
    pub(super) async fn dismissed(&self, uid: u32) {
        while self.is_tenant(uid) {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    fn stranger(&self, uid: u32) -> Refusal {
        match self.limiter.take(RequestKind::Stranger) {
            Err(wait) => too_often(wait),
            Ok(()) => Refusal::new(
                "NO_GRANT",
                format!("the policy of this host gives UID {uid} nothing"),
                Rule::builtin("default-deny"),
            )
            .with_hint("ask the administrator to name it in the policy"),
        }
    }

    fn in_time(&self, kind: RequestKind) -> Result<(), Refusal> {
        self.limiter.take(kind).map_err(too_often)
    }
}

async fn closed<T>(
    record: OpenRecord,
    act: impl Future<Output = Result<T, DockerError>>,
) -> Result<T, GatewayError> {
    let result = act.await;
    let outcome = match &result {
        Ok(_) => Outcome::Done,
        Err(error) => Outcome::Failed(error.to_string()),
    };
    record.finish(outcome).await?;
    Ok(result?)
}

fn too_often(wait: Duration) -> Refusal {
    // Rounded up: whoever comes back then is answered.
    let wait = wait.as_millis().saturating_add(1);
    let rule = Rule::builtin("rate-limit");
    Refusal::new("TOO_OFTEN", "too many requests", rule)
        .with_hint(format!("try again in {wait} ms"))
}

/// A query may hold anything; its path says enough for the log.
fn path_only(method: &str, target: &str) -> Value {
    const LONGEST: usize = 256;
    let path = target.split('?').next().unwrap_or_default();
    let cut = |text: &str| text.chars().take(LONGEST).collect::<String>();
    json!({"method": cut(method), "path": cut(path)})
}
