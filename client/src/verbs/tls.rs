//! `aistack tls`: the certificates of the sites.

use std::fs;

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::args::{DeployArgs, RenewArgs, Switch, TlsArgs, TlsVerb};
use crate::desired::{OWN_ROOT, Stack};
use crate::engine::Container;
use crate::error::CliError;
use crate::exit::Exit;
use crate::run::lock::Lock;
use crate::run::{Context, Session, setup};
use crate::stack::apply::apply;
use crate::stack::report;
use crate::stack::tls::renew::{PROXY, Proxy, is_due};
use crate::stack::tls::sites::{self, Site, SiteState};
use crate::stack::tls::{Trust, own_root};
use crate::ui::{Progress, Table, Tone};

/// Key of the manifest that says where certificates come from.
const CADDY_TLS: &str = "CADDY_TLS";
/// Key of the manifest with the address of the authority.
const ACME_CA: &str = "CADDY_ACME_CA";
/// Let's Encrypt's directories (letsencrypt.org/docs/acme-protocol-updates and
/// letsencrypt.org/docs/staging-environment).
const PRODUCTION: &str = "https://acme-v02.api.letsencrypt.org/directory";
const STAGING: &str = "https://acme-staging-v02.api.letsencrypt.org/directory";

pub(super) async fn run(context: &Context, args: &TlsArgs) -> Result<Exit, CliError> {
    let session = Session::open(context).await?;
    match &args.verb {
        TlsVerb::Status => status(context, &session).await,
        TlsVerb::Renew(args) => renew(context, &session, args).await,
        TlsVerb::Staging(args) => staging(context, &session, args.switch).await,
        TlsVerb::Root => root(context, &session),
    }
}

async fn status(context: &Context, session: &Session) -> Result<Exit, CliError> {
    let stack = session.stack_on_disk(context)?;
    let sites = some_sites(&stack)?;
    let proxy = proxy(session).await?;
    let trust = Trust::open(stack.own_root.as_deref());
    let id = proxy.as_ref().map(|proxy| proxy.id.as_str());
    let states = sites::look_at_all(&trust, &sites, &session.engine, id).await;
    let ok = states.iter().all(|state| state.ok);
    let printer = context.printer;
    printer.document(json!({"ok": ok, "sites": states}))?;
    let mut table = Table::new(&["SITE", "STATE", "LEFT", "ENDS", "ISSUER"]);
    for state in &states {
        table.row(row(state));
    }
    printer.table(&table)?;
    if ok {
        return Ok(Exit::Done);
    }
    if printer.json {
        return Ok(Exit::NotHealthy);
    }
    let failure = not_right(&states, "not right");
    Err(match id {
        Some(_) => failure,
        None => failure
            .because(format!("{PROXY} does not run"))
            .next(format!("aistack logs {PROXY}; aistack deploy starts it")),
    })
}

fn row(state: &SiteState) -> [(String, Option<Tone>); 5] {
    let (word, tone) = if state.ok {
        ("ok", Tone::Good)
    } else {
        ("FAIL", Tone::Bad)
    };
    let cell = |text: Option<String>| (text.unwrap_or_else(|| "-".to_owned()), None);
    let served = state.certificate.as_ref();
    [
        (state.site.host.clone(), None),
        (word.to_owned(), Some(tone)),
        cell(served.map(crate::stack::tls::Served::left)),
        cell(served.map(|served| served.not_after.to_string())),
        cell(served.map(|served| served.issuer.clone())),
    ]
}

/// The failure that sites lead to, with what caddy said about each.
fn not_right(states: &[SiteState], what: &str) -> CliError {
    let failed: Vec<&SiteState> = states.iter().filter(|state| !state.ok).collect();
    let hosts: Vec<&str> = failed
        .iter()
        .map(|state| state.site.host.as_str())
        .collect();
    let what = format!("{what}: the certificate of {}", hosts.join(", "));
    let mut failure = CliError::new(Exit::NotHealthy, what);
    for state in failed {
        let problem = state.problem.as_deref().unwrap_or_default();
        failure = failure.because(format!("{}: {problem}", state.site.host));
        if let Some(log) = &state.log {
            failure = failure.because(format!("caddy said: {log}"));
        }
    }
    failure.next(format!("aistack logs -n 100 {PROXY}"))
}

