//! `aistack-helper doctor`: what the host's engine is, what that means for the tenants, and whether it
//! sees their volumes. Changes nothing.
//!
//! Output goes to a writer, the answer is an exit status: 0 when containers can be made, 1 when not.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use aistack_policy::engine::{EngineFacts, EngineFinding, Severity, judge, unseen_volume};
use aistack_policy::{Grant, MAX_TEXT_BYTES, Policy};
use clap::Args;
use serde_json::{Value, json};

use crate::daemon::error_chain;
use crate::docker::Docker;
use crate::ops::sees_volume;

/// Tenants of a policy that are looked at, lowest UID first.
const MOST_TENANTS: usize = 10_000;

/// Arguments of `doctor`.
#[derive(Debug, Clone, Args)]
pub struct DoctorArgs {
    /// The policy file: whose volumes are looked for.
    #[arg(long, value_name = "FILE", default_value = "/etc/aistack/policy.toml")]
    pub policy: PathBuf,
    /// Docker's own socket.
    #[arg(long, value_name = "SOCKET", default_value = "/run/docker.sock")]
    pub docker_socket: PathBuf,
    /// Answers with one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// A tenant's volume that is mounted.
struct Volume {
    uid: u32,
    base_dir: String,
    seen: bool,
}

/// Everything that was found.
#[derive(Default)]
struct Found {
    facts: Option<EngineFacts>,
    findings: Vec<EngineFinding>,
    volumes: Vec<Volume>,
    /// What could not be looked at, and why.
    errors: Vec<String>,
}

/// Looks, and returns the exit status.
///
/// # Errors
/// When the answer cannot be written.
pub async fn run(args: &DoctorArgs, out: &mut impl Write) -> io::Result<u8> {
    let found = look(args).await;
    if args.json {
        writeln!(out, "{}", found.json())?;
    } else {
        found.tell(out)?;
    }
    Ok(u8::from(!found.is_usable()))
}

async fn look(args: &DoctorArgs) -> Found {
    let mut found = Found::default();
    let docker = Docker::new(&args.docker_socket);
    match docker.facts().await {
        Ok(facts) => {
            found.findings = judge(&facts);
            found.facts = Some(facts);
        }
        Err(error) => {
            found
                .errors
                .push(format!("Docker: {}", error_chain(&error)));
            return found;
        }
    }
    let grants = match grants(args) {
        Ok(grants) => grants,
        Err(error) => {
            let policy = args.policy.display();
            let errors = &mut found.errors;
            errors.push(format!("{policy}: {error}; no volume was checked"));
            return found;
        }
    };
    if !found.is_usable() {
        return found;
    }
    for grant in grants {
        match sees_volume(&docker, &grant).await {
            Ok(None) => {}
            Ok(Some(seen)) => {
                if !seen {
                    found.findings.push(unseen_volume(&grant.base_dir));
                }
                let (uid, base_dir) = (grant.uid, grant.base_dir);
                found.volumes.push(Volume {
                    uid,
                    base_dir,
                    seen,
                });
            }
            Err(error) => {
                let error = format!("{}: {}", grant.base_dir, error_chain(&error));
                found.errors.push(error);
            }
        }
    }
    found
}

fn grants(args: &DoctorArgs) -> io::Result<Vec<Grant>> {
    let limit = u64::try_from(MAX_TEXT_BYTES).unwrap_or(u64::MAX);
    let mut text = String::new();
    let file = File::open(&args.policy)?;
    file.take(limit.saturating_add(1))
        .read_to_string(&mut text)?;
    let policy = Policy::parse(&text)
        .map_err(|_| io::Error::other("it has errors; run `aistack-helper policy check`"))?;
    let uids = policy.tenants().iter().cloned().flatten();
    let grants = uids.take(MOST_TENANTS).filter_map(|uid| policy.grant(uid));
    Ok(grants.collect())
}

impl Found {
    /// Whether containers can be made, as far as could be looked.
    fn is_usable(&self) -> bool {
        let fine = |finding: &EngineFinding| finding.severity == Severity::Limited;
        self.errors.is_empty() && self.findings.iter().all(fine)
    }

    fn json(&self) -> Value {
        let facts = self.facts.iter().flat_map(EngineFacts::explained);
        let facts: Vec<Value> = facts
            .map(|fact| json!({"name": fact.name, "value": fact.value, "means": fact.means}))
            .collect();
        let findings = self.findings.iter();
        let findings: Vec<Value> = findings
            .map(|finding| {
                json!({
                    "severity": word(finding.severity), "found": finding.found, "means": finding.means,
                    "next": finding.next,
                })
            })
            .collect();
        let volumes = self.volumes.iter();
        let volumes: Vec<Value> = volumes
            .map(|v| json!({"uid": v.uid, "base_dir": v.base_dir, "seen": v.seen}))
            .collect();
        json!({
            "ok": self.is_usable(),
            "engine": self.facts.as_ref().map(EngineFacts::name),
            "facts": facts,
            "faults": findings,
            "volumes": volumes,
            "errors": self.errors,
        })
    }

    fn tell(&self, out: &mut impl Write) -> io::Result<()> {
        let facts: Vec<_> = self.facts.iter().flat_map(EngineFacts::explained).collect();
        let width = facts.iter().map(|fact| fact.name.len()).max().unwrap_or(0);
        for fact in &facts {
            writeln!(out, "{:width$}  {}", fact.name, fact.value)?;
            writeln!(out, "{:width$}    {}", "", fact.means)?;
        }
        for volume in &self.volumes {
            let sees = if volume.seen { "sees" } else { "does NOT see" };
            let Volume { uid, base_dir, .. } = volume;
            writeln!(
                out,
                "{:width$}  Docker {sees} {base_dir} (UID {uid})",
                "volume"
            )?;
        }
        for finding in &self.findings {
            writeln!(out, "\n{}: {}", word(finding.severity), finding.found)?;
            writeln!(out, "  {}\n  next: {}", finding.means, finding.next)?;
        }
        for error in &self.errors {
            writeln!(out, "\nnot looked at: {error}")?;
        }
        if self.is_usable() {
            writeln!(out, "\ncontainers can be made on this engine")?;
        }
        Ok(())
    }
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Unsupported => "refused",
        Severity::Failing => "broken",
        Severity::Limited => "limited",
    }
}
