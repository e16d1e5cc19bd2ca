//! Every endpoint in the spellings that clients use, and every spelling that must not pass.

use proptest::prelude::*;

use super::*;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn parsed(method: &str, target: &str) -> Endpoint {
    Endpoint::parse(method, target).unwrap_or_else(|refusal| panic!("{method} {target}: {refusal}"))
}

/// The reason of the refusal.
fn refused(method: &str, target: &str) -> String {
    match Endpoint::parse(method, target) {
        Ok(endpoint) => panic!("{method} {target:?} was accepted as {endpoint:?}"),
        Err(refusal) => refusal.reason.to_string(),
    }
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
    ("POST", "/containers/web/start", "Start"),
    ("POST", "/containers/web/stop", "Stop"),
    ("POST", "/containers/web/restart", "Restart"),
    ("POST", "/containers/web/kill", "Kill"),
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
    ("POST", "/images/create?fromImage=redis", "PullImage"),
    ("GET", "/networks", "ListNetworks"),
    ("GET", "/networks/own", "InspectNetwork"),
    ("GET", "/volumes", "ListVolumes"),
];

#[test]
fn the_list_is_offered_with_and_without_a_version() {
    for (method, path, expected) in OFFERED {
        let path = path.replace("ID", ID);
        for version in ["", "/v1.24", "/v1.40", "/v1.41"] {
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
    for version in [
        "v1.23",
        "v1.12",
        "v1.42",
        "v1.53",
        "v1.99",
        "v01.41",
        "v1.041",
        "v1.41.0",
        "v1.4",
        "v1.",
        "v1",
        "v",
        "V1.41",
        "1.41",
        "v2.41",
        "v1.410",
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
    ("GET", "/containers/web/changes"),
    ("POST", "/containers/web/update"),
    ("POST", "/containers/web/pause"),
    ("POST", "/containers/web/unpause"),
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
    ("GET", "/system/df"),
    ("GET", "/debug/vars"),
    ("GET", "/debug/pprof/heap"),
    ("GET", "/metrics"),
    ("POST", "/images/load"),
    ("GET", "/images/get?names=redis"),
    ("GET", "/images/search?term=redis"),
    ("POST", "/images/prune"),
    ("GET", "/images/redis/get"),
    ("GET", "/images/redis/history"),
    ("POST", "/images/redis/push"),
    ("POST", "/images/redis/tag?repo=x"),
    ("DELETE", "/images/redis"),
    ("POST", "/volumes/create"),
    ("POST", "/volumes/prune"),
    ("GET", "/volumes/x"),
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
        for version in ["", "/v1.24", "/v1.41"] {
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
        "size=1",
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
fn the_parameters_of_lists_are_read() {
    let Endpoint::ListContainers {
        all,
        limit,
        filters,
    } = parsed(
        "GET",
        "/containers/json?all=True&limit=-1&size=0&trunc_cmd=0\
         &filters=%7B%22label%22%3A%7B%22a%3D+b%22%3Atrue%2C%22c%22%3Afalse%7D%7D",
    )
    else {
        panic!("not the list");
    };
    assert!(all);
    assert_eq!(limit, None);
    assert_eq!(filters.of("label"), ["a= b"]);
    assert!(filters.of("id").is_empty());
    let encoded = filters.encoded_with("label", "io.aistack.owner=1001");
    let again = Filters::parse(&query_value(&encoded), filters::CONTAINERS).unwrap();
    assert_eq!(again.of("label"), ["a= b", "io.aistack.owner=1001"]);
    let only = filters.only("label", "x");
    assert_eq!(only.of("label"), ["x"]);
    for (limit, expected) in [("0", None), ("", None), ("7", Some(7))] {
        let target = format!("/containers/json?limit={limit}");
        assert!(matches!(
            parsed("GET", &target),
            Endpoint::ListContainers { limit, .. } if limit == expected
        ));
    }
}

fn query_value(encoded: &str) -> String {
    Query::parse(&format!("x={encoded}")).unwrap().take("x")
}

#[test]
fn calls_on_a_container_are_asked_anew() {
    for (method, action, expected) in [
        ("GET", "/json?size=false", "GET /json"),
        (
            "GET",
            "/logs?stdout=1&tail=all&since=1577836800.000000000",
            "GET /logs?follow=false&stdout=true&stderr=false&timestamps=false\
             &since=1577836800.000000000&until=0&tail=all",
        ),
        (
            "GET",
            "/logs?stderr=True&follow=1&timestamps=1&tail=007",
            "GET /logs?follow=true&stdout=false&stderr=true&timestamps=true&since=0&until=0&tail=7",
        ),
        ("GET", "/stats", "GET /stats?stream=true&one-shot=false"),
        (
            "GET",
            "/stats?stream=0&one-shot=1",
            "GET /stats?stream=false&one-shot=true",
        ),
        ("GET", "/top", "GET /top?ps_args=-ef"),
        ("POST", "/start?", "POST /start"),
        ("POST", "/start?detachKeys=ctrl-a", "POST /start"),
        ("POST", "/stop", "POST /stop"),
        ("POST", "/stop?t=600", "POST /stop?t=600"),
        ("POST", "/restart?t=0", "POST /restart?t=0"),
        ("POST", "/kill", "POST /kill?signal=SIGKILL"),
        ("POST", "/kill?signal=9", "POST /kill?signal=SIGKILL"),
        ("POST", "/kill?signal=sighup", "POST /kill?signal=SIGHUP"),
        ("POST", "/kill?signal=TERM", "POST /kill?signal=SIGTERM"),
        ("POST", "/wait", "POST /wait?condition=not-running"),
        (
            "POST",
            "/wait?condition=removed",
            "POST /wait?condition=removed",
        ),
        ("DELETE", "", "DELETE ?force=false&v=false"),
        ("DELETE", "?v=1&force=1&link=0", "DELETE ?force=true&v=true"),
        (
            "POST",
            "/rename?name=a%26b%20c",
            "POST /rename?name=a%26b%20c",
        ),
        ("POST", "/resize?h=24&w=80", "POST /resize?h=24&w=80"),
        (
            "POST",
            "/attach?stdin=1&stream=1&detachKeys=ctrl-%5D",
            "POST /attach?logs=false&stream=true&stdin=true&stdout=false&stderr=false\
             &detachKeys=ctrl-%5D",
        ),
        ("POST", "/exec", "POST /exec"),
    ] {
        let call = container(method, &format!("/containers/web{action}"));
        let (method, path) = call.upstream(ID);
        let below = path.strip_prefix(&format!("/containers/{ID}")).unwrap();
        assert_eq!(format!("{method} {below}"), expected, "{action}");
    }
}

#[test]
fn calls_on_a_container_with_other_parameters_are_refused() {
    for (method, action) in [
        ("GET", "/json?size=1"),
        ("GET", "/logs?details=1"),
        ("GET", "/logs?tail=-5"),
        ("GET", "/logs?tail=x"),
        ("GET", "/logs?since=10m"),
        ("GET", "/logs?since=-1"),
        ("GET", "/logs?since=1.2.3"),
        ("GET", "/logs?until=1."),
        ("GET", "/top?ps_args=aux"),
        ("GET", "/top?ps_args=-ef+e"),
        ("POST", "/start?checkpoint=x"),
        ("POST", "/start?checkpoint-dir=/etc"),
        ("POST", "/start?detachKeys=%24(id)"),
        ("POST", "/stop?t=601"),
        ("POST", "/stop?t=-1"),
        ("POST", "/stop?signal=KILL"),
        ("POST", "/kill?signal=RTMIN"),
        ("POST", "/kill?signal=0"),
        ("POST", "/kill?signal=SIGSIGKILL"),
        ("POST", "/kill?signal=KILL+"),
        ("POST", "/wait?condition=x"),
        ("DELETE", "?link=1"),
        ("POST", "/resize?h=-1&w=1"),
        ("POST", "/attach?detachKeys=a%00"),
        ("POST", "/attach?stdin=maybe"),
    ] {
        let reason = refused(method, &format!("/containers/web{action}"));
        assert_eq!(reason, "BAD_QUERY", "{method} {action}");
    }
}

#[test]
fn references_are_plain_names() {
    let long = "a".repeat(MAX_REFERENCE + 1);
    for reference in ["a:b", "a@b", long.as_str()] {
        assert_eq!(
            refused("GET", &format!("/containers/{reference}/json")),
            "BAD_TARGET"
        );
        assert_eq!(
            refused("GET", &format!("/networks/{reference}")),
            "BAD_TARGET"
        );
    }
    let upper = ID.to_ascii_uppercase();
    let longer = format!("{ID}0");
    for id in ["abc", &ID[1..], upper.as_str(), longer.as_str(), "web"] {
        assert_eq!(refused("POST", &format!("/exec/{id}/start")), "BAD_TARGET");
    }
}

#[test]
fn an_image_is_named_by_one_name() {
    let digest = format!("sha256:{ID}");
    let by_digest = format!("docker.io/library/redis@{digest}");
    for (query, expected) in [
        ("fromImage=redis", "docker.io/library/redis:latest"),
        ("fromImage=redis&tag=8", "docker.io/library/redis:8"),
        ("fromImage=redis%3A8&tag=8", "docker.io/library/redis:8"),
        ("fromImage=redis%3A8&platform=", "docker.io/library/redis:8"),
        ("fromImage=127.0.0.1%3A1%2Fx&tag=1", "127.0.0.1:1/x:1"),
        (&format!("fromImage=redis&tag={digest}"), &by_digest),
        (&format!("fromImage=redis%40{digest}"), &by_digest),
    ] {
        match parsed("POST", &format!("/images/create?{query}")) {
            Endpoint::PullImage { image } => assert_eq!(image.to_string(), expected, "{query}"),
            other => panic!("{query}: {other:?}"),
        }
    }
    for query in [
        "",
        "tag=8",
        "fromImage=",
        "fromImage=redis&fromImage=evil",
        "fromImage=redis%3A8&tag=9",
        "fromImage=redis%3Alatest&tag=9",
        &format!("fromImage=redis%40{digest}&tag=8"),
        "fromImage=99b2",
        "fromImage=redis&tag=a%2Fb",
        "fromImage=redis&tag=8%40x",
        "fromSrc=-",
        "fromImage=redis&fromSrc=http%3A%2F%2Fx",
        "fromImage=redis&repo=x",
        "fromImage=redis&changes=USER+root",
        "fromImage=redis&message=x",
        "fromImage=redis&platform=windows",
    ] {
        let reason = refused("POST", &format!("/images/create?{query}"));
        assert!(
            reason == "BAD_QUERY" || reason == "BAD_IMAGE_REFERENCE",
            "{query}: {reason}"
        );
    }
    for name in [ID, "99b2", "a:b:c", "A", &digest] {
        let reason = refused("GET", &format!("/images/{name}/json"));
        assert_eq!(reason, "BAD_IMAGE_REFERENCE", "{name}");
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
        "Wait",
        "Resize",
        "ResizeExec",
        "InspectExec",
        "ListImages",
        "InspectImage",
        "ListNetworks",
        "InspectNetwork",
        "ListVolumes",
    ];
    for (method, path, kind) in OFFERED {
        let endpoint = parsed(method, &path.replace("ID", ID));
        assert_eq!(endpoint.audited().is_none(), reads.contains(kind), "{kind}");
        let body = ["CreateContainer", "CreateExec", "StartExec"].contains(kind);
        assert_eq!(endpoint.has_body(), body, "{kind}");
        let stream = ["Attach", "StartExec"].contains(kind);
        assert_eq!(endpoint.may_upgrade(), stream, "{kind}");
    }
}

/// Request lines that real clients sent: `METHOD target`, and comments.
const RECORDED: &[(&str, &str)] = &[
    (
        "cli-28",
        include_str!("../../../../tests/corpus/targets-cli-28.txt"),
    ),
    (
        "cli-20",
        include_str!("../../../../tests/corpus/targets-cli-20.txt"),
    ),
    (
        "bollard",
        include_str!("../../../../tests/corpus/targets-bollard.txt"),
    ),
    (
        "docker-py",
        include_str!("../../../../tests/corpus/targets-docker-py.txt"),
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
        let own = query::encode(OWN_PLATFORMS[2]);
        for line in sent {
            let (method, target) = line.split_once(' ').unwrap();
            let target = target.replace("linux%2Famd64", &own);
            if let Err(refusal) = Endpoint::parse(method, &target) {
                panic!("{client}: {line}: {refusal}");
            }
        }
    }
}

/// What Docker is sent for a call is plain, and read again it is the same call.
fn check_upstream(endpoint: &Endpoint) -> Result<(), TestCaseError> {
    let Endpoint::Container { call, .. } = endpoint else {
        return Ok(());
    };
    let (method, path) = call.upstream(ID);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/?&=%._~-".contains(&byte);
    prop_assert!(path.bytes().all(plain), "{path}");
    let again = Endpoint::parse(method.as_str(), &path);
    let Ok(Endpoint::Container { reference, call }) = again else {
        return Err(TestCaseError::fail(format!("{path}: {again:?}")));
    };
    prop_assert_eq!(reference, ID);
    prop_assert_eq!(call.upstream(ID), (method, path));
    Ok(())
}

/// A second reader of the list, written in another way: whether the path may be offered at all.
fn listed(method: &str, path: &str) -> bool {
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    OFFERED.iter().any(|(other, pattern, kind)| {
        let pattern = pattern.split('?').next().unwrap_or_default();
        let pattern: Vec<&str> = pattern.split('/').skip(1).collect();
        let same = |(want, got): (&&str, &&str)| match *want {
            "web" | "own" => !got.is_empty(),
            "ID" => *got == ID,
            word => word == *got,
        };
        *other == method
            && match *kind {
                "InspectImage" => {
                    segments.len() > 2
                        && segments.first() == Some(&"images")
                        && segments.last() == Some(&"json")
                }
                _ => pattern.len() == segments.len() && pattern.iter().zip(&segments).all(same),
            }
    })
}

/// Words that paths are made of, and some that they are not.
fn word() -> impl Strategy<Value = String> {
    let words = "containers|json|create|web|logs|start|exec|images|networks|volumes|archive|build|\
                 _ping|version|v1\\.41|v1\\.23|info|events|attach|ws|swarm|\\.|\\.\\.|%2e||x;y";
    prop_oneof![
        9 => proptest::string::string_regex(&format!("({words})")).unwrap(),
        1 => Just(ID.to_owned()),
    ]
}

fn method() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(vec!["GET", "POST", "DELETE", "HEAD", "PUT", "OPTIONS"])
}

proptest! {
    #[test]
    fn any_request_line_is_answered(method in "\\PC{0,8}", target in ".{0,80}") {
        if let Ok(endpoint) = Endpoint::parse(&method, &target) {
            check_upstream(&endpoint)?;
        }
    }

    #[test]
    fn only_the_list_is_offered(
        method in method(),
        words in proptest::collection::vec(word(), 0..5),
        query in "(\\?(all=1|t=5|name=x|size=0|h=1&w=2|x=1)?)?",
    ) {
        let path = format!("/{}", words.join("/"));
        if let Ok(endpoint) = Endpoint::parse(method, &format!("{path}{query}")) {
            let bare = path.strip_prefix("/v1.41").unwrap_or(&path);
            prop_assert!(listed(method, bare), "{} {} is {:?}", method, path, endpoint);
            check_upstream(&endpoint)?;
        }
    }

    #[test]
    fn parameters_are_asked_anew_in_plain_bytes(
        action in proptest::sample::select(vec![
            "/logs?since=", "/logs?tail=", "/kill?signal=", "/rename?name=", "/stop?t=",
            "/attach?detachKeys=", "/wait?condition=", "/top?ps_args=", "/start?detachKeys=",
            "/resize?h=", "/stats?stream=",
        ]),
        value in "[ -~]{0,20}|[0-9]{1,12}(\\.[0-9]{1,9})?|[A-Z]{2,6}|\\PC{0,8}|ctrl-[a-z@\\[\\]^_\\\\]",
        method in proptest::sample::select(vec!["GET", "POST"]),
    ) {
        let target = format!("/containers/web{action}{}", query::encode(&value));
        if let Ok(endpoint) = Endpoint::parse(method, &target) {
            check_upstream(&endpoint)?;
        }
    }

    #[test]
    fn filters_keep_their_values_and_get_the_owner(values in proptest::collection::vec("\\PC{0,12}", 0..6)) {
        let text = serde_json::json!({ "label": values }).to_string();
        let Ok(filters) = Filters::parse(&text, filters::CONTAINERS) else {
            return Err(TestCaseError::fail(text));
        };
        let encoded = filters.encoded_with("label", "io.aistack.owner=1001");
        let again = Filters::parse(&query_value(&encoded), filters::CONTAINERS);
        let mut expected = values;
        expected.push("io.aistack.owner=1001".to_owned());
        prop_assert_eq!(again.map(|filters| filters.of("label").to_vec()), Ok(expected));
    }
}
