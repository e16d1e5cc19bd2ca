//! The stack's sites as visitors from outside meet them.

use super::Finding;
use crate::desired::Stack;
use crate::stack::front_door::{self, Reach};

/// One line for all sites that can be opened, and one for each that cannot; nothing without a front door.
pub(super) async fn front_door(stack: &Stack) -> Vec<Finding> {
    of(&front_door::look(stack).await)
}

fn of(reached: &[Reach]) -> Vec<Finding> {
    let (closed, open): (Vec<&Reach>, Vec<&Reach>) =
        reached.iter().partition(|reach| reach.problem.is_some());
    let mut findings = Vec::new();
    if !open.is_empty() {
        let mut addresses: Vec<String> = open
            .iter()
            .flat_map(|reach| reach.addresses.iter().map(ToString::to_string))
            .collect();
        addresses.sort();
        addresses.dedup();
        let names = match open.len() {
            1 => "1 name leads".to_owned(),
            count => format!("{count} names lead"),
        };
        let found = format!("{names} to your proxy, at {}", addresses.join(", "));
        findings.push(Finding::ok("front door", found));
    }
    findings.extend(closed.into_iter().map(|reach| {
        let why = reach.problem.clone().unwrap_or_default();
        Finding::warning("front door", format!("{}: {why}", reach.host))
            .means("nobody opens this site from outside")
            .next(reach.next.clone().unwrap_or_default())
    }));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(host: &str, problem: Option<&str>) -> Reach {
        Reach {
            service: "n8n".to_owned(),
            host: host.to_owned(),
            addresses: vec!["192.0.2.7".parse().unwrap()],
            problem: problem.map(str::to_owned),
            next: problem.map(|_| "do this".to_owned()),
        }
    }

    #[test]
    fn what_opens_is_one_line_and_what_does_not_is_a_line_each() {
        assert!(of(&[]).is_empty());
        let reached = [
            reach("a.test", None),
            reach("b.test", Some("the name does not resolve")),
            reach("c.test", None),
        ];
        let findings = of(&reached);
        assert_eq!(findings.len(), 2);
        assert!(
            findings[0]
                .found
                .contains("2 names lead to your proxy, at 192.0.2.7")
        );
        assert!(
            findings[1]
                .found
                .contains("b.test: the name does not resolve")
        );
    }
}
