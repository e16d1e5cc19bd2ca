//! The program in a container: command, environment, labels. Inside the container it is free; what is
//! bounded here is what the host has to carry for it.

use std::collections::BTreeMap;

use aistack_policy::{Grant, Refusal, Rule};

use super::super::json::shown;
use super::body::Body;
use super::network::is_host_label;
use super::paths::may_work_in;
use crate::docker::OWNER_LABEL;

/// Labels that only the gateway writes.
const RESERVED_LABELS: &str = "io.aistack.";

/// The label with the image's name, since Docker gets its id.
pub(in crate::engine::vet) const IMAGE_LABEL: &str = "io.aistack.image";

/// Environment variables, at most.
const MAX_ENV: usize = 512;

/// Words of a command, at most.
const MAX_WORDS: usize = 1024;

/// All variables, or all words, or all labels together, bytes.
const MAX_BYTES: usize = 128 << 10;

/// Labels, at most.
const MAX_LABELS: usize = 128;

/// The longest name of a label, bytes.
const MAX_LABEL_NAME: usize = 256;

/// The longest time between the stop signal and the kill, seconds.
const MAX_STOP_TIMEOUT: i64 = 600;

/// Signals that a container can be stopped with (signal(7)), without `SIG`.
const SIGNALS: [&str; 31] = [
    "ABRT", "ALRM", "BUS", "CHLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "KILL", "PIPE",
    "POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN",
    "TTOU", "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU",
];

/// What runs, and how a client is connected to it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "the API has them one by one")]
pub(super) struct Process {
    pub(super) hostname: String,
    pub(super) attach_stdin: bool,
    pub(super) attach_stdout: bool,
    pub(super) attach_stderr: bool,
    pub(super) tty: bool,
    pub(super) open_stdin: bool,
    pub(super) stdin_once: bool,
    /// `NAME=value`, or `NAME` alone, which takes a variable of the image away.
    pub(super) env: Vec<String>,
    /// `None` for the image's own.
    pub(super) cmd: Option<Vec<String>>,
    /// `None` for the image's own.
    pub(super) entrypoint: Option<Vec<String>>,
    /// Empty for the image's own.
    pub(super) working_dir: String,
    /// Empty for the image's own, else with `SIG`.
    pub(super) stop_signal: String,
    /// Seconds.
    pub(super) stop_timeout: Option<u32>,
    /// The caller's labels.
    pub(super) labels: BTreeMap<String, String>,
}

impl Process {
    pub(super) fn decide(body: &Body) -> Result<Self, Refusal> {
        if !body.hostname.is_empty() && !is_host_label(&body.hostname) {
            let message = format!(
                "Hostname \"{}\" is not one label of letters, digits and inner dashes",
                shown(&body.hostname)
            );
            return Err(refused("HOSTNAME_REFUSED", "hostname", message));
        }
        check_env(&body.env)?;
        check_words("Cmd", body.cmd.0.as_deref().unwrap_or_default())?;
        check_words(
            "Entrypoint",
            body.entrypoint.0.as_deref().unwrap_or_default(),
        )?;
        check_working_dir(&body.working_dir)?;
        check_labels(&body.labels)?;
        Ok(Self {
            hostname: body.hostname.clone(),
            attach_stdin: body.attach_stdin,
            attach_stdout: body.attach_stdout,
            attach_stderr: body.attach_stderr,
            tty: body.tty,
            open_stdin: body.open_stdin,
            stdin_once: body.stdin_once,
            env: body.env.clone(),
            cmd: body.cmd.0.clone(),
            entrypoint: body.entrypoint.0.clone(),
            working_dir: body.working_dir.clone(),
            stop_signal: stop_signal(&body.stop_signal)?,
            stop_timeout: stop_timeout(body.stop_timeout)?,
            labels: body.labels.clone(),
        })
    }

    /// The program that will run, as far as the request says.
    pub(super) fn program(&self) -> Option<String> {
        let mut commands = [&self.entrypoint, &self.cmd].into_iter().flatten();
        commands.find_map(|words| program(words))
    }
}

