//! The two daemons and the clock: who answers, as what, in which version.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use aistack_proto::v1::{CheckEngineResponse, WhoAmIResponse};
use tokio::process::Command;
use tokio::time::error::Elapsed;

use super::{Finding, Limit};
use crate::CLIENT_VERSION;
use crate::engine::{Container, Engine, EngineError};
use crate::error::CliError;
use crate::exit::Exit;
use crate::helper::{Helper, HelperError};
use crate::run::Context;

/// How long the host's clock service may take.
const CLOCK_LIMIT: Duration = Duration::from_millis(700);

/// What the helper said.
pub(super) struct HelperAnswer {
    socket: PathBuf,
    /// `Err` when it was not reached.
    reached: Result<Result<Box<WhoAmIResponse>, CliError>, CliError>,
    /// What it says of the engine, or why it does not.
    pub(super) engine: Result<CheckEngineResponse, CliError>,
    /// How long it took until it said so; zero where it did not.
    pub(super) took: Duration,
}

impl HelperAnswer {
    pub(super) fn who(&self) -> Option<&WhoAmIResponse> {
        self.reached.as_ref().ok()?.as_deref().ok()
    }
}

pub(super) async fn ask_helper(context: &Context, limit: Limit) -> HelperAnswer {
    let socket = context.helper_socket();
    let began = Instant::now();
    let helper = in_time(limit.answer(Helper::connect(&socket)).await);
    let (reached, engine, took) = match helper {
        Err(failure) => (Err(failure.clone()), Err(failure), Duration::ZERO),
        Ok(helper) => {
            let helper = helper.waiting_for_docker(Duration::ZERO);
            let who = async { (limit.answer(helper.who_am_i()).await, began.elapsed()) };
            let engine = limit.answer(helper.check_engine());
            let ((who, took), engine) = tokio::join!(who, engine);
            let who = in_time(who).map(Box::new);
            let took = if who.is_ok() { took } else { Duration::ZERO };
            (Ok(who), in_time(engine), took)
        }
    };
    HelperAnswer {
        socket,
        reached,
        engine,
        took,
    }
}

fn in_time<T>(answer: Result<Result<T, HelperError>, Elapsed>) -> Result<T, CliError> {
    let too_late = |_| CliError::new(Exit::TimedOut, "the helper did not answer in time");
    answer.map_err(too_late)?.map_err(CliError::from)
}

/// The helper, what the policy gives, and whether the versions fit.
pub(super) fn helper(answer: &HelperAnswer) -> Vec<Finding> {
    let socket = answer.socket.display();
    let who = match &answer.reached {
        Err(failure) => return vec![from_error("helper", failure)],
        Ok(who) => who,
    };
    let served = Finding::ok("helper", format!("the helper answers on {socket}"));
    match who {
        Err(failure) => vec![served, from_error("policy", failure)],
        Ok(who) => {
            let mut findings = vec![served, grant_of(who), versions(&who.helper_version)];
            findings.extend(
                who.warnings
                    .iter()
                    .map(|warning| Finding::warning("policy", warning)),
            );
            findings
        }
    }
}

fn grant_of(who: &WhoAmIResponse) -> Finding {
    match &who.grant {
        Some(grant) => Finding::ok(
            "policy",
            format!("you are tenant {} (UID {})", grant.name, grant.uid),
        ),
        None => Finding::problem("policy", "the helper answered without a grant")
            .means("the client and the helper are incompatible")
            .next("tell the administrator"),
    }
}

fn versions(helper: &str) -> Finding {
    if helper == CLIENT_VERSION {
        return Finding::ok("versions", format!("client and helper are both {helper}"));
    }
    let found = format!("the client is {CLIENT_VERSION}, the helper {helper}");
    Finding::warning("versions", found)
        .means("newer features may not work")
        .next("ask the administrator to upgrade both packages")
}

/// What the gateway said.
pub(super) struct GatewayAnswer {
    socket: PathBuf,
    /// Who holds the other end, as the kernel says.
    peer: std::io::Result<u32>,
    /// `None` when there is no socket.
    pub(super) engine: Option<Engine>,
    pub(super) containers: Result<Vec<Container>, CliError>,
    /// How long it took until it said so; zero where it did not.
    pub(super) took: Duration,
}

pub(super) async fn ask_gateway(context: &Context, limit: Limit) -> GatewayAnswer {
    let socket = context.engine_socket();
    let began = Instant::now();
    let peer = crate::socket::connect(&socket, limit.left())
        .await
        .and_then(|stream| stream.peer_cred())
        .map(|peer| peer.uid());
    let engine = Engine::at(&socket).ok();
    let engine = engine.map(|engine| engine.waiting_for_docker(Duration::ZERO));
    let containers = match &engine {
        Some(engine) if peer.is_ok() => limit
            .answer(engine.list())
            .await
            .unwrap_or(Err(EngineError::TimedOut)),
        _ => Err(EngineError::Unreachable {
            socket: socket.clone(),
            why: peer.as_ref().err().map(std::io::Error::kind),
        }),
    };
    GatewayAnswer {
        socket,
        peer,
        engine,
        took: if containers.is_ok() {
            began.elapsed()
        } else {
            Duration::ZERO
        },
        containers: containers.map_err(CliError::from),
    }
}

