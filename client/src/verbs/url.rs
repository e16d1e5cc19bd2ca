//! `aistack url` and `aistack open`: where a service is.

use std::io::IsTerminal;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::args::{OpenArgs, UrlArgs};
use crate::desired::{DesiredService, Stack};
use crate::error::CliError;
use crate::exit::Exit;
use crate::run::{Context, Session};
use crate::stack::select;
use crate::ui;

/// What opens an address on a desktop (xdg-utils).
const OPENER: &str = "xdg-open";

pub(super) async fn run(context: &Context, args: &UrlArgs) -> Result<Exit, CliError> {
    let session = Session::open(context).await?;
    let stack = session.stack_on_disk(context)?;
    let chosen = select(&args.services, &stack.names())?;
    let mut lines = Vec::new();
    let mut documents = Vec::new();
    for service in &stack.services {
        if !chosen.contains(&service.name) {
            continue;
        }
        let urls = if args.internal {
            internal(&session, service)
        } else {
            public(service)
        };
        documents.push(json!({"service": service.name, "urls": urls}));
        lines.extend(urls.into_iter().map(|url| (service.name.clone(), url)));
    }
    context.printer.document(json!({"services": documents}))?;
    for (name, url) in lines {
        // One named service: the addresses alone, for scripts.
        let line = if args.services.len() == 1 {
            format!("{url}\n")
        } else {
            format!("{name:<16} {url}\n")
        };
        context.printer.data(&line)?;
    }
    Ok(Exit::Done)
}

pub(super) async fn open(context: &Context, args: &OpenArgs) -> Result<Exit, CliError> {
    let session = Session::open(context).await?;
    let stack = session.stack_on_disk(context)?;
    select(std::slice::from_ref(&args.service), &stack.names())?;
    let url = address(&stack, &args.service).ok_or_else(|| {
        CliError::new(Exit::NotFound, format!("{} has no page", args.service))
            .next(format!("aistack url {}", args.service))
    })?;
    let display = ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| {
        context
            .environment
            .get(*name)
            .is_some_and(|value| !value.is_empty())
    });
    let opened = display
        && std::io::stdout().is_terminal()
        && Command::new(OPENER)
            .arg(&url)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .is_ok();
    context
        .printer
        .document(json!({"service": args.service, "url": url, "opened": opened}))?;
    context.printer.data(&format!("{url}\n"))?;
    if !opened {
        context
            .printer
            .note("no desktop here: open this address in your browser");
    }
    Ok(Exit::Done)
}

/// The page of a service: its site, or its own port where that speaks HTTP.
fn address(stack: &Stack, name: &str) -> Option<String> {
    let service = stack.services.iter().find(|service| service.name == name)?;
    public(service)
        .into_iter()
        .find(|url| url.starts_with("https://") || url.starts_with("http://"))
}

/// Sites first.
fn public(service: &DesiredService) -> Vec<String> {
    let mut endpoints: Vec<_> = service.endpoints.iter().collect();
    endpoints.sort_by_key(|endpoint| !endpoint.proxied);
    endpoints
        .into_iter()
        .map(|endpoint| ui::url(&endpoint.scheme, &endpoint.host, endpoint.port))
        .collect()
}

/// By the names of the tenant's network.
fn internal(session: &Session, service: &DesiredService) -> Vec<String> {
    let Some(entry) = session.catalog.get(&service.name) else {
        return Vec::new();
    };
    let host = entry.network_of.as_deref().unwrap_or(&service.name);
    entry
        .ports
        .iter()
        .map(|port| ui::url(&port.scheme, host, port.container))
        .collect()
}
