//! Every endpoint in the spellings that clients use, and every spelling that must not pass.

use super::*;
use crate::docker::percent_encoded;

mod parameters;
mod properties;
mod versions;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn parsed(method: &str, target: &str) -> Endpoint {
    Endpoint::parse(method, target).unwrap_or_else(|refusal| panic!("{method} {target}: {refusal}"))
}

/// The reason of the refusal, which is the same under every version.
fn refused(method: &str, target: &str) -> String {
    let reason = |target: &str| match Endpoint::parse(method, target) {
        Ok(endpoint) => panic!("{method} {target:?} was accepted as {endpoint:?}"),
        Err(refusal) => refusal.reason.to_string(),
    };
    let alone = reason(target);
    let path = target.strip_prefix("/v1.41").unwrap_or(target);
    // What names a version of its own, or is no path below one, is refused as it is.
    if path.starts_with('/') && !path.starts_with("/v") {
        for version in every_version() {
            let under = format!("{version}{path}");
            // The version itself may make it too long.
            if under.len() <= MAX_TARGET {
                assert_eq!(reason(&under), alone, "{method} {under:?}");
            }
        }
    }
    alone
}

fn container(method: &str, target: &str) -> ContainerCall {
    match parsed(method, target) {
        Endpoint::Container { reference, call } => {
            assert_eq!(reference, "web", "{target}");
            call
        }
        other => panic!("{target}: {other:?}"),
    }
}

/// What may stand before a path: nothing, or each version that is ever offered.
fn every_version() -> impl Iterator<Item = String> {
    let versions = (24..=ApiVersion::NEWEST_SPOKEN.minor).map(|minor| format!("/v1.{minor}"));
    std::iter::once(String::new()).chain(versions)
}

/// A kind of endpoint: what is the same however the parameters are.
fn kind(endpoint: &Endpoint) -> String {
    let text = match endpoint {
        Endpoint::Container { call, .. } => format!("{call:?}"),
        other => format!("{other:?}"),
    };
    let end = text.find(|c: char| !c.is_alphanumeric());
    text[..end.unwrap_or(text.len())].to_owned()
}

/// Method, path, kind: the whole list.
const OFFERED: &[(&str, &str, &str)] = &[
    ("GET", "/_ping", "Ping"),
    ("HEAD", "/_ping", "Ping"),
    ("GET", "/version", "Version"),
    ("GET", "/info", "Info"),
    ("GET", "/events", "Events"),
    ("GET", "/containers/json", "ListContainers"),
    ("POST", "/containers/create", "CreateContainer"),
    ("GET", "/containers/web/json", "Inspect"),
    ("GET", "/containers/web/logs", "Logs"),
    ("GET", "/containers/web/stats", "Stats"),
    ("GET", "/containers/web/top", "Top"),
    ("GET", "/containers/web/changes", "Changes"),
    ("POST", "/containers/web/start", "Start"),
    ("POST", "/containers/web/stop", "Stop"),
    ("POST", "/containers/web/restart", "Restart"),
    ("POST", "/containers/web/kill", "Kill"),
    ("POST", "/containers/web/pause", "Pause"),
    ("POST", "/containers/web/unpause", "Unpause"),
    ("POST", "/containers/web/wait", "Wait"),
    ("POST", "/containers/web/rename", "Rename"),
    ("POST", "/containers/web/resize", "Resize"),
    ("POST", "/containers/web/attach", "Attach"),
    ("POST", "/containers/web/exec", "CreateExec"),
    ("DELETE", "/containers/web", "Remove"),
    ("POST", "/exec/ID/start", "StartExec"),
    ("POST", "/exec/ID/resize", "ResizeExec"),
    ("GET", "/exec/ID/json", "InspectExec"),
    ("GET", "/images/json", "ListImages"),
    ("GET", "/images/ghcr.io/a/b:1/json", "InspectImage"),
    ("GET", "/images/sha256:ID/json", "InspectImageById"),
    ("GET", "/images/abcdef012345/json", "InspectImageById"),
    ("GET", "/images/ghcr.io/a/b:1/history", "ImageHistory"),
    ("GET", "/images/sha256:ID/history", "ImageHistory"),
    ("POST", "/images/create?fromImage=redis", "PullImage"),
    ("GET", "/system/df", "DiskUsage"),
    ("GET", "/networks", "ListNetworks"),
    ("GET", "/networks/own", "InspectNetwork"),
    ("GET", "/volumes", "ListVolumes"),
    ("GET", "/volumes/x", "Absent"),
    ("GET", "/plugins/x/json", "Absent"),
];

