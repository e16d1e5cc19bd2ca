//! `aistack exec` and `aistack shell`: a command in a service's container, as its own user.

use std::io::IsTerminal;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::args::{ExecArgs, ShellArgs};
use crate::engine::{Container, Joined};
use crate::error::CliError;
use crate::exit::Exit;
use crate::run::{Context, Session};
use crate::stack::select;
use crate::ui::terminal::{self, Raw};

/// Bash where there is one. Not every image has either.
const SHELL: &str = "command -v bash >/dev/null 2>&1 && exec bash; exec sh";

pub(super) async fn run(context: &Context, args: &ExecArgs) -> Result<Exit, CliError> {
    if args.user.is_some() {
        return Err(CliError::new(Exit::Usage, "--user is not supported")
            .because("every command in a container runs as the service's own user, which is you or your service UID")
            .next(format!("aistack exec {} -- COMMAND", args.service)));
    }
    let terminal =
        !args.no_tty && std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    join(context, &args.service, &args.command, terminal).await
}

pub(super) async fn shell(context: &Context, args: &ShellArgs) -> Result<Exit, CliError> {
    let command = ["sh", "-c", SHELL].map(str::to_owned);
    let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    join(context, &args.service, &command, terminal).await
}

async fn join(
    context: &Context,
    service: &str,
    command: &[String],
    terminal: bool,
) -> Result<Exit, CliError> {
    let session = Session::open(context).await?;
    let containers = session.engine.list().await?;
    let container = running(&containers, service)?;
    let size = terminal.then(terminal::size).flatten();
    let (sender, sizes) = mpsc::channel(1);
    let raw = if size.is_some() { Raw::enable() } else { None };
    let watcher = tokio::spawn(watch_size(sender));
    let joined = Joined { terminal: size };
    let code = session
        .engine
        .attach(&container.id, command, joined, sizes)
        .await;
    watcher.abort();
    drop(raw);
    Ok(Exit::Inner(u8::try_from(code?).unwrap_or(255)))
}

fn running<'a>(containers: &'a [Container], service: &str) -> Result<&'a Container, CliError> {
    let known = containers
        .iter()
        .map(|container| container.service.clone())
        .collect();
    select(&[service.to_owned()], &known)?;
    containers
        .iter()
        .find(|container| container.service == service && container.state == "running")
        .ok_or_else(|| {
            CliError::new(Exit::NotHealthy, format!("{service} does not run"))
                .next(format!("aistack start {service}"))
        })
}

/// Tells every new size of the terminal.
async fn watch_size(sender: mpsc::Sender<(u16, u16)>) {
    let Ok(mut changes) = signal(SignalKind::window_change()) else {
        return;
    };
    while changes.recv().await.is_some() {
        if let Some(size) = terminal::size()
            && sender.send(size).await.is_err()
        {
            return;
        }
    }
}
