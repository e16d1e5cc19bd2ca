//! How the engine stands: asked when the daemon begins and whenever the engine has begun anew, and
//! told in the log.

use std::time::Duration;

use aistack_policy::engine::{ApiVersion, EngineFacts, LimitsHeld, Severity, judge};
use bytes::Bytes;
use http::Method;
use http_body_util::BodyExt;
use serde_json::Value;

use super::{Docker, DockerError, whole};

/// Time for the engine to say what it is.
const PATIENCE: Duration = Duration::from_secs(20);

/// Time between two looks at least, however often an engine comes and goes.
const PAUSE: Duration = Duration::from_secs(5);

/// An open request for what never happens: it ends when the engine does. Without a version before
/// it every engine understands it.
const UNTIL_IT_ENDS: &str =
    "/events?filters=%7B%22type%22%3A%5B%22daemon%22%5D%2C%22event%22%3A%5B%22none%22%5D%7D";

/// Tells the log how the engine stands, now and after each time that it was away. Never returns. An
/// engine that has ended is looked at when a request has reached it again: looking would make
/// systemd start one that the administrator has stopped.
pub async fn watch(docker: Docker) {
    let mut told = String::new();
    loop {
        let asking = async {
            // So that the first caller need not wait for it; `ask` tells what is wrong.
            let _ = docker.api().await;
            ask(&docker).await
        };
        let standing = match tokio::time::timeout(PATIENCE, asking).await {
            Ok(Ok(facts)) => Standing::Seen(facts),
            Ok(Err(error)) => Standing::Unknown(error.to_string()),
            Err(_) => Standing::Unknown("Docker takes long to answer".to_owned()),
        };
        tell(&standing, &mut told);
        if matches!(standing, Standing::Seen(_)) {
            until_it_ends(&docker).await;
            // Another one may take its place.
            docker.agreed.forget();
        }
        tokio::time::sleep(PAUSE).await;
        docker.reached.notified().await;
    }
}

/// What is known of an engine.
enum Standing {
    Seen(EngineFacts),
    Unknown(String),
}

/// What an engine says of itself, without a version in the request: any engine answers that.
///
/// # Errors
/// When it does not answer, or not as an engine does.
pub async fn ask(docker: &Docker) -> Result<EngineFacts, DockerError> {
    let get = async |path: &str| -> Result<Value, DockerError> {
        let answer = docker
            .send_as_it_is(Method::GET, path, &[], Bytes::new())
            .await?;
        if !answer.status().is_success() {
            return Err(DockerError::of(answer).await);
        }
        serde_json::from_slice(&whole(answer).await?).map_err(super::broke)
    };
    let (version, info) = (get("/version").await?, get("/info").await?);
    facts(&version, &info).ok_or_else(|| super::broke("it does not say its version"))
}

/// Reads the answers to `/version` and `/info`; `None` when these are none of an engine.
#[must_use]
pub fn facts(version: &Value, info: &Value) -> Option<EngineFacts> {
    let text = |value: &Value, key: &str| {
        let text = value.get(key).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    let held = |key: &str| info.get(key).and_then(Value::as_bool).unwrap_or(true);
    let options = info.get("SecurityOptions").and_then(Value::as_array);
    Some(EngineFacts {
        newest: Some(ApiVersion::parse(&text(version, "ApiVersion"))?),
        oldest: ApiVersion::parse(&text(version, "MinAPIVersion")),
        version: text(version, "Version"),
        security_options: options
            .into_iter()
            .flatten()
            .filter_map(|option| option.as_str().map(str::to_owned))
            .collect(),
        cgroup_driver: text(info, "CgroupDriver"),
        limits: LimitsHeld {
            memory: held("MemoryLimit"),
            cpus: held("CpuCfsQuota"),
            pids: held("PidsLimit"),
        },
        live_restore: info
            .get("LiveRestoreEnabled")
            .and_then(Value::as_bool)
            .unwrap_or(false),
    })
}

/// Says what has changed since the last time.
fn tell(standing: &Standing, told: &mut String) {
    let now = match standing {
        Standing::Unknown(error) => format!("{error:?}"),
        Standing::Seen(facts) => format!("{facts:?}"),
    };
    if now == *told {
        return;
    }
    *told = now;
    match standing {
        Standing::Unknown(error) => {
            tracing::warn!(%error, "Docker does not say what it is; it is asked again later");
        }
        Standing::Seen(facts) => {
            let newest = facts.newest.map(|version| version.to_string());
            let spoken = facts
                .newest
                .and_then(|newest| ApiVersion::negotiated(facts.oldest, newest))
                .map_or_else(|| "none".to_owned(), |version| version.to_string());
            tracing::info!(
                engine = %facts.version,
                api = newest.unwrap_or_default(),
                spoken,
                "Docker answers"
            );
            for fault in judge(facts) {
                let (found, means, next) = (fault.found, fault.means, fault.next);
                match fault.severity {
                    Severity::Broken => tracing::error!(means, next, "{found}"),
                    Severity::Limited => tracing::warn!(means, next, "{found}"),
                }
            }
        }
    }
}

async fn until_it_ends(docker: &Docker) {
    let opened = docker
        .send_as_it_is(Method::GET, UNTIL_IT_ENDS, &[], Bytes::new())
        .await;
    if let Ok(answer) = opened
        && answer.status().is_success()
    {
        let mut body = answer.into_body();
        while let Some(Ok(_)) = body.frame().await {}
    }
}

#[cfg(test)]
mod tests;