#[test]
fn the_list_is_offered_with_and_without_a_version() {
    for (method, path, expected) in OFFERED {
        let path = path.replace("ID", ID);
        for version in every_version() {
            let endpoint = parsed(method, &format!("{version}{path}"));
            assert_eq!(&kind(&endpoint), expected, "{method} {version}{path}");
            assert_eq!(
                endpoint,
                parsed(method, &path),
                "the version changes nothing"
            );
        }
    }
}

#[test]
fn nothing_is_offered_under_another_method() {
    for (_, path, _) in OFFERED {
        let path = path.replace("ID", ID);
        for method in [
            "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "get",
            "Post", "", "PRI",
        ] {
            let listed = |(other, listed, _): &(&str, &str, &str)| {
                *other == method && listed.replace("ID", ID) == path
            };
            // These two paths are also those of a container or network of that name.
            let also = matches!(
                (method, path.as_str()),
                ("DELETE", "/containers/json" | "/containers/create")
            );
            if !OFFERED.iter().any(listed) && !also {
                let reason = refused(method, &path);
                assert!(
                    reason == "ENDPOINT_REFUSED" || reason == "BAD_QUERY",
                    "{method} {path}: {reason}"
                );
            }
        }
    }
}

#[test]
fn a_path_is_written_in_one_way_only() {
    for path in [
        "",
        "*",
        "/",
        "//",
        "containers/json",
        "//containers/json",
        "/containers//json",
        "/containers/json/",
        "/v1.41/",
        "/v1.41//containers/json",
        "/./containers/json",
        "/containers/./json",
        "/images/../containers/json",
        "/containers/web/../other/json",
        "/containers/json/.",
        "/containers/json/..",
        "/%63ontainers/json",
        "/containers%2fjson",
        "/containers/web%2Fjson",
        "/containers/%2e%2e/json",
        "/containers/web%00/json",
        "/containers/json%20",
        "/containers/json;x=1",
        "/containers;/json",
        "/containers\\json",
        "/containers/json\0",
        "/containers/json\t",
        "/containers/json\r\nX: y",
        "/containers/json#x",
        "/containers/web~/json",
        "/containers/a+b/json",
        "/containers/a b/json",
        "/containers/a,b/json",
        "/containers/\u{e4}/json",
        "/container\u{17f}/json",
        "http://docker/containers/json",
        "http:/containers/json",
        "unix:///containers/json",
        "docker:80",
        ".",
        "..",
    ] {
        assert_eq!(refused("GET", path), "BAD_TARGET", "{path:?}");
    }
    let long = format!("/containers/json?filters={}", "x".repeat(8 << 10));
    assert_eq!(refused("GET", &long), "BAD_TARGET");
}

#[test]
fn a_version_is_written_in_one_way_only() {
    for version in ["v1.23", "v1.4", "v1.57", "v1.99", "v1.410", "v2.41"] {
        assert_eq!(
            refused("GET", &format!("/{version}/containers/json")),
            "BAD_VERSION"
        );
    }
    for version in [
        "v01.41",
        "v1.041",
        "v1.41.0",
        "v1.",
        "v1",
        "v",
        "V1.41",
        "1.41",
        "v1.-41",
        "v1.41-",
        "vv1.41",
        "v1.41/v1.41",
    ] {
        for path in ["/containers/json", "/containers/web/start", "/_ping"] {
            for method in ["GET", "POST"] {
                let reason = refused(method, &format!("/{version}{path}"));
                assert_eq!(reason, "ENDPOINT_REFUSED", "{version}{path}");
            }
        }
    }
    assert_eq!(refused("GET", "/v1.41"), "ENDPOINT_REFUSED");
}

