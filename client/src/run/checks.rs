//! What `validate` asks running services: what their users would ask.

mod http;
mod s3;
mod text;
pub(crate) mod wire;

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::desired::{Check, DesiredService, Secrets, Stack};
use crate::engine::Engine;
use crate::run::tls::{Served, Trust};
use crate::ui;

/// A command in a container may take this long.
const COMMAND: Duration = Duration::from_secs(30);

/// How one check ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckResult {
    /// Service name.
    pub service: String,
    /// What was asked.
    pub title: String,
    /// Whether the answer was the expected one.
    pub ok: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// How long it took.
    pub seconds: f64,
    /// The certificate that its site served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Served>,
}

/// Who asks: with what connection, whom it believes, and what it must not repeat.
pub struct Asker<'a> {
    engine: &'a Engine,
    trust: Trust,
    secrets: &'a Secrets,
}

impl<'a> Asker<'a> {
    /// One for a stack.
    #[must_use]
    pub fn new(engine: &'a Engine, stack: &'a Stack) -> Self {
        Self {
            engine,
            trust: Trust::open(stack.own_root.as_deref()),
            secrets: &stack.secrets,
        }
    }

    /// Asks one service everything, one thing after the other. `id` is its container's, `None` when
    /// it has none.
    pub async fn ask(&self, service: &DesiredService, id: Option<&str>) -> Vec<CheckResult> {
        let mut results = Vec::new();
        for check in &service.checks {
            let started = Instant::now();
            let mut certificate = None;
            let answer = match id {
                Some(id) => self.one(id, check, &mut certificate).await,
                None => Err("there is no container".to_owned()),
            };
            results.push(CheckResult {
                service: service.name.clone(),
                title: check.title().to_owned(),
                ok: answer.is_ok(),
                problem: answer.err(),
                seconds: started.elapsed().as_secs_f64(),
                certificate,
            });
            if id.is_none() {
                break;
            }
        }
        results
    }

    async fn one(
        &self,
        id: &str,
        check: &Check,
        served: &mut Option<Served>,
    ) -> Result<(), String> {
        match check {
            Check::Http { via, steps, .. } => {
                http::run(via, steps, &self.trust, self.secrets, served).await
            }
            Check::Exec {
                command,
                stdin,
                expect,
                ..
            } => {
                let asked = self.exec(id, command, stdin, expect.as_deref());
                let answer = tokio::time::timeout(COMMAND, asked).await;
                answer.unwrap_or_else(|_| Err(format!("no answer in {}", ui::seconds(COMMAND))))
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
            return Err(self.secrets.mask(&ui::clean(&output.failure(stdin))));
        }
        match expect {
            Some(text) if !output.text.contains(text) => {
                Err(format!("the answer does not hold `{text}`"))
            }
            _ => Ok(()),
        }
    }
}