/// Labels of the gateway: the image by name, since Docker gets its id, and the owner.
pub(super) fn own_labels(grant: &Grant, image: &str) -> [(&'static str, String); 2] {
    [
        (IMAGE_LABEL, image.to_owned()),
        (OWNER_LABEL, grant.uid.to_string()),
    ]
}

/// The program of a command for the audit log. A first word with spaces may be a whole command
/// line, with secrets in it.
pub(in crate::engine::vet) fn program(words: &[String]) -> Option<String> {
    let first = words.first()?.split_whitespace().next()?;
    Some(shown(first))
}

/// Names of variables for the audit log, never their values, and no more than fit one line.
pub(in crate::engine::vet) fn env_names(env: &[String]) -> Vec<String> {
    const MOST: usize = 64;
    let names = env.iter().map(|variable| shown(env_name(variable)));
    names.take(MOST).collect()
}

fn env_name(variable: &str) -> &str {
    variable.split_once('=').map_or(variable, |(name, _)| name)
}

/// Bounds of an environment. Messages say which variable by its index: values may be secrets.
pub(in crate::engine::vet) fn check_env(env: &[String]) -> Result<(), Refusal> {
    let bytes: usize = env.iter().map(String::len).sum();
    if env.len() > MAX_ENV || bytes > MAX_BYTES {
        let message = format!("Env has more than {MAX_ENV} variables or {MAX_BYTES} bytes");
        return Err(refused("ENV_REFUSED", "environment", message));
    }
    let malformed = |variable: &String| {
        variable.is_empty()
            || variable.starts_with('=')
            || variable.contains('\0')
            || env_name(variable).chars().any(char::is_control)
    };
    match env.iter().position(malformed) {
        None => Ok(()),
        Some(index) => {
            let message = format!("Env[{index}] is not NAME=value, or holds a NUL");
            Err(refused("ENV_REFUSED", "environment", message))
        }
    }
}

/// Bounds of a command. Messages never quote it: arguments may be secrets.
pub(in crate::engine::vet) fn check_words(place: &str, words: &[String]) -> Result<(), Refusal> {
    let bytes: usize = words.iter().map(String::len).sum();
    let message = if words.len() > MAX_WORDS || bytes > MAX_BYTES {
        format!("{place} has more than {MAX_WORDS} words or {MAX_BYTES} bytes")
    } else if let Some(index) = words.iter().position(|word| word.contains('\0')) {
        format!("{place}[{index}] holds a NUL")
    } else {
        return Ok(());
    };
    Err(refused("COMMAND_REFUSED", "command", message))
}

/// A working directory in a kernel file system has let a process out (CVE-2024-21626).
pub(in crate::engine::vet) fn check_working_dir(path: &str) -> Result<(), Refusal> {
    if path.is_empty() || may_work_in(path) {
        return Ok(());
    }
    let message = format!(
        "WorkingDir \"{}\" is not a clean absolute path outside /proc, /sys and /dev",
        shown(path)
    );
    Err(refused("WORKING_DIR_REFUSED", "working-directory", message))
}

fn check_labels(labels: &BTreeMap<String, String>) -> Result<(), Refusal> {
    let bytes: usize = labels
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if labels.len() > MAX_LABELS || bytes > MAX_BYTES {
        let message = format!("Labels has more than {MAX_LABELS} labels or {MAX_BYTES} bytes");
        return Err(refused("LABELS_REFUSED", "labels", message));
    }
    for name in labels.keys() {
        let why = if name.to_ascii_lowercase().starts_with(RESERVED_LABELS) {
            "starts with io.aistack., which is reserved"
        } else if name.is_empty()
            || name.len() > MAX_LABEL_NAME
            || name.chars().any(char::is_control)
        {
            "has no name of 1 to 256 printable bytes"
        } else {
            continue;
        };
        let message = format!("the label \"{}\" in Labels {why}", shown(name));
        return Err(refused("LABELS_REFUSED", "reserved-labels", message));
    }
    Ok(())
}

fn stop_signal(text: &str) -> Result<String, Refusal> {
    let name = text.strip_prefix("SIG").unwrap_or(text);
    if text.is_empty() {
        return Ok(String::new());
    }
    if SIGNALS.contains(&name) {
        return Ok(format!("SIG{name}"));
    }
    let message = format!(
        "StopSignal \"{}\" is not a signal's name, e.g. SIGTERM",
        shown(text)
    );
    Err(refused("STOP_REFUSED", "stop", message))
}

fn stop_timeout(seconds: Option<i64>) -> Result<Option<u32>, Refusal> {
    let Some(seconds) = seconds else {
        return Ok(None);
    };
    match u32::try_from(seconds) {
        Ok(value) if seconds <= MAX_STOP_TIMEOUT => Ok(Some(value)),
        _ => {
            let message = format!("StopTimeout must be 0 to {MAX_STOP_TIMEOUT} seconds");
            Err(refused("STOP_REFUSED", "stop", message))
        }
    }
}

fn refused(reason: &'static str, rule: &str, message: String) -> Refusal {
    Refusal::new(reason, message, Rule::builtin(rule))
}
