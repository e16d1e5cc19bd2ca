//! One verb, one file. [`crate::args`] holds what the command line may say.

mod add;
mod apparmor;
mod catalog;
mod chown;
mod completion;
mod config;
mod deploy;
mod destroy;
mod doctor;
mod exec;
mod help;
mod images;
mod init;
mod lock;
mod logs;
mod man;
mod overview;
mod plan;
mod remove;
mod restart;
mod secrets;
mod start;
mod status;
mod tls;
mod url;
mod validate;
mod version;
mod volume;
mod whoami;

use crate::args::Command;
use crate::error::CliError;
use crate::exit::Exit;
use crate::run::Context;

/// Runs one verb, or tells where things stand when there is none.
///
/// # Errors
/// Whatever kept the verb from what was requested.
pub async fn run(context: &Context, command: Option<&Command>) -> Result<Exit, CliError> {
    match command {
        None => overview::run(context).await,
        Some(Command::Init(args)) => init::run(context, args).await,
        Some(Command::Whoami) => whoami::run(context).await,
        Some(Command::Doctor) => Box::pin(doctor::run(context)).await,
        Some(Command::Plan(args)) => plan::run(context, args).await,
        Some(Command::Deploy(args)) => deploy::run(context, args).await,
        Some(Command::Status(args)) => status::run(context, args).await,
        Some(Command::Logs(args)) => logs::run(context, args).await,
        Some(Command::Add(args)) => add::run(context, args).await,
        Some(Command::Remove(args)) => remove::run(context, args).await,
        Some(Command::Catalog(args)) => catalog::run(context, args).await,
        Some(Command::Start(args)) => start::start(context, args).await,
        Some(Command::Stop(args)) => start::stop(context, args).await,
        // A large future that few runs need.
        Some(Command::Restart(args)) => Box::pin(restart::run(context, args)).await,
        Some(Command::Exec(args)) => exec::run(context, args).await,
        Some(Command::Shell(args)) => exec::shell(context, args).await,
        Some(Command::Url(args)) => url::run(context, args).await,
        Some(Command::Open(args)) => url::open(context, args).await,
        Some(Command::Config(args)) => config::run(context, args).await,
        Some(Command::Secrets(args)) => secrets::run(context, args).await,
        Some(Command::Images(args)) => images::run(context, args).await,
        Some(Command::Lock(args)) => lock::run(context, args).await,
        Some(Command::Validate(args)) => validate::run(context, args).await,
        Some(Command::Tls(args)) => tls::run(context, args).await,
        Some(Command::Destroy(args)) => destroy::run(context, args).await,
        Some(Command::Volume(args)) => volume::run(context, args).await,
        Some(Command::Chown(args)) => chown::run(context, args).await,
        Some(Command::AppArmor(args)) => apparmor::run(context, args).await,
        Some(Command::Completion(args)) => completion::run(context, args),
        Some(Command::Man(args)) => man::run(context, args),
        Some(Command::Version) => version::run(context).await,
        Some(Command::Help(args)) => help::run(context, args),
    }
}

/// What still runs, for a user who broke off.
pub async fn still_running(context: &Context) -> Option<String> {
    let containers = context.engine().ok()?.list().await.ok()?;
    let running: Vec<String> = containers
        .iter()
        .filter(|container| container.state == "running")
        .map(|container| container.service.clone())
        .collect();
    Some(match running.len() {
        0 => "none of your services runs".to_owned(),
        count => format!("{count} services still running: {}", running.join(", ")),
    })
}
