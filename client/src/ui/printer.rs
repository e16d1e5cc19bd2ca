//! The one place that writes to standard output and standard error.

use std::io::{self, IsTerminal, Write};

use aistack_policy::printable;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Paint, Table, Tone, clean, progress, safe};
use crate::args::{Globals, Mode};
use crate::error::{CliError, ServiceReport};
use crate::exit::Exit;
use crate::patience::Notify;

/// Version of every JSON document and event.
const SCHEMA: u32 = 1;

/// Where output goes and how it looks; made once, passed down.
#[derive(Debug, Clone, Copy)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one switch of the output"
)]
pub struct Printer {
    /// Data is one JSON document.
    pub json: bool,
    /// How progress is shown.
    pub progress: Mode,
    /// Colour of standard output.
    pub out: Paint,
    /// Colour of standard error.
    pub err: Paint,
    /// Say also what did not need to be done.
    pub verbose: bool,
    quiet: bool,
    /// Somebody looks at standard output.
    pub terminal: bool,
}

impl Printer {
    /// A printer for this process's own streams.
    #[must_use]
    pub fn new(globals: &Globals) -> Self {
        let colour = globals.colour();
        let quiet = globals.quiet;
        let variable = |name: &str| std::env::var(name).ok();
        let terminal = io::stderr().is_terminal();
        let dumb = variable("TERM").is_none_or(|term| term == "dumb");
        let automatic = match (quiet, terminal && !dumb) {
            (true, _) => Mode::Quiet,
            (false, true) => Mode::Tty,
            (false, false) => Mode::Plain,
        };
        Self {
            json: globals.json,
            verbose: globals.verbose > 0,
            progress: globals.progress.mode().unwrap_or(automatic),
            out: Paint::new(colour.wanted(io::stdout().is_terminal(), variable)),
            err: Paint::new(colour.wanted(terminal, variable)),
            quiet,
            terminal: io::stdout().is_terminal(),
        }
    }

    /// Data for people; nothing in JSON mode.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn data(&self, text: &str) -> io::Result<()> {
        if self.json {
            return Ok(());
        }
        self.raw(&safe(text))
    }

    /// A value that a program may read: to the byte, but on a terminal with what is not printable escaped.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn value(&self, text: &str) -> io::Result<()> {
        if self.json || self.terminal {
            return self.data(text);
        }
        self.raw(text)
    }

    /// Data in any mode, to the byte: of this program's own, or what was requested as it is.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn raw(&self, text: &str) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        stdout.flush()
    }

    /// A table as data for people.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn table(&self, table: &Table) -> io::Result<()> {
        self.data(&table.render(self.out))
    }

    /// The document of the command; nothing without `--json`. `document` is an object.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn document(&self, document: impl Serialize) -> io::Result<()> {
        if !self.json {
            return Ok(());
        }
        let text = serde_json::to_string_pretty(&with_schema(document)?)?;
        self.raw(&format!("{}\n", printable::lines(&text)))
    }

    /// A line for people about what happens; nothing with `--quiet`.
    pub fn note(&self, text: &str) {
        if self.progress == Mode::Json {
            self.event(json!({"event": "note", "text": text}));
        } else if !self.quiet {
            self.say(text);
        }
    }

    /// A line that also `--quiet` does not silence. Nobody reading it is not an error.
    pub fn say(&self, text: &str) {
        let mut stderr = io::stderr().lock();
        drop(writeln!(stderr, "{}", safe(text)));
    }

    /// A warning.
    pub fn warn(&self, text: &str) {
        if self.progress == Mode::Json {
            return self.event(json!({"event": "warning", "text": text}));
        }
        self.say(&format!(
            "{} {text}",
            self.err.paint(Tone::Notice, "warning:")
        ));
    }

    /// One event of `--progress json`, on standard error.
    pub fn event(&self, event: impl Serialize) {
        if let Ok(event) = with_schema(event) {
            self.say(&event.to_string());
        }
    }

    /// Prints an error: on standard error as text or as an event, with `--json` as the document
    /// too.
    pub fn error(&self, error: &CliError) {
        if error.what.is_empty() {
            return;
        }
        if self.progress == Mode::Json {
            self.event(json!({"event": "failed", "error": error.to_json()}));
        } else {
            self.error_text(error);
        }
        self.error_document(error);
    }

    /// An error as the document, with `--json` only. It is one line, so that `logs --json` keeps
    /// to one object a line.
    pub fn error_document(&self, error: &CliError) {
        if !self.json {
            return;
        }
        if let Ok(document) = with_schema(json!({"error": error.to_json()})) {
            // The exit code tells it too, so a closed pipe loses nothing.
            let document = document.to_string();
            drop(self.raw(&format!("{}\n", printable::one_line(&document))));
        }
    }

    fn error_text(self, error: &CliError) {
        for report in &error.reports {
            self.report(report);
        }
        let label = match error.exit {
            Exit::Policy => "refused:",
            _ => "error:",
        };
        let label = self.err.paint(Tone::Bad, label);
        self.say(&format!("{label} {}", clean(&error.what)));
        for cause in &error.causes {
            let rule = cause.rule.as_ref().map(|rule| format!(" [{rule}]"));
            let rule = rule.unwrap_or_default();
            self.say(&format!("  {}{rule}", clean(&cause.text)));
        }
        if let Some(next) = &error.next {
            self.say(&format!("  next: {}", clean(next)));
        }
    }

    /// Everything about a service that does not run.
    fn report(self, report: &ServiceReport) {
        let name = self.err.paint(Tone::Strong, &report.service);
        self.say(&format!(
            "{name} {} (container {})",
            self.err.paint(Tone::Bad, &clean(&report.problem)),
            report.container
        ));
        if let Some(probe) = &report.probe {
            self.say("  last health probe:");
            for line in probe.lines().take(10) {
                self.say(&format!("    {}", clean(line)));
            }
        }
        if !report.log.is_empty() {
            self.say(&format!("  last {} log lines:", report.log.len()));
            for line in &report.log {
                self.say(&format!("    {}", clean(line)));
            }
        }
        if let Some(cause) = &report.cause {
            self.say(&format!("  likely cause: {cause}"));
        }
        if let Some(now) = &report.now {
            self.say(&format!("  now: {}", clean(now)));
        }
    }
}

/// A live table makes room for it.
impl Notify for Printer {
    fn interject(&self, text: &str) {
        progress::make_room(|| self.note(text));
    }
}

/// Puts the schema's version first.
fn with_schema(document: impl Serialize) -> io::Result<Value> {
    let mut value = json!({"schema": SCHEMA});
    if let (Some(object), Value::Object(members)) =
        (value.as_object_mut(), serde_json::to_value(document)?)
    {
        object.extend(members);
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_document_has_the_schema() {
        let document = with_schema(json!({"services": []})).unwrap();
        assert_eq!(document, json!({"schema": 1, "services": []}));
    }
}
