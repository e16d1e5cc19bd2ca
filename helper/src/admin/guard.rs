//! `aistack-helper guard render|apply|status|off`: the network guard, for its unit and for the admin.
//!
//! The exit status is 0 when the kernel has what the policy wants, 1 when not.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::daemon::error_chain;
use crate::guard::{self, Applied, Nft, STATE_FILE, State, Status};
use crate::policy_store::{LoadedPolicy, PolicyStore, PolicyStoreError};

/// Shows, applies, compares or removes the table.
#[derive(Debug, Clone, Subcommand)]
pub enum GuardCommand {
    /// Write the table that the policy wants, as nft(8) reads it, to standard output; changes nothing.
    Render(GuardArgs),
    /// Give the table to the kernel in one transaction, and look at what the kernel has then.
    Apply(GuardArgs),
    /// Compare what the kernel has with what the policy wants; exit status 1 when they differ.
    Status(GuardArgs),
    /// Remove the table from the kernel; its unit puts it back at the next start or reload.
    Off(GuardArgs),
}

/// Arguments of each of them.
#[derive(Debug, Clone, Args)]
pub struct GuardArgs {
    /// The policy file; it and every directory above it must be root's alone.
    #[arg(long, value_name = "FILE", default_value = "/etc/aistack/policy.toml")]
    pub policy: PathBuf,
    /// Where what was applied is written down for `status` and the daemons.
    #[arg(long, value_name = "FILE", default_value = STATE_FILE)]
    pub state: PathBuf,
    /// Answers with one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum GuardCommandError {
    /// The policy file was not taken.
    #[error(transparent)]
    Policy(#[from] PolicyStoreError),
    /// Standard output is closed.
    #[error("cannot write the answer")]
    Io(#[from] io::Error),
}

/// Runs the command and returns its exit status.
///
/// # Errors
/// When the policy cannot be read, or the answer cannot be written.
pub fn run(command: &GuardCommand, out: &mut impl Write) -> Result<u8, GuardCommandError> {
    match command {
        GuardCommand::Render(args) => render(args, out),
        GuardCommand::Apply(args) => apply(args, out),
        GuardCommand::Status(args) => status(args, out),
        GuardCommand::Off(args) => off(args, out),
    }
}

fn render(args: &GuardArgs, out: &mut impl Write) -> Result<u8, GuardCommandError> {
    let loaded = load(args)?;
    let table = guard::table(&loaded.policy, &guard::of_host());
    if args.json {
        writeln!(
            out,
            "{}",
            json!({"enabled": table.is_some(), "table": table})
        )?;
    } else if let Some(table) = table {
        out.write_all(table.as_bytes())?;
    } else {
        writeln!(out, "# the policy says [guard] enabled = false")?;
    }
    Ok(0)
}

fn apply(args: &GuardArgs, out: &mut impl Write) -> Result<u8, GuardCommandError> {
    let loaded = load(args)?;
    let (nft, state) = (Nft::default(), State::at(&args.state));
    let done = guard::apply(&loaded.policy, &guard::of_host(), &nft, &state);
    let (word, text) = match &done {
        Ok(Applied::InForce) => ("in-force", "the network guard is in force".to_owned()),
        Ok(Applied::Off(true)) => (
            "off",
            "the policy disables the network guard; the table was removed".to_owned(),
        ),
        Ok(Applied::Off(false)) => ("off", "the policy disables the network guard".to_owned()),
        Err(error) => (
            "failed",
            format!("the network guard was not applied: {}", error_chain(error)),
        ),
    };
    let more = json!({"tenants": count(&loaded)});
    answer(args, out, word, &text, more)?;
    Ok(u8::from(done.is_err()))
}

fn status(args: &GuardArgs, out: &mut impl Write) -> Result<u8, GuardCommandError> {
    let loaded = load(args)?;
    let (nft, state) = (Nft::default(), State::at(&args.state));
    let found = guard::status(&loaded.policy, &guard::of_host(), &nft, &state);
    let text = match &found {
        Ok(status) => sentence(*status).to_owned(),
        Err(error) => format!("the network guard is not in force: {}", error_chain(error)),
    };
    let word = found.as_ref().map_or("unknown", |status| status.word());
    answer(args, out, word, &text, json!({"tenants": count(&loaded)}))?;
    Ok(u8::from(!found.is_ok_and(Status::is_right)))
}

fn off(args: &GuardArgs, out: &mut impl Write) -> Result<u8, GuardCommandError> {
    let done = guard::off(&Nft::default(), &State::at(&args.state));
    let (word, text) = match &done {
        Ok(true) => (
            "off",
            "the network guard was removed; systemctl restart aistack-guard restores it".to_owned(),
        ),
        Ok(false) => ("off", "there was no network guard".to_owned()),
        Err(error) => (
            "failed",
            format!("the network guard was not removed: {}", error_chain(error)),
        ),
    };
    answer(args, out, word, &text, json!({}))?;
    Ok(u8::from(done.is_err()))
}

fn sentence(status: Status) -> &'static str {
    match status {
        Status::InForce => "the network guard is in force",
        Status::Off => "the policy disables the network guard, and it is off",
        Status::Missing => {
            "the network guard is not in force: the kernel has no table inet aistack; \
             run systemctl restart aistack-guard"
        }
        Status::Outdated => {
            "the network guard is outdated: the policy or the host's name servers have changed; run \
             systemctl reload aistack-guard"
        }
        Status::Changed => {
            "the table inet aistack was modified after it was applied; run \
             systemctl reload aistack-guard"
        }
        Status::Unwanted => {
            "the policy disables the network guard, but it is in force; run systemctl reload aistack-guard"
        }
    }
}

fn load(args: &GuardArgs) -> Result<std::sync::Arc<LoadedPolicy>, GuardCommandError> {
    Ok(PolicyStore::load(&args.policy)?.current())
}

fn count(loaded: &LoadedPolicy) -> usize {
    loaded.policy.tenants().iter().cloned().flatten().count()
}

fn answer(
    args: &GuardArgs,
    out: &mut impl Write,
    state: &str,
    text: &str,
    more: Value,
) -> io::Result<()> {
    if !args.json {
        return writeln!(out, "{text}");
    }
    let mut answer = json!({"state": state, "message": text});
    if let (Value::Object(answer), Value::Object(more)) = (&mut answer, more) {
        answer.extend(more);
    }
    writeln!(out, "{answer}")
}
