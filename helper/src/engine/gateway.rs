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
use crate::admission;
use crate::audit::{Audit, Denied, Intent, OpenRecord, Outcome};
use crate::docker::{Docker, DockerError};
use crate::guard::{Answer, Probe};
use crate::locks::Locks;
use crate::peer::Caller;
use crate::policy_store::{LoadedPolicy, PolicyStore};
use crate::rate::{Limiter, Rate, Rates};

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
    /// Reads that cost the host much, and walks through the files of containers.
    pub(super) dear_reads: Locks,
    /// Streams that Docker holds in memory until they have ended.
    pub(super) costly_streams: Locks,
    pub(super) changing: Changing,
    pub(super) request_limit: RequestLimit,
    pub(super) starts: RequestLimit,
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
    /// `docker_dirs` are the directories that Docker writes to, queried of Docker where there are none.
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
            dear_reads: Locks::default(),
            costly_streams: Locks::default(),
            changing: Changing::default(),
            request_limit: RequestLimit::of_requests(),
            starts: RequestLimit::of_starts(),
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
        // Checked for every connection: no grant is made for it.
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
        let known = self.docker.known_api().map(|api| api.spoken);
        let parsed = Line::parse(method, target, Offered::with(known));
        // What is refused writes a record too, and counts as what it says it is.
        let counts_as_change = !matches!(&parsed, Ok(line) if !line.endpoint.counts_as_change());
        let grant = policy.policy.grant(caller.uid);
        let stranger = grant.is_none();
        let admitted = admission::admit(&self.limiter, caller.uid, grant, counts_as_change);
        let (who, refusal) = match (admitted, parsed) {
            (Ok(grant), Ok(line)) => {
                let tenant = Tenant {
                    caller,
                    grant: Arc::new(grant),
                    policy,
                };
                return Ok((tenant, line));
            }
            (Ok(_), Err(refusal)) => (reach::kind_of(&refusal), refusal),
            (Err(denial), _) if stranger => (Denied::Stranger, denial.refusal()),
            (Err(denial), _) => (Denied::Tenant, denial.refusal()),
        };
        let intent = Intent {
            caller,
            operation: "request",
            arguments: path_only(method, target),
            rule: String::new(),
            policy: policy.digest.clone(),
        };
        Err(self.denied(intent, who, refusal).await)
    }

    /// Records that `refusal` ended a tenant's request.
    pub(super) async fn refused(&self, intent: Intent, refusal: Refusal) -> GatewayError {
        let who = reach::kind_of(&refusal);
        self.denied(intent, who, refusal).await
    }

    async fn denied(&self, intent: Intent, who: Denied, refusal: Refusal) -> GatewayError {
        admission::record_refusal(&self.audit, intent, who, &refusal).await;
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

    /// Returns when this UID is not a tenant any more.
    pub(super) async fn dismissed(&self, uid: u32) {
        while self.is_tenant(uid) {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
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

/// A query may hold anything; its path says enough for the log.
fn path_only(method: &str, target: &str) -> Value {
    const LONGEST: usize = 256;
    let path = target.split('?').next().unwrap_or_default();
    let cut = |text: &str| text.chars().take(LONGEST).collect::<String>();
    json!({"method": cut(method), "path": cut(path)})
}
