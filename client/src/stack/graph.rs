//! The dependency graph of a deploy: a service starts as soon as what it needs is healthy.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;

use tokio::task::JoinSet;

use crate::error::ServiceReport;

/// One service and what must be healthy before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Service name.
    pub name: String,
    /// Names of other nodes.
    pub needs: Vec<String>,
    /// Names of nodes that it waits for until they have an outcome, whichever. Names that are no
    /// node are not waited for.
    pub after: Vec<String>,
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
/// needs it and nothing else. Needs that are no node are never met, nor are circles of needs; both
/// end as [`Outcome::Skipped`]. A circle that [`Node::after`] closes is opened there. Dropping the
/// future ends the work where it stands.
pub async fn execute<W: Worker>(nodes: Vec<Node>, worker: Arc<W>) -> BTreeMap<String, Outcome> {
    let mut graph = Graph::new(nodes);
    let mut running = JoinSet::new();
    loop {
        graph.skip_hopeless();
        let mut ready = graph.take_ready(true);
        if ready.is_empty() && running.is_empty() {
            ready = graph.take_ready(false);
        }
        for name in ready {
            let worker = Arc::clone(&worker);
            running.spawn(async move {
                let result = worker.work(&name).await;
                (name, result)
            });
        }
        match running.join_next().await {
            Some(Ok((name, result))) => {
                let outcome = result.map_or_else(Outcome::Failed, |()| Outcome::Done);
                graph.outcomes.insert(name, outcome);
            }
            // A task that panicked has no outcome of its own and gets one at the end.
            Some(Err(_)) => {}
            None => break,
        }
    }
    graph.end()
}

/// What is left to do, and how it ended with the rest.
struct Graph {
    names: BTreeSet<String>,
    pending: Vec<Node>,
    outcomes: BTreeMap<String, Outcome>,
}

impl Graph {
    fn new(nodes: Vec<Node>) -> Self {
        Self {
            names: nodes.iter().map(|node| node.name.clone()).collect(),
            pending: nodes,
            outcomes: BTreeMap::new(),
        }
    }

    fn done(&self, name: &str) -> bool {
        self.outcomes.get(name) == Some(&Outcome::Done)
    }

    /// Gives up what needs something that ended otherwise than done.
    fn skip_hopeless(&mut self) {
        loop {
            let hopeless = self.pending.iter().position(|node| {
                let mut needs = node.needs.iter();
                needs.any(|need| self.outcomes.contains_key(need) && !self.done(need))
            });
            let Some(at) = hopeless else {
                return;
            };
            let node = self.pending.remove(at);
            let because = self.unmet(&node);
            self.outcomes
                .insert(node.name, Outcome::Skipped { because });
        }
    }

    fn unmet(&self, node: &Node) -> String {
        let unmet = node.needs.iter().find(|need| !self.done(need));
        unmet.cloned().unwrap_or_default()
    }

    /// Takes the nodes that can start; `patient` ones wait for what they are to start after.
    fn take_ready(&mut self, patient: bool) -> Vec<String> {
        let waits_for =
            |name: &String| self.names.contains(name) && !self.outcomes.contains_key(name);
        let (ready, blocked): (Vec<Node>, Vec<Node>) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition(|node| {
                node.needs.iter().all(|need| self.done(need))
                    && !(patient && node.after.iter().any(waits_for))
            });
        self.pending = blocked;
        ready.into_iter().map(|node| node.name).collect()
    }

    fn end(mut self) -> BTreeMap<String, Outcome> {
        for node in std::mem::take(&mut self.pending) {
            let because = self.unmet(&node);
            self.outcomes
                .insert(node.name, Outcome::Skipped { because });
        }
        for name in self.names {
            self.outcomes
                .entry(name)
                .or_insert_with(|| Outcome::Skipped {
                    because: "an error in aistack itself".to_owned(),
                });
        }
        self.outcomes
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::exit::Exit;

    /// Records starts and ends; services in `failing` fail.
    #[derive(Default)]
    struct Script {
        failing: BTreeSet<&'static str>,
        log: Mutex<Vec<String>>,
    }

    impl Worker for Script {
        async fn work(&self, service: &str) -> Result<(), Box<ServiceReport>> {
            self.log.lock().unwrap().push(format!("+{service}"));
            tokio::task::yield_now().await;
            self.log.lock().unwrap().push(format!("-{service}"));
            if self.failing.contains(service) {
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
            now: None,
            exit: Exit::NotHealthy,
        }
    }

    fn node(name: &str, needs: &[&str]) -> Node {
        Node {
            name: name.to_owned(),
            needs: needs.iter().map(|&need| need.to_owned()).collect(),
            after: Vec::new(),
        }
    }

    fn after(name: &str, after: &[&str]) -> Node {
        Node {
            after: after.iter().map(|&other| other.to_owned()).collect(),
            ..node(name, &[])
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
            failing: BTreeSet::from(["postgres"]),
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

    #[tokio::test]
    async fn a_soft_edge_waits_for_any_outcome() {
        let nodes = vec![
            after("caddy", &["n8n", "grafana", "prometheus", "gone"]),
            node("postgres", &[]),
            node("n8n", &["postgres"]),
            node("grafana", &[]),
            node("prometheus", &[]),
        ];
        let script = Script {
            failing: BTreeSet::from(["postgres", "grafana"]),
            ..Script::default()
        };
        let (outcomes, log) = run(script, nodes).await;
        assert!(matches!(outcomes["n8n"], Outcome::Skipped { .. }));
        assert!(matches!(outcomes["grafana"], Outcome::Failed(_)));
        assert_eq!(outcomes["caddy"], Outcome::Done);
        for first in ["-postgres", "-grafana", "-prometheus"] {
            assert!(at(&log, first) < at(&log, "+caddy"), "{log:?}");
        }
    }

    #[tokio::test]
    async fn a_circle_of_soft_edges_is_opened() {
        let mut needy = after("b", &["a"]);
        needy.needs.push("c".to_owned());
        let nodes = vec![after("a", &["b"]), needy, node("c", &[])];
        let (outcomes, _) = run(Script::default(), nodes).await;
        assert!(outcomes.values().all(|outcome| *outcome == Outcome::Done));
    }
}
