//! What can be done with one container, and the request to Docker.

use aistack_policy::Refusal;
use aistack_policy::engine::ApiVersion;
use http::Method;

use super::super::json::shown;
use super::bad_query;
use super::ps_args::PsArgs;
use super::query::Query;
use crate::docker::percent_encoded;

/// Signals that may be sent (signal(7)); the names Docker knows, without `SIG`.
const SIGNALS: &[&str] = &[
    "HUP", "INT", "QUIT", "ABRT", "KILL", "USR1", "USR2", "PIPE", "ALRM", "TERM", "CONT", "STOP",
    "TSTP", "TTIN", "TTOU", "WINCH", "IO", "PWR",
];

/// The longest time that a stop may wait, seconds.
const MAX_STOP: u32 = 600;

/// One call on one container.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // each is the endpoint of its name, with that endpoint's parameters
pub enum ContainerCall {
    Inspect { size: bool },
    Logs(LogsQuery),
    Stats { stream: bool, one_shot: bool },
    Top { args: PsArgs },
    Changes,
    Start,
    Stop(StopQuery),
    Restart(StopQuery),
    Kill { signal: &'static str },
    Pause,
    Unpause,
    Wait { condition: &'static str },
    Remove { force: bool, volumes: bool },
    Rename { name: String },
    Resize { height: u32, width: u32 },
    Attach { query: String },
    CreateExec,
}

/// Parameters of the log endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "the API has them one by one")]
#[allow(missing_docs)] // as the API names them
pub struct LogsQuery {
    pub follow: bool,
    pub stdout: bool,
    pub stderr: bool,
    pub timestamps: bool,
    pub details: bool,
    pub since: String,
    pub until: String,
    pub tail: Option<u32>,
}

/// Parameters of a stop, which a restart has too.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)] // as the API means them
pub struct StopQuery {
    pub seconds: Option<u32>,
    pub signal: Option<&'static str>,
}

impl ContainerCall {
    /// The call behind `/containers/<reference>/`; `None` when it is not offered.
    pub(super) fn parse(
        method: &str,
        action: &[&str],
        query: &mut Query,
    ) -> Result<Option<Self>, Refusal> {
        Ok(Some(match (method, action) {
            ("GET", ["json"]) => Self::Inspect {
                size: query.bool("size")?,
            },
            ("GET", ["logs"]) => Self::Logs(LogsQuery::parse(query)?),
            ("GET", ["stats"]) => Self::Stats {
                stream: query.bool_or("stream", true)?,
                one_shot: query.bool("one-shot")?,
            },
            ("GET", ["top"]) => Self::Top {
                args: PsArgs::parse(&query.take("ps_args"))?,
            },
            ("GET", ["changes"]) => Self::Changes,
            ("POST", ["start"]) => {
                detach_keys(query)?;
                Self::Start
            }
            ("POST", ["stop"]) => Self::Stop(StopQuery::parse(query)?),
            ("POST", ["restart"]) => Self::Restart(StopQuery::parse(query)?),
            ("POST", ["kill"]) => Self::Kill {
                signal: signal(&query.take("signal"))?,
            },
            ("POST", ["pause"]) => Self::Pause,
            ("POST", ["unpause"]) => Self::Unpause,
            ("POST", ["wait"]) => Self::Wait {
                condition: condition(&query.take("condition"))?,
            },
            ("DELETE", []) => {
                query.must_be_false("link")?;
                Self::Remove {
                    force: query.bool("force")?,
                    volumes: query.bool("v")?,
                }
            }
            ("POST", ["rename"]) => Self::Rename {
                name: query.take("name"),
            },
            ("POST", ["resize"]) => Self::Resize {
                height: query.number("h")?.unwrap_or(0),
                width: query.number("w")?.unwrap_or(0),
            },
            ("POST", ["attach"]) => Self::Attach {
                query: attach(query)?,
            },
            ("POST", ["exec"]) => Self::CreateExec,
            _ => return Ok(None),
        }))
    }

    /// The name of the operation in the audit log, where there is one.
    pub(super) fn audited(&self) -> Option<&'static str> {
        match self {
            Self::Start => Some("container.start"),
            Self::Stop(_) => Some("container.stop"),
            Self::Restart(_) => Some("container.restart"),
            Self::Kill { .. } => Some("container.kill"),
            Self::Pause => Some("container.pause"),
            Self::Unpause => Some("container.unpause"),
            Self::Remove { .. } => Some("container.remove"),
            Self::Rename { .. } => Some("container.rename"),
            Self::Attach { .. } => Some("container.attach"),
            Self::CreateExec => Some("exec.create"),
            Self::Inspect { .. }
            | Self::Logs(_)
            | Self::Stats { .. }
            | Self::Top { .. }
            | Self::Changes
            | Self::Wait { .. }
            | Self::Resize { .. } => None,
        }
    }

    /// The request to Docker, for the container with this full id.
    #[must_use]
    pub fn upstream(&self, id: &str) -> (Method, String) {
        let below = format!("/containers/{id}");
        match self {
            Self::Inspect { size: false } => (Method::GET, format!("{below}/json")),
            Self::Inspect { size: true } => (Method::GET, format!("{below}/json?size=true")),
            Self::Logs(query) => (Method::GET, format!("{below}/logs?{}", query.render())),
            Self::Stats { stream, one_shot } => (
                Method::GET,
                format!("{below}/stats?stream={stream}&one-shot={one_shot}"),
            ),
            Self::Top { args } => {
                let args = percent_encoded(&args.render());
                (Method::GET, format!("{below}/top?ps_args={args}"))
            }
            Self::Changes => (Method::GET, format!("{below}/changes")),
            Self::Start => (Method::POST, format!("{below}/start")),
            Self::Stop(query) => (Method::POST, format!("{below}/stop{}", query.render())),
            Self::Restart(query) => (Method::POST, format!("{below}/restart{}", query.render())),
            Self::Kill { signal } => (Method::POST, format!("{below}/kill?signal=SIG{signal}")),
            Self::Pause => (Method::POST, format!("{below}/pause")),
            Self::Unpause => (Method::POST, format!("{below}/unpause")),
            Self::Wait { condition } => {
                (Method::POST, format!("{below}/wait?condition={condition}"))
            }
            Self::Remove { force, volumes } => {
                (Method::DELETE, format!("{below}?force={force}&v={volumes}"))
            }
            Self::Rename { name } => (
                Method::POST,
                format!("{below}/rename?name={}", percent_encoded(name)),
            ),
            Self::Resize { height, width } => {
                (Method::POST, format!("{below}/resize?h={height}&w={width}"))
            }
            Self::Attach { query } => (Method::POST, format!("{below}/attach?{query}")),
            Self::CreateExec => (Method::POST, format!("{below}/exec")),
        }
    }
}

impl LogsQuery {
    fn parse(query: &mut Query) -> Result<Self, Refusal> {
        Ok(Self {
            follow: query.bool("follow")?,
            stdout: query.bool("stdout")?,
            stderr: query.bool("stderr")?,
            timestamps: query.bool("timestamps")?,
            details: query.bool("details")?,
            since: query.time("since")?,
            until: query.time("until")?,
            tail: tail(query)?,
        })
    }

