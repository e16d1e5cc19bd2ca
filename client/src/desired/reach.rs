//! Where a service is reached, and what `validate` asks it there.

use std::collections::BTreeMap;

use super::names::Scope;
use super::{Check, DesiredError, Endpoint, Request, Via, mistake};
use crate::catalog::{CheckEntry, StepEntry, Template};

/// Its own ports, and its host name behind the proxy.
pub(super) fn endpoints(scope: Scope<'_>) -> Result<Vec<Endpoint>, DesiredError> {
    let Scope { world, entry, .. } = scope;
    let mut endpoints = Vec::new();
    for port in &entry.ports {
        endpoints.push(Endpoint {
            scheme: port.scheme.clone(),
            host: world.setting("LOCALHOST")?.to_owned(),
            port: world.port(&port.key)?,
            proxied: false,
        });
    }
    if entry.site.is_some()
        && let Some(proxy) = world.proxy("https")
    {
        endpoints.push(Endpoint {
            scheme: "https".to_owned(),
            host: scope.public_host(entry)?,
            port: world.port(&proxy.key)?,
            proxied: true,
        });
    }
    Ok(endpoints)
}

/// Its own checks, and for a service with a site one through the proxy.
pub(super) fn checks(scope: Scope<'_>) -> Result<Vec<Check>, DesiredError> {
    let mut checks = Vec::new();
    let without_proxy = scope.world.proxy("https").is_none();
    for asked in &scope.entry.checks {
        let through_proxy = matches!(asked, CheckEntry::Http { port: None, .. });
        let asked_now = asked
            .when()
            .is_none_or(|when| super::holds(when, scope.world.settings));
        if asked_now && !(through_proxy && without_proxy) {
            checks.push(check(scope, asked)?);
        }
    }
    if let Some(site) = &scope.entry.site
        && let Some(via) = through_proxy(scope)?
    {
        let host = scope.public_host(scope.entry)?;
        checks.push(Check::Http {
            title: format!("answers through the proxy as {host}"),
            via,
            steps: vec![get(&site.check)],
        });
    }
    Ok(checks)
}

fn check(scope: Scope<'_>, asked: &CheckEntry) -> Result<Check, DesiredError> {
    Ok(match asked {
        CheckEntry::Http {
            title, port, steps, ..
        } => Check::Http {
            title: title.clone(),
            via: match port {
                Some(key) => Via::Port(scope.world.port(key)?),
                None => through_proxy(scope)?
                    .ok_or_else(|| mistake("site", "there is no proxy that speaks https"))?,
            },
            steps: steps
                .iter()
                .map(|step| request(scope, step))
                .collect::<Result<_, _>>()?,
        },
        CheckEntry::Exec {
            title,
            command,
            stdin,
            expect,
            ..
        } => Check::Exec {
            title: title.clone(),
            command: scope.render_all(command)?,
            stdin: match stdin {
                Some(stdin) => scope.render(stdin)?,
                None => String::new(),
            },
            expect: expect.clone(),
        },
    })
}

fn request(scope: Scope<'_>, step: &StepEntry) -> Result<Request, DesiredError> {
    let optional = |template: &Option<Template>| match template {
        Some(template) => scope.render(template).map(Some),
        None => Ok(None),
    };
    let headers = step
        .headers
        .iter()
        .map(|(name, value)| Ok((name.clone(), scope.render(value)?)));
    Ok(Request {
        method: step.method.clone().unwrap_or_else(|| "GET".to_owned()),
        path: scope.render(&step.path)?,
        headers: headers.collect::<Result<_, _>>()?,
        body: optional(&step.body)?.unwrap_or_default(),
        expect: match step.expect.as_slice() {
            [] => vec![200],
            statuses => statuses.to_vec(),
        },
        contains: optional(&step.contains)?,
        capture: step.capture.clone(),
        always: step.always,
        within: step.within.map(|span| span.0),
        s3: match &step.s3 {
            Some(keys) => Some((
                scope.render(&keys.access_key)?,
                scope.render(&keys.secret_key)?,
            )),
            None => None,
        },
    })
}

fn get(path: &str) -> Request {
    Request {
        method: "GET".to_owned(),
        path: path.to_owned(),
        headers: Vec::new(),
        body: String::new(),
        expect: vec![200],
        contains: None,
        capture: BTreeMap::new(),
        always: false,
        within: None,
        s3: None,
    }
}

/// The service's site, where there is a proxy that speaks https.
fn through_proxy(scope: Scope<'_>) -> Result<Option<Via>, DesiredError> {
    let Some(proxy) = scope.world.proxy("https") else {
        return Ok(None);
    };
    Ok(Some(Via::Site {
        host: scope.public_host(scope.entry)?,
        port: scope.world.port(&proxy.key)?,
    }))
}
