//! `aistack status`: show what runs and where to open it.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use serde::Serialize;
use serde_json::{Value, json};

use crate::args::StatusArgs;
use crate::desired::{DesiredService, Stack};
use crate::engine::{Container, Usage};
use crate::error::CliError;
use crate::exit::Exit;
use crate::guard;
use crate::plan::{Action, Observed, State, diff, held};
use crate::run::{Context, Session};
use crate::selection::LeftOut;
use crate::stack::leftovers::{self, Leftover};
use crate::stack::{deployed_on, look, select};
use crate::ui::{Table, Tone, size, url};

/// One line of the table.
struct Row {
    service: String,
    wanted: bool,
    container: Option<Container>,
    ports: Vec<u16>,
    urls: Vec<String>,
    usage: Option<Usage>,
}

/// What is shown besides the table.
struct More {
    left_out: Vec<LeftOut>,
    /// How many services a deploy would touch.
    pending: usize,
    apart: Vec<Apart>,
    /// Why no container is there, where another Docker Engine has them.
    hidden: Option<String>,
    /// What runs on the tenant's data and is not a container of this Docker Engine.
    left_running: Vec<Leftover>,
}

/// A service whose container runs beside the stack, however healthy it says it is.
#[derive(Serialize)]
struct Apart {
    service: String,
    why: &'static str,
}

/// Services whose containers hold a network or a volume that is not the tenant's any more.
fn apart(stack: &Stack, observed: &Observed) -> Vec<Apart> {
    let parts = [
        (
            held::NETWORK,
            "it is not on your network, so nothing can reach it",
        ),
        (
            held::MOUNTS,
            "it uses another volume than the one at your base directory",
        ),
    ];
    let apart = parts.into_iter().flat_map(|(part, why)| {
        let services = held::of_another(stack, observed, part).into_iter();
        services.map(move |service| Apart {
            service: service.to_owned(),
            why,
        })
    });
    apart.collect()
}

pub(super) async fn run(context: &Context, args: &StatusArgs) -> Result<Exit, CliError> {
    let session = Session::open(context).await?;
    let mut containers = session.engine.list().await?;
    let stack = stack(context, &session, &containers)?;
    let mut observed = Observed::default();
    if let Some(stack) = &stack {
        let host;
        (containers, host) = look::around(&session.engine, &session.who, stack).await?;
        observed = Container::observed(&containers, host);
    }
    if containers.is_empty() && stack.is_none() {
        return Err(
            CliError::new(Exit::NotFound, "there is no stack here yet").next("aistack init")
        );
    }
    let mut rows = rows(stack.as_ref(), &containers);
    let names = rows.iter().map(|row| row.service.clone()).collect();
    let chosen = select(&args.services, &names)?;
    rows.retain(|row| chosen.contains(&row.service));
    if args.wide {
        measure(&session, &mut rows).await;
    }
    let left_out = stack.as_ref().map(|stack| stack.left_out.clone());
    let left_out = left_out.unwrap_or_default();
    let apart = stack.as_ref().map_or_else(Vec::new, |stack| {
        let mut apart = apart(stack, &observed);
        apart.retain(|apart| rows.iter().any(|row| row.service == apart.service));
        apart
    });
    let hidden = deployed_on::hidden(&session.engine, session.base_dir(), containers.len()).await;
    let left_running = match &stack {
        Some(stack) => leftovers::find(&session.engine, stack).await?,
        None => Vec::new(),
    };
    let pending = stack.map_or(0, |stack| {
        let plan = diff(&stack, &observed);
        // One that is starting is as the .env has it.
        let steps = plan.steps.iter();
        let changes = steps.filter(|step| !matches!(step.action, Action::Keep | Action::Wait));
        changes.count()
    });
    let more = More {
        left_out,
        pending,
        apart,
        hidden,
        left_running,
    };
    show(context, &session, &rows, &more, args.wide)?;
    let unwell = !more.apart.is_empty()
        || !more.left_running.is_empty()
        || rows
            .iter()
            .any(|row| row.wanted && row.state() != Some(State::Healthy));
    if containers.is_empty() {
        return Ok(Exit::NotFound);
    }
    Ok(if unwell { Exit::NotHealthy } else { Exit::Done })
}

/// The stack of the manifest; containers are shown also when the manifest has errors, or asks for
/// what the policy gives no more.
fn stack(
    context: &Context,
    session: &Session,
    containers: &[Container],
) -> Result<Option<Stack>, CliError> {
    match session.stack_on_disk(context) {
        Ok(stack) => Ok(Some(stack)),
        Err(failure) if failure.exit == Exit::NotFound => Ok(None),
        Err(failure)
            if matches!(failure.exit, Exit::Config | Exit::Policy) && !containers.is_empty() =>
        {
            context.printer.warn(&failure.what);
            for cause in &failure.causes {
                let rule = cause.rule.as_ref().map(|rule| format!(" [{rule}]"));
                let rule = rule.unwrap_or_default();
                context.printer.warn(&format!("{}{rule}", cause.text));
            }
            Ok(None)
        }
        Err(failure) => Err(failure),
    }
}

fn rows(stack: Option<&Stack>, containers: &[Container]) -> Vec<Row> {
    let mut left: BTreeMap<&str, &Container> = containers
        .iter()
        .map(|container| (container.service.as_str(), container))
        .collect();
    let services = stack.map(|stack| stack.services.as_slice());
    let mut rows: Vec<Row> = services
        .unwrap_or_default()
        .iter()
        .map(|service| wanted_row(service, left.remove(service.name.as_str()).cloned()))
        .collect();
    let without_stack = stack.is_none();
    rows.extend(left.into_values().map(|container| Row {
        service: container.service.clone(),
        wanted: without_stack,
        ports: container.ports.clone(),
        container: Some(container.clone()),
        urls: Vec::new(),
        usage: None,
    }));
    rows
}

