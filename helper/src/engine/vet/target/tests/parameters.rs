//! Parameters: what each call reads, what it refuses, and the request to Docker.

use super::*;

#[test]
fn the_parameters_of_lists_are_read() {
    let Endpoint::ListContainers {
        all,
        limit,
        size,
        filters,
    } = parsed(
        "GET",
        "/containers/json?all=True&limit=-1&size=0&trunc_cmd=0\
         &filters=%7B%22label%22%3A%7B%22a%3D+b%22%3Atrue%2C%22c%22%3Afalse%7D%7D",
    )
    else {
        panic!("not the list");
    };
    assert!(all && !size);
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

/// `docker ps -s` and `docker inspect -s`: Docker walks through what each container has written.
#[test]
fn sizes_are_reported_at_the_price_of_a_change() {
    for (target, dear) in [
        ("/containers/json?size=1", true),
        ("/containers/json?size=0", false),
        ("/containers/json", false),
        ("/containers/web/json?size=true", true),
        ("/containers/web/json", false),
    ] {
        let endpoint = parsed("GET", target);
        assert_eq!(endpoint.counts_as_change(), dear, "{target}");
        assert!(endpoint.audited().is_none());
    }
}

pub(super) fn query_value(encoded: &str) -> String {
    let query = Query::parse(&format!("x={encoded}"), ApiVersion::NEWEST_SPOKEN);
    query.unwrap().take("x")
}

#[test]
fn calls_on_a_container_are_built_from_parsed_values() {
    for (method, action, expected) in [
        ("GET", "/json?size=false", "GET /json"),
        ("GET", "/json?size=1", "GET /json?size=true"),
        (
            "GET",
            "/logs?stdout=1&tail=all&since=1577836800.000000000",
            "GET /logs?follow=false&stdout=true&stderr=false&timestamps=false\
             &details=false&since=1577836800.000000000&until=0&tail=all",
        ),
        (
            "GET",
            "/logs?stderr=True&follow=1&timestamps=1&tail=007",
            "GET /logs?follow=true&stdout=false&stderr=true&timestamps=true&details=false&since=0&until=0&tail=7",
        ),
        (
            "GET",
            "/logs?stdout=1&details=1",
            "GET /logs?follow=false&stdout=true&stderr=false&timestamps=false&details=true&since=0&until=0&tail=all",
        ),
        ("GET", "/top?ps_args=aux", "GET /top?ps_args=aux"),
        (
            "GET",
            "/top?ps_args=-o+pid%2Cppid+-o+cmd",
            "GET /top?ps_args=-eo%20pid%2Cppid%2Ccmd",
        ),
        ("GET", "/changes", "GET /changes"),
        ("POST", "/pause", "POST /pause"),
        ("POST", "/unpause", "POST /unpause"),
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
        (
            "POST",
            "/stop?signal=int&t=5",
            "POST /stop?t=5&signal=SIGINT",
        ),
        ("POST", "/restart?signal=9", "POST /restart?signal=SIGKILL"),
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
        ("GET", "/json?size=x"),
        ("GET", "/logs?details=all"),
        ("GET", "/logs?tail=-5"),
        ("GET", "/logs?tail=x"),
        ("GET", "/logs?since=10m"),
        ("GET", "/logs?since=-1"),
        ("GET", "/logs?since=1.2.3"),
        ("GET", "/logs?until=1."),
        ("GET", "/top?ps_args=auxe"),
        ("GET", "/top?ps_args=-o+args%2Cpid"),
        ("GET", "/top?ps_args=aux&ps_args=-ef"),
        ("POST", "/pause?t=1"),
        ("POST", "/unpause?signal=KILL"),
        ("GET", "/changes?kind=1"),
        ("GET", "/top?ps_args=-ef+e"),
        ("POST", "/start?checkpoint=x"),
        ("POST", "/start?checkpoint-dir=/etc"),
        ("POST", "/start?detachKeys=%24(id)"),
        ("POST", "/stop?t=601"),
        ("POST", "/stop?t=-1"),
        ("POST", "/stop?signal=RTMIN"),
        ("POST", "/restart?signal=0"),
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
    for name in ["a:b:c", "A", "sha256:x"] {
        let reason = refused("GET", &format!("/images/{name}/json"));
        assert_eq!(reason, "BAD_IMAGE_REFERENCE", "{name}");
    }
    // An id is not a reference: it is looked up among the images that the caller may use.
    for name in [ID, "99b2", &digest] {
        let endpoint = parsed("GET", &format!("/images/{name}/json"));
        let start = name.trim_start_matches("sha256:").to_owned();
        assert_eq!(endpoint, Endpoint::InspectImageById { start });
    }
}

/// Docker answers otherwise for an image that is nowhere on the host than for one that is somebody's.
#[test]
fn docker_does_not_learn_which_images_others_are_compared_with() {
    let filters = |text: &str| format!("/images/json?filters={}", percent_encoded(text));
    let list = r#"{"before":["redis:8"],"since":{"99b2":true},"until":["24h"],"reference":["re*"],"dangling":["true"]}"#;
    let Endpoint::ListImages {
        within,
        filters: rest,
        ..
    } = parsed("GET", &filters(list))
    else {
        panic!("not the list");
    };
    let redis = ImageReference::Name(ImageRef::parse("redis:8").unwrap());
    assert_eq!(within.before, Some(redis));
    assert_eq!(within.since, Some(ImageReference::Id("99b2".to_owned())));
    assert_eq!(within.until, Some(Moment::Ago(86400)));
    let sent = query_value(&rest.encoded());
    assert!(
        !sent.contains("redis") && !sent.contains("99b2") && !sent.contains("24h"),
        "{sent}"
    );
    assert!(sent.contains("re*") && sent.contains("dangling"), "{sent}");
    for text in [
        r#"{"before":["a","b"]}"#,
        r#"{"before":["a:b:c"]}"#,
        r#"{"since":["../x"]}"#,
        r#"{"since":[""]}"#,
        r#"{"until":["1h","2h"]}"#,
        r#"{"until":["soon"]}"#,
        r#"{"until":["-1h"]}"#,
        r#"{"label!":["x"]}"#,
    ] {
        let reason = refused("GET", &filters(text));
        assert!(reason.starts_with("BAD_"), "{text}: {reason}");
    }
}

#[test]
fn what_disk_usage_is_requested_is_closed() {
    use DiskObject::{BuildCache, Container, Image, Volume};
    for (query, expected) in [
        ("", DiskObject::ALL.to_vec()),
        ("?verbose=1", DiskObject::ALL.to_vec()),
        ("?type=container", vec![Container]),
        ("?type=image&verbose=1", vec![Image]),
        ("?type=build-cache&verbose=0", vec![BuildCache]),
        ("?type=volume&type=container", vec![Container, Volume]),
        (
            "?type=container&type=image&type=volume&type=build-cache&verbose=1",
            DiskObject::ALL.to_vec(),
        ),
    ] {
        let verbose = query.ends_with("verbose=1");
        for minor in 24..=56 {
            // Docker ignores the types under versions that do not have them.
            let of: BTreeSet<_> = match minor {
                ..42 => DiskObject::ALL.into(),
                _ => expected.iter().copied().collect(),
            };
            let dear = of.contains(&Container);
            let endpoint = parsed("GET", &format!("/v1.{minor}/system/df{query}"));
            assert_eq!(endpoint.is_dear(), dear, "{minor} {query}");
            assert_eq!(
                endpoint,
                Endpoint::DiskUsage { of, verbose },
                "{minor} {query}"
            );
        }
    }
    for query in [
        "type=Container",
        "type=image&type=image",
        "type=image&t%79pe=image",
        "type=image&type=volume&type=image",
        "type=x",
        "type=image&type=x",
        "type=",
        "type",
        "type=image&type=",
        "type=image,volume",
        "Type=image&type=image",
        "type=image&verbose=1&verbose=0",
        "verbose=yes",
        "all=1",
    ] {
        assert_eq!(
            refused("GET", &format!("/system/df?{query}")),
            "BAD_QUERY",
            "{query}"
        );
    }
    // No other endpoint has a key that may repeat.
    for (method, target) in [
        ("GET", "/containers/json?type=a&type=b"),
        ("GET", "/events?type=container"),
        ("POST", "/containers/create?name=a&name=b"),
        ("POST", "/containers/web/stop?t=1&t=2"),
    ] {
        assert_eq!(refused(method, target), "BAD_QUERY", "{target}");
    }
}

#[test]
fn filters_of_networks_and_volumes_are_read_too() {
    let filters = |kind: &str, text: &str| format!("/{kind}?filters={}", percent_encoded(text));
    let target = filters("networks", r#"{"name":["x"],"label":{"a=b":true}}"#);
    match parsed("GET", &target) {
        Endpoint::ListNetworks { filters } => {
            assert_eq!(filters.of("name"), ["x"]);
            assert_eq!(filters.of("label"), ["a=b"]);
        }
        other => panic!("{other:?}"),
    }
    for kind in ["networks", "volumes"] {
        parsed("GET", &filters(kind, "{}"));
        for text in [
            r#"{"owner":["x"]}"#,
            r#"{"name":"x"}"#,
            r#"{"name":["x"]"#,
            "x",
        ] {
            let reason = refused("GET", &filters(kind, text));
            assert!(reason.starts_with("BAD_"), "{kind} {text}: {reason}");
        }
    }
}
