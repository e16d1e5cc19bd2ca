//! `aistack-helper ingress render|apply|status`: the front door, for the admin and for its unit.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

use aistack_policy::ingress::Ingress;
use clap::{Args, Subcommand};
use serde_json::json;

use crate::ingress::files::{IngressDir, IngressFiles};
use crate::ingress::haproxy::HaProxy;
use crate::ingress::{DIR, IngressError};
use crate::policy_store::{PolicyStore, PolicyStoreError};

/// The unit that runs HAProxy.
const UNIT: &str = "aistack-ingress.service";
/// Exit status: the front door is off, or not as the policy says.
const NOT_SO: u8 = 1;

/// The front door: HAProxy in front of all tenants' sites.
#[derive(Debug, Clone, Subcommand)]
pub enum IngressCommand {
    /// Show HAProxy's configuration and map as the policy has them, or write them for the unit.
    Render(RenderArgs),
    /// Bring the front door in line with the policy. Open connections are not interrupted.
    Apply(IngressArgs),
    /// Compare what runs with the policy; exits with 1 when it differs.
    Status(IngressArgs),
    /// Exit with 0 when the policy enables the front door, else with 1.
    Enabled(IngressArgs),
}

/// Where everything is.
#[derive(Debug, Clone, Args)]
pub struct IngressArgs {
    /// The policy file.
    #[arg(long, value_name = "FILE", default_value = "/etc/aistack/policy.toml")]
    pub policy: PathBuf,
    /// Where HAProxy's configuration, map and admin socket are.
    #[arg(long, value_name = "DIR", default_value = DIR)]
    pub dir: PathBuf,
    /// Answer with one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `ingress render`.
#[derive(Debug, Clone, Args)]
pub struct RenderArgs {
    /// Where everything is.
    #[command(flatten)]
    pub place: IngressArgs,
    /// Write the files instead of showing them.
    #[arg(long)]
    pub write: bool,
}

/// Why a command did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum IngressCommandError {
    /// There is no policy to go by.
    #[error(transparent)]
    Policy(#[from] PolicyStoreError),
    /// The front door.
    #[error(transparent)]
    Ingress(#[from] IngressError),
    /// systemd did not do it.
    #[error("`systemctl {0}` failed; `journalctl -u {UNIT}` says why")]
    Unit(String),
    /// The answer could not be written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Runs the command and returns its exit status.
///
/// # Errors
/// When there is no policy, or the front door cannot be looked at or changed.
pub fn run(command: &IngressCommand, out: &mut impl Write) -> Result<u8, IngressCommandError> {
    match command {
        IngressCommand::Render(args) => render(args, out),
        IngressCommand::Apply(args) => apply(args, out),
        IngressCommand::Status(args) => status(args, out),
        IngressCommand::Enabled(args) => Ok(u8::from(policy(args)?.is_none())),
    }
}

fn policy(args: &IngressArgs) -> Result<Option<Ingress>, IngressCommandError> {
    Ok(PolicyStore::load(&args.policy)?.current().policy.ingress())
}

const OFF: &str = "the policy has no front door: [ingress] does not say enabled = true";

fn render(args: &RenderArgs, out: &mut impl Write) -> Result<u8, IngressCommandError> {
    let Some(ingress) = policy(&args.place)? else {
        return off(&args.place, out);
    };
    if args.write {
        let changed = IngressDir::open(&args.place.dir)?.write(&ingress)?;
        if args.place.json {
            writeln!(out, "{}", json!({"enabled": true, "changed": changed}))?;
        }
        return Ok(0);
    }
    let config = IngressFiles::of(&args.place.dir).config_text(&ingress);
    if args.place.json {
        let answer =
            json!({"enabled": true, "config": config, "routes": routes_json(&ingress.routes)});
        writeln!(out, "{answer}")?;
    } else {
        write!(out, "{config}\n# domains.map\n{}", ingress.map())?;
    }
    Ok(0)
}

fn off(args: &IngressArgs, out: &mut impl Write) -> Result<u8, IngressCommandError> {
    if args.json {
        writeln!(out, "{}", json!({"enabled": false}))?;
    } else {
        writeln!(out, "{OFF}")?;
    }
    Ok(NOT_SO)
}

fn apply(args: &IngressArgs, out: &mut impl Write) -> Result<u8, IngressCommandError> {
    let Some(ingress) = policy(args)? else {
        if systemd() {
            systemctl(&["stop", UNIT])?;
        }
        off(args, out)?;
        return Ok(0);
    };
    let dir = IngressDir::open(&args.dir)?;
    let changed = dir.write(&ingress)?;
    let files = dir.files().clone();
    let running = HaProxy::of(&files);
    let did = if running.answers()? {
        running.replace(&ingress.routes)?;
        if changed && systemd() {
            drop(dir);
            systemctl(&["reload", UNIT])?;
            "reloaded"
        } else {
            "routes replaced"
        }
    } else {
        if !systemd() {
            return not_running(args, &files, out);
        }
        // Its unit writes the files, so the lock must be free.
        drop(dir);
        systemctl(&["start", UNIT])?;
        if !running.answers()? {
            return not_running(args, &files, out);
        }
        "started"
    };
    let domains = ingress.routes.len();
    if args.json {
        writeln!(
            out,
            "{}",
            json!({"enabled": true, "done": did, "domains": domains})
        )?;
    } else {
        writeln!(out, "front door: {did}, {domains} domains")?;
    }
    Ok(0)
}

fn status(args: &IngressArgs, out: &mut impl Write) -> Result<u8, IngressCommandError> {
    let wanted = policy(args)?;
    let files = IngressFiles::of(&args.dir);
    let running = HaProxy::of(&files);
    let has = running.answers()?.then(|| running.routes()).transpose()?;
    let Some(ingress) = wanted else {
        if has.is_none() {
            off(args, out)?;
            return Ok(0);
        }
        let text =
            "HAProxy runs, and the policy has no front door; run `aistack-helper ingress apply`";
        say(args, &json!({"enabled": false, "running": true}), text, out)?;
        return Ok(NOT_SO);
    };
    let Some(has) = has else {
        return not_running(args, &files, out);
    };
    let missing = |from: &BTreeMap<String, Ipv4Addr>, other: &BTreeMap<String, Ipv4Addr>| {
        let not_there = |(domain, to): &(&String, &Ipv4Addr)| other.get(*domain) != Some(to);
        from.iter().filter(not_there).count()
    };
    let (missing, more) = (
        missing(&ingress.routes, &has),
        missing(&has, &ingress.routes),
    );
    let same = missing + more == 0;
    if args.json {
        let answer = json!({"enabled": true, "running": true, "as_the_policy_says": same,
            "domains": has.len(), "missing": missing, "not_in_the_policy": more});
        writeln!(out, "{answer}")?;
    } else if same {
        writeln!(
            out,
            "front door: runs, {} domains as the policy says",
            has.len()
        )?;
    } else {
        writeln!(
            out,
            "front door: runs; {missing} domains of the policy are missing and {more} are not in \
            the policy; run `aistack-helper ingress apply`"
        )?;
    }
    Ok(if same { 0 } else { NOT_SO })
}

fn not_running(
    args: &IngressArgs,
    files: &IngressFiles,
    out: &mut impl Write,
) -> Result<u8, IngressCommandError> {
    let text = format!(
        "HAProxy does not run; `systemctl start {UNIT}` starts it, or `haproxy -W -f {}`",
        files.config().display()
    );
    say(
        args,
        &json!({"enabled": true, "running": false}),
        &text,
        out,
    )?;
    Ok(NOT_SO)
}

/// For a program or for people.
fn say(
    args: &IngressArgs,
    answer: &serde_json::Value,
    text: &str,
    out: &mut impl Write,
) -> io::Result<()> {
    if args.json {
        return writeln!(out, "{answer}");
    }
    writeln!(out, "front door: {text}")
}

fn routes_json(routes: &BTreeMap<String, Ipv4Addr>) -> serde_json::Value {
    routes
        .iter()
        .map(|(domain, to)| (domain.clone(), json!(to.to_string())))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn systemd() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

fn systemctl(args: &[&str]) -> Result<(), IngressCommandError> {
    let status = Command::new("/usr/bin/systemctl").args(args).status()?;
    if status.success() {
        return Ok(());
    }
    Err(IngressCommandError::Unit(args.join(" ")))
}
