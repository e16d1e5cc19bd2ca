//! What is not offered, and what does the same here.

use aistack_policy::{Refusal, Rule};

use super::super::json::shown;

/// The longest path that a refusal shows, characters.
const MAX_SHOWN: usize = 256;

/// Refuses an endpoint: with its whole path, and with what does the same where something does.
pub(super) fn not_offered(method: &str, path: &str) -> Refusal {
    let whole: String = path.chars().take(MAX_SHOWN).collect();
    let cut = if whole.len() < path.len() { "…" } else { "" };
    let (method_shown, path_shown) = (shown(method), whole.escape_debug());
    let message = format!("the endpoint {method_shown} {path_shown}{cut} is not supported");
    let refusal = Refusal::new("ENDPOINT_REFUSED", message, Rule::builtin("endpoints"));
    match way_out(method, path) {
        Some(hint) => refusal.with_hint(hint),
        None => refusal,
    }
}

/// What to do instead.
fn way_out(method: &str, path: &str) -> Option<&'static str> {
    let mut segments = path.split('/').filter(|segment| !segment.is_empty());
    let first = segments.next()?;
    let first = if first.starts_with("v1.") {
        segments.next()?
    } else {
        first
    };
    let (second, third) = (segments.next(), segments.next());
    Some(match (method, first, second, third) {
        (_, "containers", _, Some("archive" | "export")) => {
            "docker cp is not supported: put files into a directory of yours that is bound into the \
             container (aistack whoami names your base directory), or pipe them through docker exec -i"
        }
        (_, "containers", _, Some("update")) => "recreate the container with the new limits",
        ("POST", "containers", Some("prune"), _) => {
            "remove your stopped containers by docker rm $(docker ps -aq --filter status=exited)"
        }
        ("POST", "images", Some("prune"), _) => {
            "images are shared by all tenants; ask the administrator to remove those that nobody uses"
        }
        ("POST", _, Some("prune"), _) => "there is nothing of yours to prune",
        (_, "volumes", ..) => {
            "there are no volumes: bind a directory below your base directory, which aistack whoami \
             names"
        }
        (_, "networks", ..) => {
            "every tenant has one network, created by aistack init and shown by aistack whoami: use \
             it by name, in a compose file as networks: {default: {name: NAME, external: true}}"
        }
        (_, "build" | "session" | "grpc" | "commit", ..) | (_, "images", Some("load"), _) => {
            "build the image elsewhere and push it to a registry that the policy allows \
             (aistack whoami -v), then pull it here"
        }
        (_, "auth", ..) => "images are pulled anonymously; work without docker login",
        ("DELETE", "images", ..) => {
            "images are shared by all tenants; ask the administrator to remove it"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::Endpoint;
    use super::*;

    #[test]
    fn a_refusal_has_the_whole_path_and_the_way_out() {
        let id = "0123456789abcdef".repeat(4);
        for (method, path, way) in [
            (
                "GET",
                format!("/v1.41/containers/{id}/archive"),
                "docker exec -i",
            ),
            (
                "PUT",
                format!("/containers/{id}/archive"),
                "bound into the container",
            ),
            (
                "POST",
                "/v1.41/volumes/create".to_owned(),
                "bind a directory",
            ),
            (
                "POST",
                "/v1.41/networks/create".to_owned(),
                "external: true",
            ),
            ("POST", "/networks/x/connect".to_owned(), "external: true"),
            (
                "POST",
                "/v1.41/build".to_owned(),
                "build the image elsewhere",
            ),
            ("POST", "/containers/prune".to_owned(), "docker rm $("),
            ("POST", "/images/prune".to_owned(), "ask the administrator"),
            ("POST", "/volumes/prune".to_owned(), "nothing of yours"),
            ("POST", "/build/prune".to_owned(), "nothing of yours"),
        ] {
            let refusal = Endpoint::parse(method, &path).unwrap_err();
            assert_eq!(refusal.reason, "ENDPOINT_REFUSED");
            assert!(refusal.message.contains(&path), "{refusal}");
            let hint = refusal.hint.unwrap_or_default();
            assert!(hint.contains(way), "{path}: {hint}");
        }
        assert_eq!(not_offered("POST", "/swarm/init").hint, None);
    }

    #[test]
    fn a_path_without_end_is_cut() {
        let refusal = not_offered("GET", &format!("/{}", "x".repeat(8000)));
        assert!(refusal.message.len() < 400, "{}", refusal.message.len());
    }
}
