//! The tenant's AppArmor profiles: vetted, loaded and kept here, so that its containers can run
//! under them.

use std::sync::Arc;

use aistack_policy::{Grant, Policy};
use aistack_proto::v1::{LoadAppArmorResponse, UnloadAppArmorResponse};

use super::paths::{blocking, open_base};
use super::{Error, Ops};
use crate::apparmor::{AppArmor, ProfileError};

/// The answer, and why it names no profile.
pub(super) async fn load(
    ops: &Ops,
    grant: &Grant,
) -> Result<(LoadAppArmorResponse, Option<&'static str>), Error> {
    let apparmor = Arc::clone(&ops.apparmor);
    let outcome = if let Some(why) = apparmor.why_not() {
        AppArmor::without(grant, why)?
    } else {
        let (turn, grant) = (apparmor.turn().await, grant.clone());
        blocking(move || {
            let _turn = turn;
            let base = open_base(&grant.base_dir)?;
            Ok(apparmor.load(base, &grant)?)
        })
        .await?
    };
    let answer = LoadAppArmorResponse {
        profiles: outcome.profiles,
        changed: outcome.changed,
    };
    Ok((answer, outcome.without))
}

pub(super) async fn unload(ops: &Ops, grant: &Grant) -> Result<UnloadAppArmorResponse, Error> {
    let apparmor = Arc::clone(&ops.apparmor);
    let (turn, grant) = (apparmor.turn().await, grant.clone());
    blocking(move || {
        let _turn = turn;
        let changed = apparmor.unload(&grant)?;
        Ok(UnloadAppArmorResponse { changed })
    })
    .await
}

pub(super) async fn boot(ops: &Ops, policy: &Policy) -> Vec<(String, ProfileError)> {
    let apparmor = Arc::clone(&ops.apparmor);
    let (turn, policy) = (apparmor.turn().await, policy.clone());
    let failed = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        apparmor.boot(&policy)
    });
    failed.await.unwrap_or_else(|_| {
        let source = std::io::Error::other("the work was cut off");
        let error = ProfileError::Io {
            step: "load",
            path: "profiles".to_owned(),
            source,
        };
        vec![("all".to_owned(), error)]
    })
}
