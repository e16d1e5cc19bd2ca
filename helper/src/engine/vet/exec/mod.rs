//! Exec create and exec start: a create in small, as the container's own user and without
//! privileges.

use std::fmt;

use aistack_policy::engine::ApiVersion;
use aistack_policy::{Grant, Refusal, Rule};
use serde::Serialize;
use serde_json::{Value, json};

use super::create::process::{check_env, check_words, check_working_dir, env_names, program};
use super::create::user::User;
use super::create::{CONSOLE_SIZE, ConsoleSize};
use super::json::fields::{At, Field, Words, object};
use super::json::value;
use super::working_dir::Layout;

/// The longest text that is read and dropped, bytes.
const MAX_DROPPED: usize = 256;

/// Execs of one container at once; health checks are some of them.
const MAX_EXECS: usize = 64;

object! {
    /// The exec create body. `Container`, `Detach` and `DetachKeys` are sent by clients and change
    /// nothing in Docker's answer: they are read, and dropped.
    Body {
        "User" => user: String,
        "Tty" => tty: bool,
        "AttachStdin" => attach_stdin: bool,
        "AttachStdout" => attach_stdout: bool,
        "AttachStderr" => attach_stderr: bool,
        "Env" => env: Vec<String>,
        "WorkingDir" => working_dir: String,
        "Cmd" => cmd: Words,
        "Container" => container: String,
        "Detach" => detach: bool,
        "DetachKeys" => detach_keys: String,
        "ConsoleSize" => console_size: Vec<i64>,
    }
    unset {
        "Privileged" => "PRIVILEGED_REFUSED", "no-privileged",
            "a privileged process is root on the host";
    }
}

object! {
    /// The exec start body. bollard's `OutputCapacity` is read, and dropped.
    Start {
        "Detach" => detach: bool,
        "Tty" => tty: bool,
        "ConsoleSize" => console_size: Vec<i64>,
        "OutputCapacity" => output_capacity: Option<i64>,
    }
    unset {}
}

/// An exec that may be made.
#[derive(Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "the API has them one by one")]
pub struct CanonicalExec {
    user: User,
    tty: bool,
    attach_stdin: bool,
    attach_stdout: bool,
    attach_stderr: bool,
    env: Vec<String>,
    working_dir: String,
    cmd: Vec<String>,
    console_size: Option<ConsoleSize>,
}

/// What the audit log keeps, which holds no secret.
impl fmt::Debug for CanonicalExec {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "CanonicalExec({})", self.audit())
    }
}

/// What Docker gets.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
#[expect(clippy::struct_excessive_bools, reason = "the API has them one by one")]
struct Rendered<'a> {
    user: String,
    privileged: bool,
    tty: bool,
    attach_stdin: bool,
    attach_stdout: bool,
    attach_stderr: bool,
    env: &'a [String],
    working_dir: &'a str,
    cmd: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    console_size: Option<ConsoleSize>,
}

impl CanonicalExec {
    /// Reads and decides an exec create body. `container_user` is the `User` of the container's
    /// own configuration, which is the default; `layout` is what the container has of directories;
    /// `api` is the version that the caller asks for.
    ///
    /// # Errors
    /// `BAD_JSON`, or the field that may not be so.
    pub fn decide(
        grant: &Grant,
        container_user: &str,
        layout: &Layout<'_>,
        body: &[u8],
        api: ApiVersion,
    ) -> Result<Self, Refusal> {
        let container_user = User::of_container(grant, container_user)?;
        let body = Body::read(At::body(api), value(body)?)?;
        let user = match body.user.as_str() {
            "" => container_user,
            text => User::parse(grant, text)?,
        };
        let console_size = ConsoleSize::decide(&body.console_size, api)?;
        if body.container.len() > MAX_DROPPED || body.detach_keys.len() > MAX_DROPPED {
            return Err(refused(
                "Container and DetachKeys are longer than 256 bytes",
            ));
        }
        check_env(&body.env)?;
        check_working_dir(&body.working_dir)?;
        layout.check(&body.working_dir)?;
        let cmd = body.cmd.0.unwrap_or_default();
        check_words("Cmd", &cmd)?;
        if cmd.first().is_none_or(String::is_empty) {
            return Err(refused("Cmd names no program"));
        }
        Ok(Self {
            user,
            tty: body.tty,
            attach_stdin: body.attach_stdin,
            attach_stdout: body.attach_stdout,
            attach_stderr: body.attach_stderr,
            env: body.env,
            working_dir: body.working_dir,
            cmd,
            console_size,
        })
    }

