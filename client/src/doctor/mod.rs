//! What `aistack doctor` looks at: everything that a tenant can see without a privilege, each
//! thing for itself, so that one wrong part does not hide the others. Changes nothing.
//!
//! The daemons are queried first and at once; what else can be looked at follows from their answers,
//! and is looked at at once too.

mod certificates;
mod confinement;
mod containers;
mod daemons;
mod docker;
mod files;
mod finding;
mod limit;
mod ports;
mod renewal;
mod sites;
mod stack;

use std::path::{Path, PathBuf};

use aistack_proto::v1::{Grant, WhoAmIResponse};

pub use finding::{Finding, Level};
use limit::Limit;

use crate::apparmor;
use crate::catalog::own;
use crate::desired::Stack;
use crate::run::{Context, service_files};

/// Looks at everything.
pub async fn examine(context: &Context) -> Vec<Finding> {
    let limit = Limit::begin();
    let (helper, gateway, clock) = limit
        .noting(context.printer, async {
            tokio::join!(
                daemons::ask_helper(context, limit),
                daemons::ask_gateway(context, limit),
                daemons::clock(),
            )
        })
        .await;
    let mut findings = daemons::helper(&helper);
    findings.extend(daemons::gateway(&gateway));
    findings.extend(limit::late(helper.took.max(gateway.took)));
    if let Some(engine) = &gateway.engine
        && gateway.containers.is_ok()
    {
        findings.extend(docker::findings(engine, helper.engine.as_ref(), limit).await);
    } else if let Ok(answer) = &helper.engine {
        findings.extend(docker::of_helper(answer, &[]));
    }
    findings.push(clock);
    let who = helper.who();
    let Some(base_dir) = base_dir(context, who) else {
        findings.push(
            Finding::unchecked(
                "files",
                "your base directory is unknown because the helper does not answer",
            )
            .next("aistack doctor -C BASE_DIR looks at its files in the meantime"),
        );
        return findings;
    };
    let containers = gateway.containers.as_deref().ok();
    findings.extend(files::volume(&base_dir, who, containers));
    let mounted = who.is_none_or(|who| who.volume.is_some_and(|volume| volume.mounted));
    let desired = if mounted {
        let (desired, found) = on_volume(context, &base_dir, who);
        findings.extend(found);
        desired
    } else {
        findings.push(Finding::unchecked(
            "files",
            "directories, .env, profiles and certificates are on the volume",
        ));
        None
    };
    if let Some(who) = who {
        findings.push(stack::network(who, containers));
        findings.extend(stack::guard(who));
        findings.extend(confinement::findings(who));
    }
    if let Some(desired) = &desired {
        findings.extend(ports::of_stack(desired, containers));
    }
    if let (Some(engine), Some(who)) = (&gateway.engine, who)
        && let Ok(Ok(own)) = limit.answer(engine.published()).await
    {
        findings.extend(ports::foreign_listeners(who, desired.as_ref(), &own));
    }
    if let Some(desired) = &desired {
        findings.extend(Box::pin(sites::front_door(desired)).await);
    }
    if let (Some(engine), Some(containers)) = (&gateway.engine, containers) {
        let (warnings, images, old, states) = tokio::join!(
            daemons::warnings(engine, limit),
            containers::images(engine, desired.as_ref(), limit),
            renewal::findings(engine, desired.as_ref(), limit),
            containers::examine(engine, desired.as_ref(), containers, who, limit),
        );
        findings.extend(warnings);
        findings.extend(images);
        findings.extend(old);
        findings.extend(states);
    }
    findings
}

/// Everything that is on the volume, and the stack that its manifest describes.
fn on_volume(
    context: &Context,
    base_dir: &Path,
    who: Option<&WhoAmIResponse>,
) -> (Option<Stack>, Vec<Finding>) {
    let grant = who.and_then(grant_of);
    let (manifest, mut about_manifest) = files::manifest(base_dir);
    if grant.is_none() && manifest.is_some() {
        let found = "readable; it cannot be checked because the helper does not answer";
        about_manifest.push(Finding::ok(".env", found));
    }
    let desired = grant.zip(manifest).and_then(|(grant, file)| {
        let (files, mut invalid) = service_files::all(base_dir, grant.uid);
        let (catalog, more) = own::with_files(&files);
        invalid.extend(more);
        about_manifest.extend(invalid.iter().map(|invalid| {
            Finding::problem("service files", invalid.to_string())
                .means("a stack that has this service cannot be deployed")
                .next("fix the file or remove it; see docs/own-services.md")
        }));
        let incomplete = !invalid.is_empty();
        let (desired, found) = stack::desired(context, &catalog, grant, &file, incomplete);
        about_manifest.extend(found);
        desired
    });
    let mut findings = files::directories(base_dir, grant, desired.as_ref());
    findings.extend(about_manifest);
    findings.extend(certificates::all(base_dir));
    let sources = match grant {
        Some(grant) => apparmor::sources(grant).map(Vec::from),
        None => apparmor::sources_in(base_dir),
    };
    findings.extend(confinement::profiles(sources, who));
    (desired, findings)
}

fn grant_of(who: &WhoAmIResponse) -> Option<&Grant> {
    who.grant.as_ref()
}

/// The tenant's directory: as the helper says, else as the caller says.
fn base_dir(context: &Context, who: Option<&WhoAmIResponse>) -> Option<PathBuf> {
    let grant_of = who.and_then(grant_of).map(|grant| grant.base_dir.as_str());
    let flag = context.globals.dir.as_deref();
    let named = context.environment.get("BASE_DIR");
    grant_of
        .map(Path::new)
        .or(flag)
        .or_else(|| named.map(Path::new))
        .map(Path::to_owned)
}