pub(super) fn gateway(answer: &GatewayAnswer) -> Vec<Finding> {
    let socket = answer.socket.display();
    match (&answer.peer, &answer.containers) {
        (Err(error), _) => vec![
            Finding::problem("gateway", format!("no answer on {socket}: {error}"))
                .means("containers cannot be listed or changed; running ones keep running")
                .next("ask the administrator to start aistack-engine"),
        ],
        (Ok(_), Err(failure)) => vec![from_error("gateway", failure)],
        (Ok(uid), Ok(_)) => vec![Finding::ok(
            "gateway",
            format!("{socket} belongs to UID {uid}"),
        )],
    }
}

/// What the gateway itself warns of, e.g. a disk that is down to its reserve.
pub(super) async fn warnings(engine: &Engine, limit: Limit) -> Vec<Finding> {
    let reply = limit.answer(engine.warnings()).await;
    // A gateway that does not answer is a finding of its own.
    let warnings = reply.ok().and_then(Result::ok).unwrap_or_default();
    let finding = |text: String| {
        Finding::warning("engine", text).next("ask the administrator; see docs/admin.md")
    };
    warnings.into_iter().map(finding).collect()
}

/// A failure of the command's edge as a problem.
pub(super) fn from_error(check: &'static str, failure: &CliError) -> Finding {
    let mut finding = Finding::problem(check, &failure.what);
    for cause in &failure.causes {
        let rule = cause.rule.as_ref().map(|rule| format!(" [{rule}]"));
        finding = finding.means(format!("{}{}", cause.text, rule.unwrap_or_default()));
    }
    finding.next.clone_from(&failure.next);
    finding
}

/// Whether the host's clock is kept right. systemd asks the kernel (adjtimex(2)), whoever sets it.
pub(super) async fn clock() -> Finding {
    let mut ask = Command::new("timedatectl");
    ask.args(["show", "--property=NTPSynchronized", "--value"])
        .kill_on_drop(true);
    let answer = tokio::time::timeout(CLOCK_LIMIT, ask.output()).await;
    let answer = answer.ok().and_then(Result::ok);
    let word = answer.filter(|output| output.status.success());
    synchronised(word.map(|output| output.stdout).as_deref())
}

fn synchronised(answer: Option<&[u8]>) -> Finding {
    match answer.map(<[u8]>::trim_ascii) {
        Some(b"yes") => Finding::ok("clock", "the clock is synchronised"),
        Some(b"no") => Finding::warning("clock", "the clock is not synchronised")
            .means("certificates and token logins fail when it is off by minutes")
            .next("ask the administrator to turn on time synchronisation"),
        _ => Finding::unchecked(
            "clock",
            "this host does not report whether it is synchronised",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn a_helper_that_is_not_there_is_one_problem() {
        let answer = HelperAnswer {
            engine: Err(CliError::new(Exit::Unreachable, "gone")),
            took: Duration::ZERO,
            socket: "/nonexistent".into(),
            reached: Err(CliError::new(Exit::Unreachable, "gone").next("start it")),
        };
        let findings = helper(&answer);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].level, Level::Error);
        assert_eq!(findings[0].next.as_deref(), Some("start it"));
        assert!(answer.who().is_none());
    }

    #[test]
    fn a_refusal_names_the_rule_and_the_helper_itself_is_fine() {
        let refused = CliError::new(Exit::Policy, "you are no tenant")
            .by_rule("NO_TENANT", Some("tenants.uids (policy.toml:4)".to_owned()));
        let answer = HelperAnswer {
            engine: Err(CliError::new(Exit::Policy, "you are no tenant")),
            took: Duration::ZERO,
            socket: "/run/x.sock".into(),
            reached: Ok(Err(refused)),
        };
        let findings = helper(&answer);
        assert_eq!(findings[0].level, Level::Ok);
        assert_eq!(findings[1].check, "policy");
        assert!(findings[1].means[0].contains("policy.toml:4"));
    }

    #[test]
    fn versions_that_differ_are_worth_a_warning() {
        assert_eq!(versions(CLIENT_VERSION).level, Level::Ok);
        assert_eq!(versions("9.9.9").level, Level::Warning);
    }

    #[test]
    fn the_clock_is_judged_by_what_the_host_says_and_not_when_it_says_nothing() {
        assert_eq!(synchronised(Some(b"yes\n")).level, Level::Ok);
        assert_eq!(synchronised(Some(b"no\n")).level, Level::Warning);
        assert_eq!(synchronised(Some(b"")).level, Level::Unchecked);
        assert_eq!(synchronised(None).level, Level::Unchecked);
    }
}
