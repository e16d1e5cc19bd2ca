//! `aistack-helper policy check|explain`: the daemon's own parser and decisions, for the admin.
//!
//! Output goes to a writer, the answer is an exit status: 0 when the file is accepted (and the UID
//! is a tenant), 1 when not.

mod render;

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use aistack_policy::{Grant, MAX_TEXT_BYTES, Policy, PolicyErrors};
use clap::{Args, Subcommand};
use serde_json::json;

/// Checks a policy file, or says what it gives.
#[derive(Debug, Clone, Subcommand)]
pub enum PolicyCommand {
    /// Reports every error in a policy file as FILE:LINE:COLUMN: key: message.
    Check(CheckArgs),
    /// Shows everything one UID has, each part with the rule and line that gives it.
    Explain(ExplainArgs),
}

/// Arguments of `policy check`.
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    /// The policy file.
    pub file: PathBuf,
    /// Answers with one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `policy explain`.
#[derive(Debug, Clone, Args)]
pub struct ExplainArgs {
    /// The UID to explain.
    #[arg(long)]
    pub uid: u32,
    /// The policy file.
    #[arg(long, value_name = "FILE", default_value = "/etc/aistack/policy.toml")]
    pub policy: PathBuf,
    /// Answers with one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Runs the command and returns its exit status.
///
/// # Errors
/// When the answer cannot be written.
pub fn run(command: &PolicyCommand, out: &mut impl Write) -> io::Result<u8> {
    match command {
        PolicyCommand::Check(args) => check(args, out),
        PolicyCommand::Explain(args) => explain(args, out),
    }
}

/// Why there is no policy.
enum Unusable {
    Unreadable(io::Error),
    Invalid(PolicyErrors),
}

fn load(file: &Path) -> Result<Policy, Unusable> {
    let text = read(file).map_err(Unusable::Unreadable)?;
    Policy::parse(&text).map_err(Unusable::Invalid)
}

/// Reads the file, but never more than the parser takes, whatever the file is.
fn read(file: &Path) -> io::Result<String> {
    let limit = u64::try_from(MAX_TEXT_BYTES).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    File::open(file)?
        .take(limit.saturating_add(1))
        .read_to_end(&mut bytes)?;
    if bytes.len() > MAX_TEXT_BYTES {
        let message = format!("larger than {MAX_TEXT_BYTES} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        io::Error::new(io::ErrorKind::InvalidData, format!("no UTF-8 at byte {at}"))
    })
}

fn check(args: &CheckArgs, out: &mut impl Write) -> io::Result<u8> {
    let loaded = load(&args.file);
    if args.json {
        let answer = render::check_json(&args.file, &loaded);
        writeln!(out, "{answer}")?;
    } else {
        match &loaded {
            Ok(policy) => render::accepted(&args.file, policy, out)?,
            Err(unusable) => render::unusable(&args.file, unusable, out)?,
        }
    }
    Ok(u8::from(loaded.is_err()))
}

fn explain(args: &ExplainArgs, out: &mut impl Write) -> io::Result<u8> {
    let policy = match load(&args.policy) {
        Ok(policy) => policy,
        Err(unusable) if args.json => {
            let answer = render::check_json(&args.policy, &Err(unusable));
            writeln!(out, "{answer}")?;
            return Ok(1);
        }
        Err(unusable) => {
            render::unusable(&args.policy, &unusable, out)?;
            return Ok(1);
        }
    };
    let grant: Option<Grant> = policy.grant(args.uid);
    match &grant {
        Some(grant) if args.json => writeln!(out, "{}", render::grant_json(&args.policy, grant))?,
        Some(grant) => render::grant(&args.policy, grant, out)?,
        None if args.json => {
            let answer = json!({
                "file": args.policy, "uid": args.uid, "tenant": false,
                "tenants": render::ranges(&policy),
            });
            writeln!(out, "{answer}")?;
        }
        None => writeln!(
            out,
            "UID {} is not a tenant: {} names {}",
            args.uid,
            args.policy.display(),
            render::ranges_text(&policy)
        )?,
    }
    Ok(u8::from(grant.is_none()))
}

#[cfg(test)]
mod tests;
