//! `aistack logs`: what the services write, together and in the order of time.

use aistack_policy::printable;
use futures_util::stream::SelectAll;
use futures_util::{Stream, StreamExt};
use jiff::Timestamp;
use regex::Regex;
use serde_json::json;

use crate::args::LogsArgs;
use crate::engine::{Container, Engine, EngineError, LogLine, LogQuery};
use crate::error::CliError;
use crate::exit::Exit;
use crate::run::Context;
use crate::stack::select;
use crate::ui::{Tone, clean, parse_moment, plain};

pub(super) async fn run(context: &Context, args: &LogsArgs) -> Result<Exit, CliError> {
    let query = query(args)?;
    let wanted = wanted(args)?;
    let engine = context.engine()?;
    let mut containers = engine.list().await?;
    if containers.is_empty() {
        return Err(CliError::new(Exit::NotFound, "there is no stack here").next("aistack deploy"));
    }
    containers.sort_by(|left, right| left.service.cmp(&right.service));
    let known = containers
        .iter()
        .map(|container| container.service.clone())
        .collect();
    let chosen = select(&args.services, &known)?;
    containers.retain(|container| chosen.contains(&container.service));
    let shape = Shape::new(context, args, wanted, &containers);
    if args.follow {
        follow(&engine, &containers, &query, &shape).await
    } else {
        collect(&engine, &containers, &query, &shape).await
    }
}

fn query(args: &LogsArgs) -> Result<LogQuery, CliError> {
    let now = Timestamp::now();
    let moment = |text: &Option<String>| {
        text.as_deref()
            .map(|text| parse_moment(text, now))
            .transpose()
            .map_err(|problem| CliError::new(Exit::Usage, problem))
    };
    Ok(LogQuery {
        follow: args.follow,
        tail: args.tail,
        since: moment(&args.since)?,
        until: moment(&args.until)?,
    })
}

/// The expression of `--grep`; one that takes long to match does not exist for this crate.
fn wanted(args: &LogsArgs) -> Result<Option<Regex>, CliError> {
    let wanted = args.grep.as_deref().map(Regex::new).transpose();
    wanted.map_err(|error| {
        let failure = CliError::new(Exit::Usage, "--grep is not a regular expression");
        error.to_string().lines().fold(failure, CliError::because)
    })
}

/// Which lines are shown, and how.
struct Shape<'a> {
    context: &'a Context,
    args: &'a LogsArgs,
    wanted: Option<Regex>,
    names: Vec<String>,
    width: usize,
}

impl<'a> Shape<'a> {
    fn new(
        context: &'a Context,
        args: &'a LogsArgs,
        wanted: Option<Regex>,
        containers: &[Container],
    ) -> Self {
        let names: Vec<String> = containers
            .iter()
            .map(|container| container.service.clone())
            .collect();
        let width = names.iter().map(String::len).max().unwrap_or_default();
        Self {
            context,
            args,
            wanted,
            names,
            width,
        }
    }

    /// The tenant's own bytes, with what a terminal would obey made visible.
    fn text(&self, line: &LogLine) -> String {
        let printer = self.context.printer;
        if self.args.raw {
            line.text.clone()
        } else if printer.terminal && !printer.json {
            clean(&line.text)
        } else {
            plain(&line.text)
        }
    }

    fn show(&self, source: usize, line: &LogLine) -> Result<(), CliError> {
        let text = self.text(line);
        if self
            .wanted
            .as_ref()
            .is_some_and(|wanted| !wanted.is_match(&text))
        {
            return Ok(());
        }
        let name = self.names.get(source).map_or("", String::as_str);
        let printer = self.context.printer;
        if printer.json {
            let entry = json!({
                "schema": 1, "service": name, "time": line.time,
                "stream": if line.stderr { "stderr" } else { "stdout" }, "text": text,
            });
            printer.raw(&format!("{}\n", printable::one_line(&entry.to_string())))?;
            return Ok(());
        }
        let mut shown = String::new();
        if !self.args.no_log_prefix {
            let prefix = format!("{name:<width$} |", width = self.width);
            shown.push_str(&printer.out.paint(Tone::Source(source), &prefix));
            shown.push(' ');
        }
        if self.args.timestamps {
            shown.push_str(&line.time);
            shown.push(' ');
        }
        shown.push_str(&text);
        shown.push('\n');
        printer.raw(&shown)?;
        Ok(())
    }
}

type Tagged = (usize, Result<LogLine, EngineError>);

fn streams<'a>(
    engine: &'a Engine,
    containers: &'a [Container],
    query: &'a LogQuery,
) -> impl Iterator<Item = impl Stream<Item = Tagged> + use<'a>> + use<'a> {
    containers
        .iter()
        .enumerate()
        .map(move |(source, container)| {
            let lines = engine.logs(&container.id, query);
            lines.map(move |line| (source, line))
        })
}

/// Lines as they come.
async fn follow(
    engine: &Engine,
    containers: &[Container],
    query: &LogQuery,
    shape: &Shape<'_>,
) -> Result<Exit, CliError> {
    let mut all: SelectAll<_> = streams(engine, containers, query)
        .map(StreamExt::boxed_local)
        .collect();
    while let Some((source, line)) = all.next().await {
        shape.show(source, &line?)?;
    }
    Ok(Exit::Done)
}

/// All lines that there are, in the order of time: Docker's times sort as text.
async fn collect(
    engine: &Engine,
    containers: &[Container],
    query: &LogQuery,
    shape: &Shape<'_>,
) -> Result<Exit, CliError> {
    let mut lines: Vec<(usize, LogLine)> = Vec::new();
    let mut all: SelectAll<_> = streams(engine, containers, query)
        .map(StreamExt::boxed_local)
        .collect();
    while let Some((source, line)) = all.next().await {
        lines.push((source, line?));
    }
    lines.sort_by(|left, right| left.1.time.cmp(&right.1.time));
    for (source, line) in &lines {
        shape.show(*source, line)?;
    }
    Ok(Exit::Done)
}
