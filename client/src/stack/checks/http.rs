//! A check that is a chain of requests.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::desired::{Request, Secrets, Via};
use crate::stack::tls::{Served, Trust};
use crate::ui;

use super::Limits;
use super::s3;
use super::text::HttpSession;
use super::wire;

/// Pauses before another try.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));
/// A service that answers 429 is queried again for so long: most limits are for one minute, n8n's
/// five sign-ins among them (its `auth.controller`). That minute is as long on a slow machine.
const BUSY: Duration = Duration::from_secs(75);
/// The pause after a 429 that names none.
const BUSY_PAUSE: Duration = Duration::from_secs(5);

/// Whom the requests go to, whom they believe, and who hears why it takes long.
pub(super) struct Line<'a> {
    pub(super) via: &'a Via,
    pub(super) trust: &'a Trust,
    pub(super) limits: Limits,
    pub(super) notice: &'a dyn Fn(&str),
}

/// Why a step was not answered as it should be.
struct Miss {
    why: String,
    /// It was 429: the service wants no request for so long.
    busy: Option<Duration>,
}

impl From<String> for Miss {
    fn from(why: String) -> Self {
        Self { why, busy: None }
    }
}

/// Makes the requests; what the site's certificate was goes to `served`.
pub(super) async fn run(
    line: &Line<'_>,
    steps: &[Request],
    secrets: &Secrets,
    served: &mut Option<Served>,
) -> Result<(), String> {
    let within: Duration = steps.iter().filter_map(|step| step.within).sum();
    let mut deadline = Instant::now() + line.limits.check + within;
    let mut session = HttpSession::new(secrets);
    let mut result = Ok(());
    for (at, step) in steps.iter().enumerate() {
        if result.is_err() && !step.always {
            continue;
        }
        // What cleans up gets its time although the check has used up its own.
        let mut own = Instant::now() + line.limits.request + step.within.unwrap_or_default();
        let deadline = if step.always { &mut own } else { &mut deadline };
        let outcome = line.one(step, &mut session, served, deadline).await;
        if let (Ok(()), Err(why)) = (&result, outcome) {
            let notice = format!("{} {}: {why}", step.method, step.path);
            let notice = session.secrets.mask_quoted(&ui::clean(&notice));
            result = Err(match steps.len() {
                1 => notice,
                _ => format!("step {}: {notice}", at + 1),
            });
        }
    }
    result
}

impl Line<'_> {
    /// One step, repeated for as long as it may be. A service that is busy moves the deadline.
    async fn one(
        &self,
        step: &Request,
        session: &mut HttpSession,
        served: &mut Option<Served>,
        deadline: &mut Instant,
    ) -> Result<(), String> {
        // What was never captured does not come by trying again.
        session.fill(step)?;
        let started = Instant::now();
        let within = step.within.map(|within| started + within);
        let mut pause = PAUSES.0;
        let mut moved = false;
        loop {
            if *deadline <= Instant::now() {
                return Err("the check timed out".to_owned());
            }
            let left = within.map_or(Duration::ZERO, |until| until - Instant::now());
            let limit = self.limits.request.max(left);
            let limit = limit.min(*deadline - Instant::now());
            let reply = timeout(limit, self.ask(step, session, served)).await;
            let outcome = reply
                .unwrap_or_else(|_| Err(format!("no answer in {}", ui::seconds(limit)).into()));
            let Err(Miss { why, busy }) = outcome else {
                return Ok(());
            };
            let mut until = within;
            if let Some(wanted) = busy {
                if !moved {
                    *deadline += BUSY;
                    moved = true;
                    (self.notice)("rate limited; waiting");
                }
                until = Some(within.map_or(started + BUSY, |until| until.max(started + BUSY)));
                pause = wanted.max(PAUSES.0);
            }
            let Some(until) = until else {
                return Err(why);
            };
            let now = Instant::now();
            if now + pause >= until.min(*deadline) {
                return Err(match busy {
                    Some(wanted) if wanted >= BUSY => {
                        format!("{why} (rate limited for {})", ui::seconds(wanted))
                    }
                    _ => format!("{why} (tried for {})", ui::seconds(until - started)),
                });
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    async fn ask(
        &self,
        step: &Request,
        session: &mut HttpSession,
        served: &mut Option<Served>,
    ) -> Result<(), Miss> {
        let mut outgoing = session.fill(step)?;
        if let Some(keys) = &step.s3 {
            outgoing.path = s3::signed(
                &outgoing.method,
                &wire::authority(self.via),
                &outgoing.path,
                keys,
            )?;
        }
        let answer = wire::send(self.via, self.trust, outgoing, served).await?;
        session.take_cookies(&answer);
        if !step.expect.contains(&answer.status) {
            let said = match session.excerpt(&answer.body) {
                said if said.is_empty() => String::new(),
                said => format!(": {said}"),
            };
            let expected = list(&step.expect);
            let why = format!("answered {}, not {expected}{said}", answer.status);
            let busy = (answer.status == 429).then(|| answer.retry_after.unwrap_or(BUSY_PAUSE));
            return Err(Miss { why, busy });
        }
        if let Some(text) = &step.contains {
            let text = session.wanted(text)?;
            if !String::from_utf8_lossy(&answer.body).contains(&text) {
                let said = session.excerpt(&answer.body);
                return Err(format!("the answer does not contain `{text}`: {said}").into());
            }
        }
        session
            .capture(&step.capture, &answer)
            .map_err(|why| match session.excerpt(&answer.body) {
                said if said.is_empty() => why,
                said => format!("{why}: {said}"),
            })
            .map_err(Miss::from)
    }
}

fn list(statuses: &[u16]) -> String {
    let words: Vec<String> = statuses.iter().map(u16::to_string).collect();
    words.join(" or ")
}