    /// The body for Docker under the API version `api`.
    #[must_use]
    pub fn render(&self, api: ApiVersion) -> Vec<u8> {
        let body = Rendered {
            user: self.user.to_string(),
            privileged: false,
            tty: self.tty,
            attach_stdin: self.attach_stdin,
            attach_stdout: self.attach_stdout,
            attach_stderr: self.attach_stderr,
            env: &self.env,
            working_dir: &self.working_dir,
            cmd: &self.cmd,
            console_size: self.console_size.filter(|_| api >= CONSOLE_SIZE),
        };
        // This cannot fail; if it did, Docker would refuse the empty body.
        serde_json::to_vec(&body).unwrap_or_default()
    }

    /// What the audit log keeps: the user, the program and the number of its arguments, never the
    /// arguments or environment values.
    #[must_use]
    pub fn audit(&self) -> Value {
        json!({
            "user": self.user.to_string(),
            "program": program(&self.cmd),
            "arguments": self.cmd.len().saturating_sub(1),
            "env": env_names(&self.env),
            "env_count": self.env.len(),
        })
    }
}

/// How an exec is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExecStart {
    /// Nobody waits for its output.
    pub detach: bool,
    /// It has a terminal.
    pub tty: bool,
    console_size: Option<ConsoleSize>,
}

impl ExecStart {
    /// Reads an exec start body.
    ///
    /// # Errors
    /// `BAD_JSON`.
    pub fn parse(body: &[u8], api: ApiVersion) -> Result<Self, Refusal> {
        let start = Start::read(At::body(api), value(body)?)?;
        let console_size = ConsoleSize::decide(&start.console_size, api)?;
        Ok(Self {
            // Without a terminal it has no size.
            console_size: console_size.filter(|_| start.tty),
            detach: start.detach,
            tty: start.tty,
        })
    }

    /// The body for Docker under the API version `api`.
    #[must_use]
    pub fn render(self, api: ApiVersion) -> Vec<u8> {
        let mut body = json!({"Detach": self.detach, "Tty": self.tty});
        if let Some(size) = self.console_size.filter(|_| api >= CONSOLE_SIZE) {
            body["ConsoleSize"] = json!(size);
        }
        body.to_string().into_bytes()
    }
}

/// Decides whether an exec that exists, as Docker shows it, may be started by the tenant. Docker
/// shows the ids of the administrator's execs in a container too, and those may be root's.
///
/// # Errors
/// When it is privileged, or of a user that is none of the grant's.
pub fn check_existing(grant: &Grant, inspected: &Value) -> Result<(), Refusal> {
    let process = inspected.get("ProcessConfig").unwrap_or(&Value::Null);
    if !matches!(
        process.get("privileged"),
        None | Some(Value::Null | Value::Bool(false))
    ) {
        let message = "the exec is privileged, so it was not created through the gateway";
        let rule = Rule::builtin("no-privileged");
        return Err(Refusal::new("PRIVILEGED_REFUSED", message, rule));
    }
    let user = process.get("user").and_then(Value::as_str);
    User::of_container(grant, user.unwrap_or_default()).map(drop)
}

/// Bounds the execs of a container, as Docker shows it: one that was made and not started is kept
/// for as long as the container runs.
///
/// # Errors
/// `EXEC_REFUSED` when there are 64.
pub fn check_count(container: &Value) -> Result<(), Refusal> {
    let execs = container.get("ExecIDs").and_then(Value::as_array);
    if execs.map_or(0, Vec::len) < MAX_EXECS {
        return Ok(());
    }
    let message = format!("the container has {MAX_EXECS} execs that run or were not started");
    let rule = Rule::builtin("exec-count");
    let hint = "wait for them to end, or restart the container";
    Err(Refusal::new("EXEC_REFUSED", message, rule).with_hint(hint))
}

fn refused(message: &str) -> Refusal {
    Refusal::new("EXEC_REFUSED", message, Rule::builtin("exec"))
}

#[cfg(test)]
mod tests;
