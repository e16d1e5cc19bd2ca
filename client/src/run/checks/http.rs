//! A check that is a chain of requests.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::desired::{Request, Secrets, Via};
use crate::run::tls::{Served, Trust};
use crate::ui;

use super::s3;
use super::text::Hand;
use super::wire;

/// One request may take this long.
const REQUEST: Duration = Duration::from_secs(20);
/// A whole check may, besides what its steps are given by `within`.
const CHECK: Duration = Duration::from_mins(1);
/// Pauses before another try.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));

/// Makes the requests; what the site's certificate was goes to `served`.
pub(super) async fn run(
    via: &Via,
    steps: &[Request],
    trust: &Trust,
    secrets: &Secrets,
    served: &mut Option<Served>,
) -> Result<(), String> {
    let within: Duration = steps.iter().filter_map(|step| step.within).sum();
    let deadline = Instant::now() + CHECK + within;
    let mut hand = Hand::new(secrets);
    let mut result = Ok(());
    for (at, step) in steps.iter().enumerate() {
        if result.is_err() && !step.always {
            continue;
        }
        // What cleans up gets its time although the check has used up its own.
        let deadline = if step.always {
            Instant::now() + REQUEST + step.within.unwrap_or_default()
        } else {
            deadline
        };
        let outcome = one(via, step, trust, &mut hand, served, deadline).await;
        if let (Ok(()), Err(why)) = (&result, outcome) {
            let told = format!("{} {}: {why}", step.method, step.path);
            let told = hand.secrets.mask(&ui::clean(&told));
            result = Err(match steps.len() {
                1 => told,
                _ => format!("step {}: {told}", at + 1),
            });
        }
    }
    result
}

/// One step, repeated for as long as it may be.
async fn one(
    via: &Via,
    step: &Request,
    trust: &Trust,
    hand: &mut Hand,
    served: &mut Option<Served>,
    deadline: Instant,
) -> Result<(), String> {
    // What was never captured does not come by trying again.
    hand.fill(step)?;
    let until = step.within.map(|within| Instant::now() + within);
    let mut pause = PAUSES.0;
    loop {
        if deadline <= Instant::now() {
            return Err("the check has used up its time".to_owned());
        }
        let left = until.map_or(Duration::ZERO, |until| until - Instant::now());
        let limit = REQUEST.max(left).min(deadline - Instant::now());
        let asked = timeout(limit, ask(via, step, trust, hand, served)).await;
        let outcome = asked.unwrap_or_else(|_| Err(format!("no answer in {}", ui::seconds(limit))));
        let (Err(why), Some(until)) = (&outcome, until) else {
            return outcome;
        };
        let now = Instant::now();
        if now + pause >= until.min(deadline) {
            let tried = step.within.map(ui::seconds).unwrap_or_default();
            return Err(format!("{why} (tried for {tried})"));
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

async fn ask(
    via: &Via,
    step: &Request,
    trust: &Trust,
    hand: &mut Hand,
    served: &mut Option<Served>,
) -> Result<(), String> {
    let mut outgoing = hand.fill(step)?;
    if let Some(keys) = &step.s3 {
        outgoing.path = s3::signed(
            &outgoing.method,
            &wire::authority(via),
            &outgoing.path,
            keys,
        )?;
    }
    let answer = wire::send(via, trust, outgoing, served).await?;
    hand.take_cookies(&answer);
    if !step.expect.contains(&answer.status) {
        let said = match hand.excerpt(&answer.body) {
            said if said.is_empty() => String::new(),
            said => format!(": {said}"),
        };
        let expected = list(&step.expect);
        return Err(format!("answered {}, not {expected}{said}", answer.status));
    }
    if let Some(text) = &step.contains {
        let text = hand.wanted(text)?;
        if !String::from_utf8_lossy(&answer.body).contains(&text) {
            let said = hand.excerpt(&answer.body);
            return Err(format!("the answer does not hold `{text}`: {said}"));
        }
    }
    hand.capture(&step.capture, &answer)
        .map_err(|why| match hand.excerpt(&answer.body) {
            said if said.is_empty() => why,
            said => format!("{why}: {said}"),
        })
}

fn list(statuses: &[u16]) -> String {
    let words: Vec<String> = statuses.iter().map(u16::to_string).collect();
    words.join(" or ")
}