fn wanted_row(service: &DesiredService, container: Option<Container>) -> Row {
    let endpoints = service.endpoints.iter();
    Row {
        service: service.name.clone(),
        wanted: true,
        ports: container
            .as_ref()
            .map(|container| container.ports.clone())
            .unwrap_or_default(),
        container,
        urls: endpoints
            .map(|endpoint| url(&endpoint.scheme, &endpoint.host, endpoint.port))
            .collect(),
        usage: None,
    }
}

async fn measure(session: &Session, rows: &mut [Row]) {
    let usages = rows.iter().map(|row| async {
        let container = row.container.as_ref()?;
        session.engine.usage(&container.id).await.ok()
    });
    let usages = join_all(usages).await;
    for (row, usage) in rows.iter_mut().zip(usages) {
        row.usage = usage;
    }
}

impl Row {
    fn state(&self) -> Option<State> {
        self.container
            .as_ref()
            .map(|container| container.plan_state)
    }

    /// Docker's word for the container, and what to think of it.
    fn state_word(&self) -> (&str, Tone) {
        match &self.container {
            None => ("absent", Tone::Bad),
            Some(_) if !self.wanted => ("unwanted", Tone::Notice),
            Some(container) if container.state == "running" => ("running", Tone::Good),
            Some(container) => (&container.state, Tone::Bad),
        }
    }

    fn health_word(&self) -> (&'static str, Tone) {
        match self.state() {
            Some(State::Healthy) => ("healthy", Tone::Good),
            Some(State::Starting) => ("starting", Tone::Notice),
            Some(State::Unhealthy) => ("UNHEALTHY", Tone::Bad),
            Some(State::Created | State::Stopped) | None => ("-", Tone::Faint),
        }
    }

    fn cells(&self, wide: bool) -> Vec<(String, Option<Tone>)> {
        let (state, state_tone) = self.state_word();
        let (health, health_tone) = self.health_word();
        let container = self.container.as_ref();
        let uptime = container.and_then(Container::uptime).unwrap_or("-");
        let ports: Vec<String> = self.ports.iter().map(u16::to_string).collect();
        let image = container.map_or("-", |container| &container.image);
        let mut cells = vec![
            (self.service.clone(), None),
            (state.to_owned(), Some(state_tone)),
            (health.to_owned(), Some(health_tone)),
            (uptime.to_owned(), None),
        ];
        if wide {
            let usage = self.usage.unwrap_or_default();
            let (memory, limit) = (size(usage.memory), size(usage.memory_limit));
            cells.push((format!("{:.1} %", usage.cpu_percent), None));
            cells.push((format!("{memory} / {limit}"), None));
        }
        cells.push((ports.join(","), None));
        cells.push((self.urls.first().cloned().unwrap_or_default(), None));
        cells.push((image.to_owned(), Some(Tone::Faint)));
        cells
    }

    fn json(&self) -> Value {
        let container = self.container.as_ref();
        json!({
            "service": self.service,
            "wanted": self.wanted,
            "state": self.state_word().0,
            "health": self.health_word().0.to_lowercase(),
            "uptime": container.and_then(Container::uptime),
            "ports": self.ports,
            "urls": self.urls,
            "image": container.map(|container| &container.image),
            "container": container.map(|container| &container.name),
            "id": container.map(|container| &container.id),
            "cpu_percent": self.usage.map(|usage| usage.cpu_percent),
            "memory_bytes": self.usage.map(|usage| usage.memory),
            "memory_limit_bytes": self.usage.map(|usage| usage.memory_limit),
        })
    }
}

fn show(
    context: &Context,
    session: &Session,
    rows: &[Row],
    more: &More,
    wide: bool,
) -> Result<(), CliError> {
    let printer = context.printer;
    let confinement = session.confinement();
    printer.document(json!({
        "tenant": session.grant.name,
        "services": rows.iter().map(Row::json).collect::<Vec<_>>(),
        "left_out": more.left_out,
        "pending_changes": more.pending,
        "apart": more.apart,
        "left_running": more.left_running,
        "apparmor_warning": confinement.warning(),
        "guard_warning": guard::warning(&session.who),
    }))?;
    let mut headings = vec!["SERVICE", "STATE", "HEALTH", "UPTIME"];
    if wide {
        headings.extend(["CPU", "MEMORY / LIMIT"]);
    }
    headings.extend(["PORT", "URL", "IMAGE"]);
    let mut table = Table::new(&headings);
    for row in rows {
        table.row(row.cells(wide));
    }
    printer.table(&table)?;
    if let Some(why) = &more.hidden {
        printer.note(why);
    }
    if !more.left_running.is_empty() {
        printer.warn(&leftovers::sentence(&more.left_running));
    }
    for apart in &more.apart {
        printer.warn(&format!("{}: {}: aistack deploy", apart.service, apart.why));
    }
    if more.pending > 0 {
        printer.note(&format!(
            "{} services differ from the .env: aistack plan",
            more.pending
        ));
    }
    for left in &more.left_out {
        printer.note(&left.to_string());
    }
    for warning in guard::warning(&session.who)
        .into_iter()
        .chain(confinement.warnings())
    {
        printer.warn(&warning);
    }
    Ok(())
}
