//! The `aistack` command: reads the command line, runs one verb, tells how it ended.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use aistack::args::{Cli, Command, Globals};
use aistack::error::CliError;
use aistack::exit::Exit;
use aistack::run::{Context, Pace};
use aistack::ui::Printer;
use aistack::verbs::{run, still_running};
use clap::error::ContextKind;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How long a deploy or restart may take when nothing else is said, on a machine that is not slow.
const CHANGE_TIMEOUT: Duration = Duration::from_mins(15);
/// How long the signal of a key may take to arrive.
const SAME_KEY: Duration = Duration::from_millis(100);
/// How long the look at what still runs may take after an interrupt.
const LAST_LOOK: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().collect();
    let cli = Cli::read(&arguments).unwrap_or_else(|error| wrong_usage(&error));
    let globals = &cli.globals;
    let printer = Printer::new(globals);
    // Questions and the live table ask this crate, which knows the environment and not the flags.
    dialoguer::console::set_colors_enabled_stderr(printer.err.is_on());
    let context = Context {
        globals: globals.clone(),
        printer,
        environment: std::env::vars_os()
            .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
            .collect(),
        pace: Pace::default(),
        force: false,
    };
    let ended = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::new(Exit::Failed, "cannot start").because(error.to_string()))
        .and_then(|runtime| {
            let ended = runtime.block_on(supervise(&context, cli.command.as_ref()));
            // A question that nobody answered any more must not keep the process.
            runtime.shutdown_background();
            ended
        });
    match ended {
        Ok(exit) => exit.into(),
        Err(failure) => {
            printer.error(&failure);
            failure.exit.into()
        }
    }
}

/// Ends the process as clap does; with `--json` there is a document too. `down` means "remove" to
/// some and "stop" to others, so there is no such verb, and whoever tries it sees what there is.
fn wrong_usage(error: &clap::Error) -> ! {
    drop(error.print());
    if error.use_stderr() && std::env::args_os().any(|argument| argument == "--json") {
        let text = error.to_string();
        let what = text.lines().next().unwrap_or_default();
        let what = what.trim_start_matches("error: ");
        let failure = CliError::new(Exit::Usage, what).next("aistack help");
        let globals = Globals {
            json: true,
            ..Globals::default()
        };
        Printer::new(&globals).error_document(&failure);
    }
    let down = error.get(ContextKind::InvalidSubcommand);
    if down.is_some_and(|name| name.to_string() == "down") {
        drop(writeln!(
            std::io::stderr(),
            "\n  `aistack destroy` removes the containers; your data stays"
        ));
    }
    std::process::exit(error.exit_code())
}

/// Runs the verb until it ends, its time runs out or a signal comes.
async fn supervise(context: &Context, command: Option<&Command>) -> Result<Exit, CliError> {
    let cannot = |error: std::io::Error| {
        CliError::new(Exit::Failed, "cannot listen for signals").because(error.to_string())
    };
    let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
    let given = context.globals.timeout.map(|span| span.0);
    let verb = async {
        let verb = Box::pin(run(context, command));
        match given {
            Some(limit) => tokio::time::timeout(limit, verb)
                .await
                .unwrap_or_else(|_| Err(timed_out(limit))),
            None if command.is_some_and(Command::waits_for_services) => {
                let ended = context.pace.within(CHANGE_TIMEOUT, verb).await;
                ended.unwrap_or_else(|limit| Err(timed_out(limit)))
            }
            None => verb.await,
        }
    };
    let exit = tokio::select! {
        ended = verb => match ended {
            Err(failure) if failure.exit == Exit::Interrupted => None,
            ended => return ended,
        },
        _ = interrupt.recv() => Some(Exit::Interrupted),
        _ = terminate.recv() => Some(Exit::Terminated),
    };
    if exit.is_none() {
        // A question reads Ctrl-C as a key and makes a signal of it, which is not a second one.
        drop(tokio::time::timeout(SAME_KEY, interrupt.recv()).await);
    }
    let exit = exit.unwrap_or(Exit::Interrupted);
    // The verb is dropped by now: nothing more is started.
    if command.is_some_and(Command::changes) {
        say_what_runs(context, &mut interrupt).await;
    }
    restore_cursor();
    // Breaking off is how a log is left, and what was printed of it is whole.
    if !matches!(command, Some(Command::Logs(_))) {
        let failure = CliError::new(exit, exit.meaning());
        context.printer.error_document(&failure);
    }
    Ok(exit)
}

/// Containers are left as they are; the user sees which run. A second interrupt ends at once.
async fn say_what_runs(context: &Context, interrupt: &mut Signal) {
    context
        .printer
        .say("\ninterrupted: containers are left as they are");
    tokio::select! {
        _ = interrupt.recv() => {}
        shown = tokio::time::timeout(LAST_LOOK, still_running(context)) => {
            if let Ok(Some(text)) = shown {
                context.printer.say(&text);
            }
            context.printer.say("next: run the same command again to continue");
        }
    }
}

/// A question may have hidden it.
fn restore_cursor() {
    if !std::io::stderr().is_terminal() {
        return;
    }
    drop(dialoguer::console::Term::stderr().show_cursor());
}

fn timed_out(limit: Duration) -> CliError {
    CliError::new(
        Exit::TimedOut,
        format!("not done within {}", aistack::ui::seconds(limit)),
    )
    .because("containers are left as they are")
    .next("aistack status; then run the same command again to continue")
}
