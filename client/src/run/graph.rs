//! The dependency graph of a deploy: a service starts as soon as what it needs is healthy.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;

use tokio::task::JoinSet;

use crate::failure::ServiceReport;

/// One service and what must be healthy before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Service name.
    pub name: String,
    /// Names of other nodes.
    pub needs: Vec<String>,
}

/// How it ended with one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// As desired.
    Done,
    /// Not healthy.
    Failed(Box<ServiceReport>),
    /// Not tried, because this need was not met.
    Skipped {
        /// Name of the need, or a reason.
        because: String,
    },
}

/// Does what is to be done with one service.
pub trait Worker: Send + Sync + 'static {
    /// Brings one service into the desired state and waits until it is healthy.
    fn work(&self, service: &str) -> impl Future<Output = Result<(), Box<ServiceReport>>> + Send;
}

/// Works through the graph, as many services at once as the edges allow. A failure stops what
/// depends on it and nothing else. Needs that are no node are never met, nor are circles; both
/// end as [`Outcome::Skipped`]. Dropping the future ends the work where it stands.
pub async fn execute<W: Worker>(nodes: Vec<Node>, worker: Arc<W>) -> BTreeMap<String, Outcome> {
    let names: Vec<String> = nodes.iter().map(|node| node.name.clone()).collect();
    let mut pending = nodes;
    let mut outcomes: BTreeMap<String, Outcome> = BTreeMap::new();
    let mut done: BTreeSet<String> = BTreeSet::new();
    let mut running = JoinSet::new();
    loop {
        let (ready, blocked) = pending
            .into_iter()
            .partition(|node: &Node| node.needs.iter().all(|need| done.contains(need)));
        pending = blocked;
        for Node { name, .. } in ready {
            let worker = Arc::clone(&worker);
            running.spawn(async move {
                let result = worker.work(&name).await;
                (name, result)
            });
        }
        match running.join_next().await {
            Some(Ok((name, Ok(())))) => {
                done.insert(name.clone());
                outcomes.insert(name, Outcome::Done);
            }
            Some(Ok((name, Err(report)))) => {
                outcomes.insert(name, Outcome::Failed(report));
            }
            // A task that panicked has no outcome of its own and gets one below.
            Some(Err(_)) => {}
            None => break,
        }
    }
    for node in pending {
        let unmet = node.needs.iter().find(|need| !done.contains(*need));
        let because = unmet.cloned().unwrap_or_default();
        outcomes.insert(node.name, Outcome::Skipped { because });
    }
    for name in names {
        outcomes.entry(name).or_insert_with(|| Outcome::Skipped {
            because: "an error in aistack itself".to_owned(),
        });
    }
    outcomes
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::exit::Exit;

    /// Records starts and ends; services in `broken` fail.
    #[derive(Default)]
    struct Script {
        broken: BTreeSet<&'static str>,
        log: Mutex<Vec<String>>,
    }

    impl Worker for Script {
        async fn work(&self, service: &str) -> Result<(), Box<ServiceReport>> {
            self.log.lock().unwrap().push(format!("+{service}"));
            tokio::task::yield_now().await;
            self.log.lock().unwrap().push(format!("-{service}"));
            if self.broken.contains(service) {
                return Err(Box::new(report(service)));
            }
            Ok(())
        }
    }

    fn report(service: &str) -> ServiceReport {
        ServiceReport {
            service: service.to_owned(),
            container: format!("tenant-1001-{service}"),
            problem: "exited with code 1".to_owned(),
            exit_code: Some(1),
            probe: None,
            log: Vec::new(),
            cause: None,
            restored: false,
            exit: Exit::NotHealthy,
        }
    }

    fn node(name: &str, needs: &[&str]) -> Node {
        Node {
            name: name.to_owned(),
            needs: needs.iter().map(|&need| need.to_owned()).collect(),
        }
    }

    async fn run(script: Script, nodes: Vec<Node>) -> (BTreeMap<String, Outcome>, Vec<String>) {
        let script = Arc::new(script);
        let outcomes = execute(nodes, Arc::clone(&script)).await;
        let log = script.log.lock().unwrap().clone();
        (outcomes, log)
    }

    fn at(log: &[String], entry: &str) -> usize {
        log.iter().position(|logged| logged == entry).unwrap()
    }

    #[tokio::test]
    async fn a_service_starts_after_its_needs_and_beside_the_rest() {
        let nodes = vec![
            node("caddy", &["n8n", "litellm"]),
            node("n8n", &["postgres", "redis"]),
            node("litellm", &["postgres"]),
            node("postgres", &[]),
            node("redis", &[]),
        ];
        let (outcomes, log) = run(Script::default(), nodes).await;
        assert!(outcomes.values().all(|outcome| *outcome == Outcome::Done));
        assert!(at(&log, "+redis") < at(&log, "-postgres"), "{log:?}");
        assert!(at(&log, "-postgres") < at(&log, "+litellm"), "{log:?}");
        assert!(at(&log, "-redis") < at(&log, "+n8n"), "{log:?}");
        assert_eq!(log.last().unwrap(), "-caddy");
    }

    #[tokio::test]
    async fn a_failure_skips_what_depends_on_it_and_nothing_else() {
        let nodes = vec![
            node("postgres", &[]),
            node("redis", &[]),
            node("n8n", &["postgres"]),
            node("caddy", &["n8n"]),
            node("prometheus", &["redis"]),
        ];
        let script = Script {
            broken: BTreeSet::from(["postgres"]),
            ..Script::default()
        };
        let (outcomes, log) = run(script, nodes).await;
        assert!(matches!(outcomes["postgres"], Outcome::Failed(_)));
        assert_eq!(
            outcomes["n8n"],
            Outcome::Skipped {
                because: "postgres".to_owned()
            }
        );
        assert_eq!(
            outcomes["caddy"],
            Outcome::Skipped {
                because: "n8n".to_owned()
            }
        );
        assert_eq!(outcomes["prometheus"], Outcome::Done);
        assert!(!log.contains(&"+n8n".to_owned()), "{log:?}");
    }

    #[tokio::test]
    async fn circles_and_unknown_needs_end() {
        let nodes = vec![node("a", &["b"]), node("b", &["a"]), node("c", &["gone"])];
        let (outcomes, log) = run(Script::default(), nodes).await;
        assert_eq!(outcomes.len(), 3);
        assert!(log.is_empty(), "{log:?}");
    }
}
