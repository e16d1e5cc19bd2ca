//! The network guard beside the tenants.

use super::Subject;
use super::numbers::{service_claims, tenant_claims};
use crate::guard::GuardMode;
use crate::report::Report;

/// Who may connect to everybody is nobody's own UID: a tenant would be let into the others.
pub(super) fn allowed_uids(subject: Subject<'_>, report: &mut Report) {
    let mut claims = tenant_claims(subject);
    claims.extend(service_claims(subject));
    for uid in &subject.document.guard.allow_uids {
        let number = u64::from(uid.value);
        let mut claims = claims.iter();
        if let Some(claim) = claims.find(|claim| (claim.low..=claim.high).contains(&number)) {
            let message = format!(
                "{} may not be allowed to connect to every tenant",
                claim.describe(number)
            );
            report.error(uid.at, "guard.allow_uids", message);
        }
    }
}

/// What is switched off can never be in force.
pub(super) fn required(subject: Subject<'_>, report: &mut Report) {
    let document = subject.document;
    if document.guard.settings.enabled {
        return;
    }
    let message = "required, but guard.enabled is false: no container could start";
    let tenants = &document.tenants.guard;
    if let (GuardMode::Required, Some(at)) = (tenants.value, tenants.at) {
        report.error(at, "tenants.guard", message);
    }
    for (uid, named) in &document.named {
        if let Some(own) = named.guard.filter(|own| own.value == GuardMode::Required) {
            report.error(own.at, &format!("tenant[{uid}].guard"), message);
        }
    }
}