fn some_sites(stack: &Stack) -> Result<Vec<Site>, CliError> {
    let sites = sites::of(stack);
    if sites.is_empty() {
        return Err(CliError::new(
            Exit::NotFound,
            "your stack has no site behind a proxy",
        ));
    }
    Ok(sites)
}

async fn proxy(session: &Session) -> Result<Option<Container>, CliError> {
    let containers = session.engine.list().await?;
    let mut running = containers.into_iter();
    Ok(running.find(|container| container.service == PROXY && container.state == "running"))
}

async fn renew(context: &Context, session: &Session, args: &RenewArgs) -> Result<Exit, CliError> {
    let stack = session.stack_on_disk(context)?;
    let sites = chosen(some_sites(&stack)?, &args.hosts)?;
    let container = proxy(session).await?.ok_or_else(|| {
        CliError::new(Exit::NotHealthy, format!("{PROXY} does not run")).next("aistack deploy")
    })?;
    let proxy = Proxy {
        engine: &session.engine,
        id: &container.id,
        base_dir: session.base_dir(),
    };
    let trust = Trust::open(stack.own_root.as_deref());
    let before = sites::look_at_all(&trust, &sites, &session.engine, None).await;
    let due = |state: &SiteState| args.force || is_due(state);
    if context.globals.dry_run {
        return dry_run(context, &before, due);
    }
    let wait = context.globals.lock_wait();
    let _lock = Lock::take(session.base_dir(), "aistack tls renew", wait).await?;
    let wanted: Vec<SiteState> = before.iter().filter(|state| due(state)).cloned().collect();
    let progress = Progress::new(context.printer);
    let not_reloaded = |why: String| {
        CliError::new(Exit::Failed, "the proxy failed")
            .because(why)
            .next(format!("aistack logs -n 100 {PROXY}"))
    };
    let after = if args.force {
        progress.note(&format!("requesting new certificates: {}", wanted.len()));
        if stack.own_root.is_none() {
            context
                .printer
                .warn("Let's Encrypt issues the same certificate at most five times in seven days");
        }
        proxy.replace(&trust, &wanted).await.map_err(not_reloaded)?
    } else {
        proxy.reload().await.map_err(not_reloaded)?;
        if wanted.is_empty() {
            Vec::new()
        } else {
            progress.note(&format!("certificates that are due: {}", wanted.len()));
            proxy.wait_for_new(&trust, &wanted).await
        }
    };
    describe(context, &before, &after)
}

fn chosen(sites: Vec<Site>, named: &[String]) -> Result<Vec<Site>, CliError> {
    let is = |site: &Site, name: &String| site.host == *name || site.service == *name;
    for name in named {
        if !sites.iter().any(|site| is(site, name)) {
            let hosts: Vec<&str> = sites.iter().map(|site| site.host.as_str()).collect();
            return Err(
                CliError::new(Exit::NotFound, format!("there is no site `{name}`"))
                    .because(format!("your sites: {}", hosts.join(", "))),
            );
        }
    }
    Ok(sites
        .into_iter()
        .filter(|site| named.is_empty() || named.iter().any(|name| is(site, name)))
        .collect())
}

fn dry_run(
    context: &Context,
    before: &[SiteState],
    due: impl Fn(&SiteState) -> bool,
) -> Result<Exit, CliError> {
    let hosts: Vec<&str> = before
        .iter()
        .filter(|state| due(state))
        .map(|state| state.site.host.as_str())
        .collect();
    context.printer.document(json!({"would_renew": hosts}))?;
    let list = match hosts.as_slice() {
        [] => "nothing: none is due".to_owned(),
        hosts => hosts.join(", "),
    };
    context.printer.data(&format!("would renew: {list}\n"))?;
    Ok(Exit::Done)
}

