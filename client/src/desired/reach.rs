//! Where a service is reached, and what `validate` asks it there.

use super::names::Scope;
use super::{Check, DesiredError, Endpoint};
use crate::catalog::{CheckEntry, Site};

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
        && let Some(key) = world.catalog.proxy_port("https")
    {
        endpoints.push(Endpoint {
            scheme: "https".to_owned(),
            host: scope.public_host(entry)?,
            port: world.port(key)?,
            proxied: true,
        });
    }
    Ok(endpoints)
}

/// Its own checks, and for a service with a site one through the proxy.
pub(super) fn checks(scope: Scope<'_>) -> Result<Vec<Check>, DesiredError> {
    let asked = scope.entry.checks.iter();
    let mut checks: Vec<Check> = asked
        .map(|asked| check(scope, asked))
        .collect::<Result<_, _>>()?;
    if let Some(site) = &scope.entry.site
        && let Some(key) = scope.world.catalog.proxy_port("http")
    {
        checks.push(through_proxy(scope, site, key)?);
    }
    Ok(checks)
}

fn check(scope: Scope<'_>, asked: &CheckEntry) -> Result<Check, DesiredError> {
    Ok(match asked {
        CheckEntry::Http {
            title,
            port,
            path,
            header,
            expect,
        } => Check::Http {
            title: title.clone(),
            port: scope.world.port(port)?,
            host: None,
            path: path.clone(),
            header: match header {
                Some((name, value)) => Some((name.clone(), scope.render(value)?)),
                None => None,
            },
            expect: expect.clone(),
        },
        CheckEntry::Exec {
            title,
            command,
            stdin,
            expect,
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

fn through_proxy(scope: Scope<'_>, site: &Site, key: &str) -> Result<Check, DesiredError> {
    let host = scope.public_host(scope.entry)?;
    Ok(Check::Http {
        title: format!("answers through the proxy as {host}"),
        port: scope.world.port(key)?,
        host: Some(host),
        path: site.check.clone(),
        header: None,
        expect: vec![200],
    })
}