/// What Docker has and the gateway does not; each is a way to another's things or to the host's.
const FORBIDDEN: &[(&str, &str)] = &[
    ("GET", "/containers/web/archive?path=/"),
    ("HEAD", "/containers/web/archive?path=/"),
    ("PUT", "/containers/web/archive?path=/"),
    ("GET", "/containers/web/export"),
    ("GET", "/containers/web/attach/ws"),
    ("POST", "/containers/web/update"),
    ("POST", "/containers/web/pause/x"),
    ("GET", "/containers/web/changes/x"),
    ("POST", "/images/redis/history"),
    ("GET", "/system"),
    ("GET", "/system/df/x"),
    ("POST", "/system/df"),
    ("POST", "/containers/web/copy"),
    ("POST", "/containers/prune"),
    ("GET", "/containers/web/checkpoints"),
    ("POST", "/containers/web/checkpoints"),
    ("DELETE", "/containers/web/checkpoints/x"),
    ("GET", "/containers/a/b/json"),
    ("POST", "/containers/a/b/start"),
    ("POST", "/commit?container=web"),
    ("POST", "/build"),
    ("POST", "/build/prune"),
    ("POST", "/build/cancel?id=x"),
    ("POST", "/session"),
    ("POST", "/grpc"),
    ("POST", "/auth"),
    ("GET", "/distribution/redis/json"),
    ("GET", "/debug/vars"),
    ("GET", "/debug/pprof/heap"),
    ("GET", "/metrics"),
    ("POST", "/images/load"),
    ("GET", "/images/get?names=redis"),
    ("GET", "/images/search?term=redis"),
    ("POST", "/images/prune"),
    ("GET", "/images/redis/get"),
    ("GET", "/images/redis/attestations"),
    ("POST", "/images/redis/push"),
    ("POST", "/images/redis/tag?repo=x"),
    ("DELETE", "/images/redis"),
    ("POST", "/volumes/create"),
    ("POST", "/volumes/prune"),
    ("PUT", "/volumes/x"),
    ("DELETE", "/volumes/x"),
    ("POST", "/networks/create"),
    ("POST", "/networks/prune"),
    ("POST", "/networks/own/connect"),
    ("POST", "/networks/own/disconnect"),
    ("DELETE", "/networks/own"),
    ("GET", "/swarm"),
    ("POST", "/swarm/init"),
    ("POST", "/swarm/join"),
    ("POST", "/swarm/leave"),
    ("POST", "/swarm/update"),
    ("GET", "/swarm/unlockkey"),
    ("POST", "/swarm/unlock"),
    ("GET", "/plugins"),
    ("GET", "/plugins/privileges?remote=x"),
    ("POST", "/plugins/pull?remote=x"),
    ("POST", "/plugins/create?name=x"),
    ("POST", "/plugins/x/enable"),
    ("POST", "/plugins/x/set"),
    ("DELETE", "/plugins/x"),
    ("GET", "/nodes"),
    ("POST", "/nodes/x/update"),
    ("DELETE", "/nodes/x"),
    ("GET", "/services"),
    ("POST", "/services/create"),
    ("GET", "/services/x/logs"),
    ("GET", "/tasks"),
    ("GET", "/tasks/x/logs"),
    ("GET", "/secrets"),
    ("POST", "/secrets/create"),
    ("GET", "/configs"),
    ("POST", "/configs/create"),
];

#[test]
fn the_rest_of_the_api_is_not_offered() {
    for (method, target) in FORBIDDEN {
        for version in every_version() {
            let reason = refused(method, &format!("{version}{target}"));
            assert_eq!(reason, "ENDPOINT_REFUSED", "{method} {version}{target}");
        }
    }
}

#[test]
fn a_query_is_read_in_one_way_only() {
    for query in [
        "unknown=1",
        "ALL=1",
        "%61ll=1&all=1",
        "all=1&all=1",
        "all=1&all=",
        "all=&all",
        "all=1;limit=2",
        "all=%3",
        "all=%",
        "all=%zz",
        "all=%+1",
        "all=%00",
        "all=%0a",
        "all=1%00",
        "all=%ff",
        "all=%c0%80",
        "filters=%ed%a0%80",
        "filters={\"id\":[\"\u{e4}\"]}",
        "filters={ }",
        "all=yes",
        "all=TRUE",
        "all=2",
        "all=+1",
        "all=none",
        "=1",
        "=",
        "limit=x",
        "limit=+1",
        "limit=-2",
        "limit=4294967296",
        "size=yes",
        "before=web",
        "since=web",
        "filters=x",
        "filters=[]",
        "filters={\"before\":[\"web\"]}",
        "filters={\"since\":{\"web\":true}}",
        "filters={\"Label\":[\"x\"]}",
        "filters={\"label\":[\"x\"],\"label\":[\"y\"]}",
        "filters={\"label\":\"x\"}",
        "filters={\"label\":[1]}",
        "filters={}x",
        "all=1?all=0",
    ] {
        let reason = refused("GET", &format!("/containers/json?{query}"));
        assert!(
            reason == "BAD_QUERY" || reason == "BAD_JSON",
            "{query}: {reason}"
        );
    }
    let many: Vec<String> = (0..40).map(|at| format!("k{at}=1")).collect();
    let many = format!("/containers/json?{}", many.join("&"));
    assert_eq!(refused("GET", &many), "BAD_QUERY");
    let values: Vec<String> = (0..65).map(|at| format!("\"l{at}\"")).collect();
    let values = format!("/containers/json?filters={{\"id\":[{}]}}", values.join(","));
    assert_eq!(refused("GET", &values), "BAD_QUERY");
}

