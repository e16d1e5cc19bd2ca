//! What there is: the containers, and what has the names now that they hold by identity.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use aistack_policy::image::ImageRef;
use aistack_proto::v1::WhoAmIResponse;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::Instant;

use crate::apparmor::{Confinement, sources};
use crate::desired::Stack;
use crate::engine::{Container, Engine, EngineError, Inspection};
use crate::error::CliError;
use crate::exit::Exit;
use crate::fs::mounts;
use crate::plan::Host;
use crate::plan::held::Labels;
use crate::ui::Progress;

/// Questions to the gateway at once.
const AT_ONCE: usize = 4;
/// How long an earlier change is waited for: longer than most services have to stop.
const CHANGING: Duration = Duration::from_mins(10);
/// What is over by then is not reported.
const MOMENT: Duration = Duration::from_secs(1);
/// How often it is looked at.
const AGAIN: Duration = Duration::from_millis(200);

/// The stack's containers, with what they hold, and what this host has.
///
/// # Errors
/// What the gateway answered.
pub async fn around(
    engine: &Engine,
    who: &WhoAmIResponse,
    stack: &Stack,
) -> Result<(Vec<Container>, Host), CliError> {
    let (containers, host) = tokio::try_join!(
        containers(engine, Path::new(&stack.base_dir)),
        host(engine, who, stack)
    )?;
    Ok((containers, host))
}

/// The stack's containers, once nothing is changing one any more: what a run that was killed has
/// requested is still done to its end. Looked at under the lock.
///
/// # Errors
/// What the gateway answered, and [`Exit::TimedOut`] when it does not end.
pub async fn wait_until_stable(
    engine: &Engine,
    progress: &Progress,
) -> Result<Vec<Container>, CliError> {
    let began = Instant::now();
    let mut announced = false;
    loop {
        let containers = engine.list().await?;
        let mut changing = containers
            .iter()
            .filter_map(|own| Some((own, own.changing.as_deref()?)));
        let Some((container, operation)) = changing.next() else {
            return Ok(containers);
        };
        let operation = operation.trim_start_matches("container.");
        let what = format!("{operation} of {}", container.name);
        if began.elapsed() > CHANGING {
            let what = format!("an earlier operation has not ended: {what}");
            return Err(CliError::new(Exit::TimedOut, what)
                .next("ask the administrator: Docker does not end it"));
        }
        if !announced && began.elapsed() > MOMENT {
            progress.note(&format!("waiting for an earlier operation: {what}"));
            announced = true;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// The containers with what they hold.
async fn containers(engine: &Engine, base_dir: &Path) -> Result<Vec<Container>, EngineError> {
    stream::iter(engine.list().await?)
        .map(|mut container| async move {
            match engine.inspect(&container.id).await {
                Ok(inspection) => {
                    holds(&mut container, &inspection, base_dir);
                    Ok(Some(container))
                }
                // Removed since it was listed.
                Err(EngineError::NotFound { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        })
        .buffered(AT_ONCE)
        .try_filter_map(async |container| Ok(container))
        .try_collect()
        .await
}

/// Adds what only its inspection and the kernel tell.
pub fn holds(container: &mut Container, inspection: &Inspection, base_dir: &Path) {
    container.held.label = Some(inspection.apparmor.clone());
    container.held.devices = devices(inspection, base_dir);
}

/// Devices of what a running container has mounted from below `base_dir`. A kernel that hides the
/// processes of others tells nothing.
fn devices(inspection: &Inspection, base_dir: &Path) -> BTreeSet<String> {
    let table = inspection
        .pid
        .and_then(|pid| std::fs::read_to_string(format!("/proc/{pid}/mountinfo")).ok());
    let (Some(table), Some(binds)) = (table, &inspection.host_config.mounts) else {
        return BTreeSet::new();
    };
    let own = binds.iter().filter(|bind| {
        let source = bind.source.as_deref().unwrap_or_default();
        Path::new(source).starts_with(base_dir)
    });
    own.filter_map(|bind| mounts::device(&table, bind.target.as_deref()?))
        .collect()
}

/// What this host has now.
///
/// # Errors
/// What the gateway answered.
pub async fn host(
    engine: &Engine,
    who: &WhoAmIResponse,
    stack: &Stack,
) -> Result<Host, EngineError> {
    let here = engine.images_by_name().await?;
    let images = stack.services.iter().filter_map(|service| {
        let name = ImageRef::parse(&service.image).ok()?.to_string();
        Some((service.image.clone(), here.get(&name)?.clone()))
    });
    Ok(Host {
        images: images.collect(),
        network: who.network.as_ref().map(|network| network.id.clone()),
        labels: labels(who),
        volume: volume(Path::new(&stack.base_dir)),
    })
}

/// Device of the tenant's volume.
#[must_use]
pub fn volume(base_dir: &Path) -> Option<String> {
    let own = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    mounts::device(&own, base_dir.to_str()?)
}

/// The labels of the tenant's containers, where the kernel has its profiles.
fn labels(who: &WhoAmIResponse) -> Option<Labels> {
    let grant = who.grant.as_ref().filter(|_| Confinement::of(who).loaded)?;
    let [own, service] = sources(grant).ok()?;
    Some(Labels {
        uid: grant.uid,
        own: own.label(),
        service: service.label(),
    })
}

#[cfg(test)]
mod tests {
    use aistack_proto::v1::AppArmorMode;

    use super::*;
    use crate::apparmor::who_for_tests as who;

    #[test]
    fn labels_are_known_where_the_profiles_are_loaded() {
        let known = |kernel, loaded| labels(&who(AppArmorMode::IfAvailable, kernel, loaded));
        assert_eq!(known(true, false), None);
        assert_eq!(known(false, false), None);
        let labels = known(true, true).unwrap();
        assert!(labels.own.contains("ai-platform-1001"), "{labels:?}");
        assert!(labels.service.contains("openclaw-2001"), "{labels:?}");
    }

    /// The device is that of the mount at that very place, as another process sees it.
    #[test]
    fn what_a_process_has_mounted_is_reported_by_its_device() {
        let mut inspection = crate::engine::tests::inspection();
        inspection.pid = Some(std::process::id());
        let bind = |source: &str| bollard::models::Mount {
            source: Some(source.to_owned()),
            target: Some("/proc".to_owned()),
            ..bollard::models::Mount::default()
        };
        inspection.host_config.mounts = Some(vec![bind("/mnt/own/data")]);
        let own = devices(&inspection, Path::new("/mnt/own"));
        assert_eq!(own.into_iter().next(), volume(Path::new("/proc")));
        assert!(devices(&inspection, Path::new("/mnt/ow")).is_empty());
        inspection.pid = None;
        assert!(devices(&inspection, Path::new("/mnt/own")).is_empty());
    }
}
