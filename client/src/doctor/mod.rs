//! What `aistack doctor` looks at: everything that a tenant can see without a privilege, each
//! thing for itself, so that one broken part does not hide the others. Changes nothing.
//!
//! The daemons are asked first and at once; what else can be looked at follows from their answers,
//! and is looked at at once too.

mod certificates;
mod confinement;
mod daemons;
mod files;
mod finding;
mod stack;

use std::path::{Path, PathBuf};
use std::time::Duration;

use aistack_proto::v1::{Grant, WhoAmIResponse};

pub use finding::{Finding, Level};

use crate::apparmor;
use crate::catalog::Catalog;
use crate::run::Context;

/// How long one daemon may take for one answer.
const LIMIT: Duration = Duration::from_secs(3);

/// Looks at everything.
pub async fn examine(context: &Context) -> Vec<Finding> {
    let (helper, gateway, clock) = tokio::join!(
        daemons::ask_helper(context),
        daemons::ask_gateway(context),
        daemons::clock(),
    );
    let mut findings = daemons::helper(&helper);
    findings.extend(daemons::gateway(&gateway));
    findings.push(clock);
    let who = helper.who();
    let Some(base_dir) = base_dir(context, who) else {
        findings.push(
            Finding::unchecked(
                "files",
                "which directory is yours, the helper tells; it does not answer",
            )
            .next("aistack doctor -C BASE_DIR looks at its files in the meantime"),
        );
        return findings;
    };
    let containers = gateway.containers.as_deref().ok();
    let (manifest, mut about_manifest) = files::manifest(&base_dir);
    let catalog = Catalog::embedded();
    let desired = who.zip(manifest.as_ref()).and_then(|(who, file)| {
        let grant = who.grant.as_ref()?;
        let (desired, findings) = stack::desired(context, &catalog, grant, file);
        about_manifest.extend(findings);
        desired
    });
    findings.extend(files::volume(&base_dir, who, containers));
    findings.extend(files::directories(
        &base_dir,
        who.and_then(granted),
        desired.as_ref(),
    ));
    findings.extend(about_manifest);
    findings.extend(certificates::all(&base_dir));
    if let Some(who) = who {
        findings.push(stack::network(who, containers));
        findings.push(confinement::standing(who));
    }
    let sources = match who.and_then(granted) {
        Some(grant) => apparmor::sources(grant).map(Vec::from),
        None => apparmor::sources_in(&base_dir),
    };
    findings.extend(confinement::profiles(sources));
    if let Some(desired) = &desired {
        findings.extend(stack::ports(desired, containers));
    }
    if let (Some(engine), Some(containers)) = (&gateway.engine, containers) {
        let (images, states) = tokio::join!(
            stack::images(engine, desired.as_ref()),
            stack::containers(engine, desired.as_ref(), containers, who),
        );
        findings.extend(images);
        findings.extend(states);
    }
    findings
}

fn granted(who: &WhoAmIResponse) -> Option<&Grant> {
    who.grant.as_ref()
}

/// The tenant's directory: as the helper says, else as the caller says.
fn base_dir(context: &Context, who: Option<&WhoAmIResponse>) -> Option<PathBuf> {
    let granted = who.and_then(granted).map(|grant| grant.base_dir.as_str());
    let flag = context.globals.dir.as_deref();
    let named = context.environment.get("BASE_DIR");
    granted
        .map(Path::new)
        .or(flag)
        .or_else(|| named.map(Path::new))
        .map(Path::to_owned)
}