/// What became of each site: `after` has those that were to be renewed.
fn describe(
    context: &Context,
    before: &[SiteState],
    after: &[SiteState],
) -> Result<Exit, CliError> {
    let printer = context.printer;
    let mut documents = Vec::new();
    for old in before {
        let new = after.iter().find(|state| state.site == old.site);
        let (outcome, text) = match (new, &old.certificate) {
            (None, Some(served)) => ("not_due", format!("not due: {}", served.left())),
            (Some(new), _) if new.ok => ("renewed", renewed(old, new)),
            _ => ("failed", "FAILED".to_owned()),
        };
        printer.data(&format!("{}  {text}\n", old.site.host))?;
        documents.push(json!({
            "service": old.site.service, "host": old.site.host, "outcome": outcome,
            "before": old.certificate,
            "after": new.map_or(&old.certificate, |new| &new.certificate),
            "problem": new.and_then(|new| new.problem.as_ref()),
            "log": new.and_then(|new| new.log.as_ref()),
        }));
    }
    let ok = after.iter().all(|state| state.ok);
    printer.document(json!({"ok": ok, "sites": documents}))?;
    match (ok, printer.json) {
        (true, _) => Ok(Exit::Done),
        (false, true) => Ok(Exit::NotHealthy),
        (false, false) => Err(not_right(after, "not renewed")),
    }
}

fn renewed(old: &SiteState, new: &SiteState) -> String {
    let describe = |state: &SiteState| match &state.certificate {
        Some(served) => format!("{} until {}", served.serial, served.not_after),
        None => "none".to_owned(),
    };
    format!("renewed: {} (before: {})", describe(new), describe(old))
}

async fn staging(context: &Context, session: &Session, switch: Switch) -> Result<Exit, CliError> {
    let stack = session.stack_on_disk(context)?;
    if stack.own_root.is_some() {
        return Err(CliError::new(
            Exit::Config,
            "your sites have certificates of the proxy's own authority, not of Let's Encrypt",
        )
        .because(format!("{CADDY_TLS} is `internal`"))
        .next(format!("aistack init --set {CADDY_TLS}=YOU@EXAMPLE.COM")));
    }
    let directory = match switch {
        Switch::On => STAGING,
        Switch::Off => PRODUCTION,
    };
    if context.globals.dry_run {
        let printer = context.printer;
        printer.document(json!({"would_set": {ACME_CA: directory}, "would_deploy": [PROXY]}))?;
        printer.data(&format!(
            "would set {ACME_CA} to {directory} and deploy {PROXY}\n"
        ))?;
        return Ok(Exit::Done);
    }
    let overrides = [(ACME_CA.to_owned(), directory.to_owned())];
    let progress = Progress::new(context.printer);
    let command = "aistack tls staging";
    let ready = setup::prepare(context, session, &overrides, command, &progress).await?;
    if switch == Switch::On {
        context.printer.warn(
            "no browser trusts certificates of the test authority, so `aistack validate` fails until `aistack tls staging off`",
        );
    }
    let args = DeployArgs {
        services: vec![PROXY.to_owned()],
        skip_validate: switch == Switch::On,
        ..DeployArgs::default()
    };
    session.confinement().check()?;
    let tools = session.tools(context, &progress);
    let applied = apply(&tools, &ready.stack, ready.unconfined.as_deref(), &args).await?;
    report::applied(context.printer, &ready.stack, &applied, &progress)
}

fn root(context: &Context, session: &Session) -> Result<Exit, CliError> {
    let stack = session.stack_on_disk(context)?;
    let Some(path) = &stack.own_root else {
        return Err(CliError::new(
            Exit::NotFound,
            "your sites do not use an authority of your own",
        )
        .because(format!("{CADDY_TLS} is not `internal`")));
    };
    let der = own_root(path).map_err(|why| {
        CliError::new(
            Exit::NotFound,
            "your proxy has not created a root certificate yet",
        )
        .because(why)
        .next("aistack deploy")
    })?;
    let pem = fs::read_to_string(path).map_err(|error| CliError::io("read", path, &error))?;
    let digest: Vec<String> = Sha256::digest(&der)
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect();
    let digest = digest.join(":");
    context.printer.document(json!({
        "path": path, "below_base_dir": OWN_ROOT, "sha256": digest, "pem": pem,
    }))?;
    context.printer.data(&pem)?;
    context.printer.note(&format!(
        "from {}\nSHA-256 {digest}\nwhoever trusts it trusts every certificate that your proxy makes",
        path.display()
    ));
    Ok(Exit::Done)
}
