//! The sites of a stack, and how the certificate of each stands.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

use super::{Served, Trust};
use crate::desired::Stack;
use crate::engine::Engine;
use crate::stack::checks::wire;
use crate::ui;

/// A handshake on loopback may take this long.
const LIMIT: Duration = Duration::from_secs(10);
/// Of the proxy's log, so many lines are looked through.
const LOG_LINES: u32 = 2000;
/// Of one complaint, so much is shown, characters.
const MAX_COMPLAINT: usize = 400;
/// How often sites are queried that are waited for.
const AGAIN: Duration = Duration::from_millis(300);

/// A host name behind the proxy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Site {
    /// The service that answers there.
    pub service: String,
    /// Host name.
    pub host: String,
    /// The proxy's published port.
    pub port: u16,
}

/// How a site's certificate stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SiteState {
    /// The site.
    #[serde(flatten)]
    pub site: Site,
    /// Whether its users get a certificate that is right.
    pub ok: bool,
    /// What is wrong.
    pub problem: Option<String>,
    /// What it serves, also when that is wrong.
    pub certificate: Option<Served>,
    /// What the proxy said last about obtaining it, where something is wrong.
    pub log: Option<String>,
}

/// Every site of a stack, in catalog order.
#[must_use]
pub fn of(stack: &Stack) -> Vec<Site> {
    let services = stack.services.iter();
    services
        .flat_map(|service| {
            let sites = service.endpoints.iter().filter(|endpoint| endpoint.proxied);
            sites.map(|endpoint| Site {
                service: service.name.clone(),
                host: endpoint.host.clone(),
                port: endpoint.published,
            })
        })
        .collect()
}

/// Looks at one site.
pub async fn look(trust: &Trust, site: &Site) -> SiteState {
    let reply = async {
        match wire::connect(site.port).await {
            Ok(stream) => {
                let handshake = trust.handshake(stream, &site.host).await;
                (handshake.served, handshake.stream.err())
            }
            Err(why) => (None, Some(why)),
        }
    };
    let (certificate, problem) = tokio::time::timeout(LIMIT, reply)
        .await
        .unwrap_or_else(|_| (None, Some(format!("no answer in {}", ui::seconds(LIMIT)))));
    SiteState {
        site: site.clone(),
        ok: problem.is_none(),
        problem,
        certificate,
        log: None,
    }
}

/// Waits until every site has a certificate that is right, or the time is up; false then. An
/// authority on the internet takes some seconds after the proxy was started.
pub async fn wait(trust: &Trust, sites: &[Site], limit: Duration) -> bool {
    let until = Instant::now() + limit;
    loop {
        let states = join_all(sites.iter().map(|site| look(trust, site))).await;
        if states.iter().all(|state| state.ok) {
            return true;
        }
        if Instant::now() >= until {
            return false;
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Looks at all of them at once; the log of the proxy is read where one is wrong.
pub async fn look_at_all(
    trust: &Trust,
    sites: &[Site],
    engine: &Engine,
    proxy: Option<&str>,
) -> Vec<SiteState> {
    let mut states = join_all(sites.iter().map(|site| look(trust, site))).await;
    if let (Some(proxy), false) = (proxy, states.iter().all(|state| state.ok)) {
        let lines = engine.last_log_lines(proxy, LOG_LINES).await;
        let hosts: Vec<&str> = sites.iter().map(|site| site.host.as_str()).collect();
        let mut said = said(&lines, &hosts);
        for state in states.iter_mut().filter(|state| !state.ok) {
            state.log = said.remove(&state.site.host);
        }
    }
    states
}

/// What caddy complained of last about each host, of each authority that it used: its log is one
/// JSON object a line.
fn said(lines: &[String], hosts: &[&str]) -> BTreeMap<String, String> {
    let mut by_issuer: BTreeMap<&str, BTreeMap<String, String>> = BTreeMap::new();
    let mut last = BTreeMap::new();
    for line in lines {
        let Ok(entry) = serde_json::from_str::<Value>(line) else {
            continue;
        };
        let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default();
        let complains = matches!(text("level"), "error" | "warn");
        let about_tls = ["tls", "http.acme_client", "pki"]
            .iter()
            .any(|logger| text("logger").starts_with(logger));
        if !complains || !about_tls {
            continue;
        }
        for host in hosts.iter().filter(|host| line.contains(**host)) {
            let shown = complaint(&entry);
            if text("issuer").is_empty() {
                last.insert((*host).to_owned(), shown);
            } else {
                let issuers = by_issuer.entry(host).or_default();
                issuers.insert(text("issuer").to_owned(), shown);
            }
        }
    }
    for (host, issuers) in by_issuer {
        let shown = issuers
            .into_iter()
            .map(|(issuer, shown)| format!("{issuer}: {shown}"));
        last.insert(host.to_owned(), shown.collect::<Vec<_>>().join("; "));
    }
    last
}

/// When, what and why, in one line.
fn complaint(entry: &Value) -> String {
    let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default();
    let moment = entry.get("ts").and_then(Value::as_f64).and_then(moment);
    let moment = moment.map_or_else(String::new, |moment| format!("{moment} "));
    let colon = if text("error").is_empty() { "" } else { ": " };
    let shown = format!("{moment}{}{colon}{}", text("msg"), text("error"));
    ui::clean(&shown).chars().take(MAX_COMPLAINT).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "a moment in whole seconds")]
fn moment(unix: f64) -> Option<Timestamp> {
    Timestamp::from_second(unix as i64).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_complaint_about_each_host_is_found_in_caddys_log() {
        let lines = [
            r#"{"level":"error","ts":1795695852.5,"logger":"tls.obtain","msg":"will retry","error":"[n8n.example.test] Obtain: first"}"#,
            r#"{"level":"error","ts":1795695853.5,"logger":"tls.obtain","msg":"will retry","error":"[n8n.example.test] Obtain: no such host"}"#,
            r#"{"level":"info","ts":1795695854.5,"logger":"tls.obtain","msg":"obtaining certificate","identifier":"n8n.example.test"}"#,
            r#"{"level":"error","ts":1795695855.5,"logger":"http.log.error","msg":"dial tcp","request":{"host":"n8n.example.test"}}"#,
            "no JSON n8n.example.test",
        ]
        .map(str::to_owned);
        let said = said(&lines, &["n8n.example.test", "grafana.example.test"]);
        assert_eq!(said.len(), 1);
        let mut two = lines.to_vec();
        for (issuer, why) in [("le", "old"), ("zero", "no"), ("le", "new")] {
            two.push(format!(
                r#"{{"level":"error","logger":"tls.obtain","msg":"could not","identifier":"n8n.example.test","issuer":"{issuer}","error":"{why}"}}"#
            ));
        }
        let each = super::said(&two, &["n8n.example.test"]);
        assert_eq!(
            each["n8n.example.test"],
            "le: could not: new; zero: could not: no"
        );
        assert_eq!(
            said["n8n.example.test"],
            "2026-11-26T12:24:13Z will retry: [n8n.example.test] Obtain: no such host"
        );
    }
}
