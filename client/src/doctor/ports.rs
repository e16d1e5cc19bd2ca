//! The ports of the tenant's range: what listens there, and whose it is.

use std::collections::BTreeSet;

use aistack_proto::v1::WhoAmIResponse;

use super::Finding;
use crate::desired::{DesiredService, Stack};
use crate::engine::Container;
use crate::run::store;
use crate::stack::listeners;

/// Ports that the stack is to publish, each either its own service's already or free.
pub(super) fn of_stack(stack: &Stack, containers: Option<&[Container]>) -> Vec<Finding> {
    let Some(containers) = containers else {
        return vec![Finding::unchecked(
            "ports",
            "their owners are unknown because the gateway does not answer",
        )];
    };
    let mut findings = Vec::new();
    let mut count = 0;
    for service in &stack.services {
        for port in published(service) {
            count += 1;
            let holds = |container: &&Container| container.ports.contains(&port);
            match containers.iter().find(holds) {
                Some(container) if container.service == service.name => {}
                Some(container) => findings.push(taken(
                    service,
                    port,
                    &format!("your container {}", container.name),
                )),
                None if store::port_is_free(port) => {}
                None => findings.push(taken(service, port, &listeners::holder(port))),
            }
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok("ports", format!("{count} ports, none taken")));
    }
    findings
}

fn taken(service: &DesiredService, port: u16, by: &str) -> Finding {
    let name = &service.name;
    Finding::problem("ports", format!("{port} ({name}) is taken by {by}"))
        .means(format!("{name} cannot start"))
        .means(format!(
            "clients of 127.0.0.1:{port} reach that process instead of {name}"
        ))
        .next("choose another port in the .env, or ask the administrator to end that process; then aistack deploy")
}

/// Ports of the tenant's range where something listens that is none of the tenant's containers, and
/// that no service of the stack is to publish (those are reported by [`of_stack`]).
pub(super) fn foreign_listeners(
    who: &WhoAmIResponse,
    stack: Option<&Stack>,
    own: &BTreeSet<u16>,
) -> Vec<Finding> {
    let Some((grant, range)) = who
        .grant
        .as_ref()
        .and_then(|grant| Some((grant, grant.ports?)))
    else {
        return Vec::new();
    };
    let services = stack.into_iter().flat_map(|stack| &stack.services);
    let mut known: BTreeSet<u16> = services.flat_map(published).collect();
    known.extend(own);
    let last = range.first.saturating_add(range.count);
    listeners::within(range.first..last)
        .into_iter()
        .filter(|(port, _)| !known.contains(port))
        .map(|(port, uid)| foreign(port, uid, grant.uid))
        .collect()
}

fn foreign(port: u16, uid: u32, own: u32) -> Finding {
    let by = listeners::describe(uid);
    if uid == own {
        let found = format!(
            "port {port} of your range is in use by a process of yours outside of a container"
        );
        return Finding::warning("ports", found);
    }
    Finding::problem(
        "ports",
        format!("port {port} of your range is in use by {by}"),
    )
    .means(format!(
        "clients of 127.0.0.1:{port} reach that process instead of your service"
    ))
    .next("use other ports and tell the administrator")
}

/// Ports of the host that a service publishes.
fn published(service: &DesiredService) -> BTreeSet<u16> {
    let host = service.body.host_config.as_ref();
    let bindings = host.and_then(|host| host.port_bindings.as_ref());
    bindings
        .into_iter()
        .flat_map(std::collections::HashMap::values)
        .flatten()
        .flatten()
        .filter_map(|binding| binding.host_port.as_ref()?.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use aistack_proto::v1::Grant;

    use super::super::Level;
    use super::*;

    #[test]
    fn a_listener_in_the_own_range_that_is_no_container_is_reported_with_its_uid() {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let uid = rustix::process::geteuid().as_raw();
        let who = |own| WhoAmIResponse {
            grant: Some(Grant {
                uid: own,
                ports: Some(aistack_proto::v1::PortRange {
                    first: port.into(),
                    count: 1,
                }),
                ..Grant::default()
            }),
            ..WhoAmIResponse::default()
        };
        let found = foreign_listeners(&who(uid + 1), None, &BTreeSet::new());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].level, Level::Error);
        assert!(found[0].found.contains(&port.to_string()), "{found:?}");
        let own = foreign_listeners(&who(uid), None, &BTreeSet::new());
        assert_eq!(own[0].level, Level::Warning);
        assert_eq!(foreign_listeners(&who(uid + 1), None, &[port].into()), []);
        assert!(foreign(5100, 1002, 1001).found.contains("UID 1002"));
        drop(listener);
        assert_eq!(foreign_listeners(&who(uid + 1), None, &BTreeSet::new()), []);
    }
}
