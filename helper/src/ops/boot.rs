//! After a restart of the host: mounting what was mounted before it.

use std::time::{Duration, Instant};

use aistack_proto::v1::MountVolumeResponse;
use futures_util::StreamExt;
use serde_json::json;

use super::{Error, Ops, marker};
use crate::audit::{Audit, AuditError, Intent, Outcome};
use crate::daemon::error_chain;
use crate::mount::wire::ErrorReason;
use crate::peer::Caller;
use crate::policy_store::LoadedPolicy;

/// Disks come up while the host does; so long they are waited for, all of them together.
const ATTACHING: Duration = Duration::from_secs(30);
const STEP: Duration = Duration::from_millis(500);
/// The mount worker does so many requests at once.
const AT_ONCE: usize = 4;

/// What became of one volume at boot.
#[derive(Debug)]
pub struct BootVolume {
    /// Whose it is.
    pub uid: u32,
    /// The volume, or why it is not mounted.
    pub outcome: Result<MountVolumeResponse, BootError>,
}

/// Why a volume that was mounted before is not mounted again.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// The policy does not name the UID any more.
    #[error("the policy no longer gives UID {0} a volume")]
    NoGrant(u32),
    /// The audit log cannot be written, so nothing was done.
    #[error(transparent)]
    NotAudited(#[from] AuditError),
    /// It cannot be mounted.
    #[error(transparent)]
    NotMounted(#[from] Error),
}

impl Ops {
    /// Mounts again what was mounted when the host went down and what the policy still grants, each
    /// between two audit records. A disk that is not attached yet is waited for, 30 s for all of them
    /// together. What became of each volume is in the answer, lowest UID first.
    ///
    /// # Errors
    /// When it cannot be read which volumes were mounted.
    pub async fn boot_volumes(
        &self,
        policy: &LoadedPolicy,
        audit: &Audit,
    ) -> Result<Vec<BootVolume>, Error> {
        let until = Instant::now() + ATTACHING;
        let uids = marker::all(self).await?;
        let mounting = futures_util::stream::iter(uids).map(|uid| async move {
            let outcome = mount(self, policy, audit, uid, until).await;
            BootVolume { uid, outcome }
        });
        Ok(mounting.buffered(AT_ONCE).collect().await)
    }
}

async fn mount(
    ops: &Ops,
    policy: &LoadedPolicy,
    audit: &Audit,
    uid: u32,
    until: Instant,
) -> Result<MountVolumeResponse, BootError> {
    let grant = policy.policy.grant(uid);
    let grant = grant.ok_or(BootError::NoGrant(uid))?;
    let record = audit
        .intent(Intent {
            caller: the_host(),
            operation: "volume.mount",
            arguments: json!({ "uid": uid, "at": "boot" }),
            rule: grant.rules.volume.to_string(),
            policy: policy.digest.clone(),
        })
        .await?;
    let mounted = loop {
        match ops.mount_volume(&grant).await {
            Err(error) if is_not_attached(&error) && Instant::now() < until => {
                tokio::time::sleep(STEP).await;
            }
            other => break other,
        }
    };
    let outcome = match &mounted {
        Ok(_) => Outcome::Done,
        Err(error) => Outcome::Failed(format!("{}: {}", error.reason(), error_chain(error))),
    };
    record.finish(outcome).await?;
    Ok(mounted?)
}

/// No caller: it is root's own start.
fn the_host() -> Caller {
    Caller {
        uid: 0,
        gid: 0,
        pid: i32::try_from(std::process::id()).ok(),
    }
}

fn is_not_attached(error: &Error) -> bool {
    matches!(error, Error::Worker(failure) if failure.reason == ErrorReason::NotAttached)
}
