//! The tenant's AppArmor profiles: vetted, loaded and kept here, so that its containers can run
//! under them.

use std::sync::Arc;

use aistack_policy::{Grant, Policy};
use aistack_proto::v1::{LoadAppArmorResponse, UnloadAppArmorResponse};

use super::paths::{blocking, open_base};
use super::{Error, Ops};
use crate::apparmor::{AppArmor, ProfileError};

impl Ops {
    /// Vets, compiles and loads the tenant's profiles. Beside the answer, why it names none, where
    /// the policy allows containers without.
    ///
    /// # Errors
    /// When a source is refused, or this host cannot do what the policy requires.
    pub async fn load_apparmor(
        &self,
        grant: &Grant,
    ) -> Result<(LoadAppArmorResponse, Option<&'static str>), Error> {
        let apparmor = Arc::clone(&self.apparmor);
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

    /// Unloads the tenant's profiles from the kernel and removes them from the disk.
    ///
    /// # Errors
    /// When a task runs under one of them.
    pub async fn unload_apparmor(&self, grant: &Grant) -> Result<UnloadAppArmorResponse, Error> {
        let apparmor = Arc::clone(&self.apparmor);
        let (turn, grant) = (apparmor.turn().await, grant.clone());
        blocking(move || {
            let _turn = turn;
            let changed = apparmor.unload(&grant)?;
            Ok(UnloadAppArmorResponse { changed })
        })
        .await
    }

    /// Verifies that every kept profile of the policy's tenants is loaded, loads those that are not,
    /// and tells the gateway. Returns what went wrong, by profile.
    pub async fn boot_profiles(&self, policy: &Policy) -> Vec<(String, ProfileError)> {
        let apparmor = Arc::clone(&self.apparmor);
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
}