    fn render(&self) -> String {
        let Self {
            follow,
            stdout,
            stderr,
            timestamps,
            details,
            since,
            until,
            tail,
        } = self;
        let tail = tail.map_or_else(|| "all".to_owned(), |lines| lines.to_string());
        let or_zero = |time: &String| {
            if time.is_empty() {
                "0".to_owned()
            } else {
                time.clone()
            }
        };
        format!(
            "follow={follow}&stdout={stdout}&stderr={stderr}&timestamps={timestamps}\
             &details={details}&since={}&until={}&tail={tail}",
            or_zero(since),
            or_zero(until)
        )
    }
}

fn tail(query: &mut Query) -> Result<Option<u32>, Refusal> {
    let text = query.take("tail");
    if matches!(text.as_str(), "" | "all" | "-1") {
        return Ok(None);
    }
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let lines = text.parse().ok().filter(|_| digits);
    lines
        .map(Some)
        .ok_or_else(|| bad_query("tail is neither all nor a number"))
}

impl StopQuery {
    fn parse(query: &mut Query) -> Result<Self, Refusal> {
        // An engine reads it from 1.42 on.
        let requested = query.take_since("signal", ApiVersion::v1(42))?;
        Ok(Self {
            seconds: seconds(query)?,
            signal: match requested.as_str() {
                "" => None,
                name => Some(signal(name)?),
            },
        })
    }

    fn render(&self) -> String {
        let seconds = self.seconds.map(|seconds| format!("t={seconds}"));
        let signal = self.signal.map(|signal| format!("signal=SIG{signal}"));
        let parts: Vec<String> = seconds.into_iter().chain(signal).collect();
        if parts.is_empty() {
            return String::new();
        }
        format!("?{}", parts.join("&"))
    }
}

fn seconds(query: &mut Query) -> Result<Option<u32>, Refusal> {
    let seconds = query.number("t")?;
    if seconds.is_some_and(|seconds| seconds > MAX_STOP) {
        return Err(bad_query(&format!("t is more than {MAX_STOP} seconds")));
    }
    Ok(seconds)
}

fn signal(text: &str) -> Result<&'static str, Refusal> {
    let upper = text.to_ascii_uppercase();
    let name = match upper.as_str() {
        "" | "9" => "KILL",
        "1" => "HUP",
        "2" => "INT",
        "3" => "QUIT",
        "10" => "USR1",
        "12" => "USR2",
        "15" => "TERM",
        other => other.strip_prefix("SIG").unwrap_or(other),
    };
    let known = SIGNALS.iter().find(|known| **known == name);
    known
        .copied()
        .ok_or_else(|| bad_query(&format!("\"{}\" is not a signal", shown(text))))
}

fn condition(text: &str) -> Result<&'static str, Refusal> {
    match text {
        "" | "not-running" => Ok("not-running"),
        "next-exit" => Ok("next-exit"),
        "removed" => Ok("removed"),
        _ => Err(bad_query("the condition is not known")),
    }
}

fn attach(query: &mut Query) -> Result<String, Refusal> {
    let mut parts = Vec::new();
    for name in ["logs", "stream", "stdin", "stdout", "stderr"] {
        parts.push(format!("{name}={}", query.bool(name)?));
    }
    parts.push(format!(
        "detachKeys={}",
        percent_encoded(&detach_keys(query)?)
    ));
    Ok(parts.join("&"))
}

/// `ctrl-p,ctrl-q` and the like.
fn detach_keys(query: &mut Query) -> Result<String, Refusal> {
    let keys = query.take("detachKeys");
    let plain = |byte: u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b',' | b'@' | b'[' | b']' | b'^' | b'_' | b'\\')
    };
    if keys.len() <= 64 && keys.bytes().all(plain) {
        return Ok(keys);
    }
    Err(bad_query("detachKeys are not keys"))
}
