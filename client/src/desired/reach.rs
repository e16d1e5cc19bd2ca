//! Where a service is reached, and what `validate` asks it there.

use std::collections::BTreeMap;

use super::names::Scope;
use super::{Check, DesiredError, Endpoint, Request, Via, invalid};
use crate::catalog::{CheckEntry, StepEntry, Template};

/// Its own ports, and its host name behind the proxy.
pub(super) fn endpoints(scope: Scope<'_>) -> Result<Vec<Endpoint>, DesiredError> {
    let Scope { inputs, entry, .. } = scope;
    let mut endpoints = Vec::new();
    for port in &entry.ports {
        endpoints.push(Endpoint {
            scheme: port.scheme.clone(),
            host: inputs.setting("LOCALHOST")?.to_owned(),
            port: inputs.port(&port.key)?,
            published: inputs.port(&port.key)?,
            proxied: false,
        });
    }
    if entry.site.is_some()
        && let Some(proxy) = inputs.proxy("https")
    {
        endpoints.push(Endpoint {
            scheme: "https".to_owned(),
            host: scope.public_host(entry)?,
            port: u16::try_from(inputs.public_port(proxy)?)
                .map_err(|_| invalid("DOMAIN_NAME", "the front door has no port number"))?,
            published: inputs.port(&proxy.key)?,
            proxied: true,
        });
    }
    Ok(endpoints)
}

/// Its own checks, and for a service with a site one through the proxy.
pub(super) fn checks(scope: Scope<'_>) -> Result<Vec<Check>, DesiredError> {
    let mut checks = Vec::new();
    for check_entry in &scope.entry.checks {
        let applies = check_entry
            .when()
            .is_none_or(|when| super::holds(when, scope.inputs.settings));
        if applies && let Some(check) = check(scope, check_entry)? {
            checks.push(check);
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

/// None when the stack has no way to what it asks.
fn check(scope: Scope<'_>, check_entry: &CheckEntry) -> Result<Option<Check>, DesiredError> {
    Ok(Some(match check_entry {
        CheckEntry::Http {
            title, port, steps, ..
        } => {
            let via = match port {
                Some(key) => Some(Via::Port(scope.inputs.port(key)?)),
                None => site_or_its_port(scope)?,
            };
            let Some(via) = via else {
                return Ok(None);
            };
            Check::Http {
                title: title.clone(),
                via,
                steps: steps
                    .iter()
                    .map(|step| request(scope, step))
                    .collect::<Result<_, _>>()?,
            }
        }
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
    }))
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
        within: step
            .within
            .map(|span| scope.inputs.time_scale.stretch(span.0)),
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

/// The service's site; in a stack without a proxy the port that the site stands before, where it is
/// published.
fn site_or_its_port(scope: Scope<'_>) -> Result<Option<Via>, DesiredError> {
    if let Some(via) = through_proxy(scope)? {
        return Ok(Some(via));
    }
    let Scope { inputs, entry, .. } = scope;
    let Some(site) = &entry.site else {
        return Ok(None);
    };
    let mut published = inputs.catalog.published(entry);
    match published.find(|port| port.container == site.port) {
        Some(port) => Ok(Some(Via::Port(inputs.port(&port.key)?))),
        None => Ok(None),
    }
}

/// The service's site, where there is a proxy that speaks https.
fn through_proxy(scope: Scope<'_>) -> Result<Option<Via>, DesiredError> {
    let Some(proxy) = scope.inputs.proxy("https") else {
        return Ok(None);
    };
    Ok(Some(Via::Site {
        host: scope.public_host(scope.entry)?,
        port: scope.inputs.port(&proxy.key)?,
    }))
}
