//! What `validate` asks running services: what their users would ask.

mod http;
mod s3;
mod text;
pub(crate) mod wire;

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::desired::{Check, DesiredService, Secrets, Stack, TimeScale};
use crate::engine::{Container, Engine};
use crate::stack::tls::{Served, Trust};
use crate::ui;

/// How long a check may take.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// One request.
    request: Duration,
    /// A whole check, besides what its steps are given by `within`.
    check: Duration,
    /// A command in a container.
    command: Duration,
}

impl Limits {
    /// On a machine that slow.
    fn on(scale: TimeScale) -> Self {
        let limit = |seconds| scale.stretch(Duration::from_secs(seconds));
        Self {
            request: limit(20),
            check: limit(60),
            command: limit(30),
        }
    }
}

/// How one check ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckResult {
    /// Service name.
    pub service: String,
    /// What was checked.
    pub title: String,
    /// Whether the answer was the expected one.
    pub ok: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// What is to be known although it is not a failure, e.g. that there was nothing to ask.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
    /// How long it took.
    pub seconds: f64,
    /// The certificate that its site served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Served>,
}

impl CheckResult {
    fn not_run(service: &DesiredService, why: String) -> Self {
        Self {
            service: service.name.clone(),
            title: "can be checked".to_owned(),
            ok: false,
            problem: Some(why),
            warning: None,
            seconds: 0.0,
            certificate: None,
        }
    }

    /// It runs, and that is all that can be said.
    fn without_a_check(service: &DesiredService) -> Self {
        let why = "nothing is known to ask it: its entry has no check, or only some through a site \
                   that it does not have without a proxy";
        Self {
            ok: true,
            problem: None,
            warning: Some(why.to_owned()),
            ..Self::not_run(service, String::new())
        }
    }
}

/// Who asks: with what connection, whom it believes, and what it must not repeat.
pub struct Checker<'a> {
    engine: &'a Engine,
    trust: Trust,
    secrets: &'a Secrets,
    limits: Limits,
}

impl<'a> Checker<'a> {
    /// One for a stack.
    #[must_use]
    pub fn new(engine: &'a Engine, stack: &'a Stack) -> Self {
        Self {
            engine,
            trust: Trust::open(stack.own_root.as_deref()),
            secrets: &stack.secrets,
            limits: Limits::on(stack.time_scale),
        }
    }

    /// Runs the checks of one service, one after the other. One whose container does not run is
    /// not checked. `asking` gets each title.
    pub async fn ask(
        &self,
        service: &DesiredService,
        container: Option<&Container>,
        asking: impl Fn(&str),
    ) -> Vec<CheckResult> {
        let id = match container {
            Some(container) if container.state == "running" => &container.id,
            Some(container) => {
                let why = format!("its container is {}", container.state);
                return vec![CheckResult::not_run(service, why)];
            }
            None => {
                let why = "there is no container".to_owned();
                return vec![CheckResult::not_run(service, why)];
            }
        };
        if service.checks.is_empty() {
            return vec![CheckResult::without_a_check(service)];
        }
        let mut results = Vec::new();
        for check in &service.checks {
            asking(check.title());
            let started = Instant::now();
            let mut certificate = None;
            let answer = self.one(id, check, &mut certificate, &asking).await;
            results.push(CheckResult {
                service: service.name.clone(),
                title: check.title().to_owned(),
                ok: answer.is_ok(),
                problem: answer.err(),
                warning: None,
                seconds: started.elapsed().as_secs_f64(),
                certificate,
            });
        }
        results
    }

    async fn one(
        &self,
        id: &str,
        check: &Check,
        served: &mut Option<Served>,
        notice: &dyn Fn(&str),
    ) -> Result<(), String> {
        match check {
            Check::Http { via, steps, .. } => {
                let trust = &self.trust;
                let line = http::Line {
                    via,
                    trust,
                    limits: self.limits,
                    notice,
                };
                http::run(&line, steps, self.secrets, served).await
            }
            Check::Exec {
                command,
                stdin,
                expect,
                ..
            } => {
                let call = self.exec(id, command, stdin, expect.as_deref());
                let limit = self.limits.command;
                let answer = tokio::time::timeout(limit, call).await;
                answer.unwrap_or_else(|_| Err(format!("no answer in {}", ui::seconds(limit))))
            }
        }
    }

    async fn exec(
        &self,
        id: &str,
        command: &[String],
        stdin: &str,
        expect: Option<&str>,
    ) -> Result<(), String> {
        let output = self.engine.exec(id, command, stdin).await;
        let output = output.map_err(|error| error.to_string())?;
        if output.code != 0 {
            return Err(self.secrets.mask_quoted(&ui::clean(&output.why(stdin))));
        }
        match expect {
            Some(text) if !output.text.contains(text) => {
                Err(format!("the answer does not hold `{text}`"))
            }
            _ => Ok(()),
        }
    }
}
