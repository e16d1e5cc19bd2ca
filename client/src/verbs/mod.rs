//! One verb, one file. [`args`] holds what the command line may say.

pub mod args;

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
mod refresh;
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

use std::collections::BTreeSet;

use crate::desired::Stack;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::nearest::nearest;
use crate::run::Context;
use args::{Command, Globals};
pub(crate) use version::CLIENT as CLIENT_VERSION;

/// Runs one verb, or tells where things stand when there is none.
///
/// # Errors
/// Whatever kept the verb from what it was asked for.
pub async fn run(context: &Context, command: Option<&Command>) -> Result<Exit, Failure> {
    match command {
        None => overview::run(context).await,
        Some(Command::Init(args)) => init::run(context, args).await,
        Some(Command::Whoami) => whoami::run(context).await,
        Some(Command::Doctor) => doctor::run(context).await,
        Some(Command::Plan(args)) => plan::run(context, args).await,
        Some(Command::Deploy(args)) => deploy::run(context, args).await,
        Some(Command::Status(args)) => status::run(context, args).await,
        Some(Command::Logs(args)) => logs::run(context, args).await,
        Some(Command::Add(args)) => add::run(context, args).await,
        Some(Command::Remove(args)) => remove::run(context, args).await,
        Some(Command::Catalog(args)) => catalog::run(context, args).await,
        Some(Command::Start(args)) => start::start(context, args).await,
        Some(Command::Stop(args)) => start::stop(context, args).await,
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
        count => format!("{count} services still run: {}", running.join(", ")),
    })
}

/// The chosen services, all when none is named.
///
/// # Errors
/// [`Exit::NotFound`] with the nearest name.
fn select(named: &[String], known: &BTreeSet<String>) -> Result<BTreeSet<String>, Failure> {
    if named.is_empty() {
        return Ok(known.clone());
    }
    for name in named {
        if !known.contains(name) {
            let list = known.iter().map(String::as_str).collect::<Vec<_>>();
            let mut failure = Failure::new(Exit::NotFound, format!("there is no service `{name}`"))
                .because(format!("your services: {}", list.join(", ")));
            if let Some(near) = nearest(name, list.iter().copied()) {
                failure = failure.next(format!("did you mean `{near}`?"));
            }
            return Err(failure);
        }
    }
    Ok(named.iter().cloned().collect())
}

/// Names of a stack's services.
fn service_names(stack: &Stack) -> BTreeSet<String> {
    let names = stack.services.iter().map(|service| service.name.clone());
    names.collect()
}

/// How long a run waits for the lock.
pub(crate) fn lock_wait(globals: &Globals) -> std::time::Duration {
    globals.lock_wait.map(|span| span.0).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> BTreeSet<String> {
        ["n8n", "postgres", "prometheus"].map(str::to_owned).into()
    }

    #[test]
    fn none_named_means_all_and_a_mistyped_name_is_answered_with_the_nearest() {
        assert_eq!(select(&[], &known()).unwrap(), known());
        let chosen = select(&["n8n".to_owned()], &known()).unwrap();
        assert_eq!(chosen.len(), 1);
        let failure = select(&["postgre".to_owned()], &known()).unwrap_err();
        assert_eq!(failure.exit, Exit::NotFound);
        assert_eq!(failure.next.as_deref(), Some("did you mean `postgres`?"));
        let failure = select(&["zzzz".to_owned()], &known()).unwrap_err();
        assert_eq!(failure.next, None);
    }
}