#[test]
fn every_endpoint_refuses_a_parameter_that_it_does_not_know() {
    for (method, path, _) in OFFERED {
        let path = path.replace("ID", ID);
        let joint = if path.contains('?') { '&' } else { '?' };
        let reason = refused(method, &format!("{path}{joint}x=/auth"));
        assert_eq!(reason, "BAD_QUERY", "{method} {path}");
    }
}

#[test]
fn what_changes_something_or_reaches_inside_is_audited() {
    let reads = [
        "Ping",
        "Version",
        "Info",
        "Events",
        "ListContainers",
        "Inspect",
        "Logs",
        "Stats",
        "Top",
        "Changes",
        "Wait",
        "Resize",
        "ResizeExec",
        "InspectExec",
        "ListImages",
        "ImageHistory",
        "DiskUsage",
        "InspectImage",
        "InspectImageById",
        "ListNetworks",
        "InspectNetwork",
        "ListVolumes",
        "Absent",
    ];
    for (method, path, kind) in OFFERED {
        let endpoint = parsed(method, &path.replace("ID", ID));
        assert_eq!(endpoint.audited().is_none(), reads.contains(kind), "{kind}");
        // What costs the host as much as a change counts as one.
        let dear = ["Top", "Changes", "DiskUsage", "ImageHistory"].contains(kind);
        assert_eq!(endpoint.is_dear(), dear, "{kind}");
        let cheap = reads.contains(kind) && !dear;
        assert_eq!(endpoint.counts_as_change(), !cheap, "{kind}");
        let body = ["CreateContainer", "CreateExec", "StartExec"].contains(kind);
        assert_eq!(endpoint.has_body(), body, "{kind}");
        let stream = ["Attach", "StartExec"].contains(kind);
        assert_eq!(endpoint.may_upgrade(), stream, "{kind}");
    }
}

/// Request lines that real clients sent: `METHOD target`, and comments.
const RECORDED: &[(&str, &str)] = &[
    (
        "cli-29",
        include_str!("../../../../../tests/corpus/targets-cli-29.txt"),
    ),
    (
        "cli-28",
        include_str!("../../../../../tests/corpus/targets-cli-28.txt"),
    ),
    (
        "cli-20",
        include_str!("../../../../../tests/corpus/targets-cli-20.txt"),
    ),
    (
        "bollard",
        include_str!("../../../../../tests/corpus/targets-bollard.txt"),
    ),
    (
        "docker-py",
        include_str!("../../../../../tests/corpus/targets-docker-py.txt"),
    ),
];

#[test]
fn what_real_clients_send_is_accepted() {
    for (client, lines) in RECORDED {
        let sent: Vec<&str> = lines
            .lines()
            .filter(|line| !line.starts_with('#'))
            .collect();
        assert!(sent.len() > 20, "{client}: {} lines", sent.len());
        // They were recorded on amd64.
        let own = percent_encoded(OWN_PLATFORMS[2]);
        for line in sent {
            let (method, target) = line.split_once(' ').unwrap();
            let target = target.replace("linux%2Famd64", &own);
            // Each client under each version: it may have agreed on any.
            let (_, path) = target.split_once("/v1.41").unwrap_or(("", target.as_str()));
            for version in every_version() {
                if let Err(refusal) = Endpoint::parse(method, &format!("{version}{path}")) {
                    panic!("{client}: {version}: {line}: {refusal}");
                }
            }
        }
    }
}
