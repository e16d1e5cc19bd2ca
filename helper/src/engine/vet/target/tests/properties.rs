//! Whatever comes: an answer, and what is accepted is on the list and plain.

use proptest::prelude::*;

use super::parameters::query_value;
use super::*;

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
            "web" | "own" | "x" => !got.is_empty(),
            "ID" => *got == ID,
            word => word == *got,
        };
        *other == method
            && match *kind {
                "InspectImage" | "ImageHistory" => {
                    segments.len() > 2
                        && segments.first() == Some(&"images")
                        && segments.last() == pattern.last()
                }
                _ => pattern.len() == segments.len() && pattern.iter().zip(&segments).all(same),
            }
    })
}

/// Words that paths are made of, and some that they are not.
fn word() -> impl Strategy<Value = String> {
    let words = "containers|json|create|web|logs|start|pause|unpause|changes|exec|images|history|system|df|networks|volumes|archive|build|\
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
    fn parameters_are_built_again_in_plain_bytes(
        action in proptest::sample::select(vec![
            "/logs?since=", "/logs?tail=", "/kill?signal=", "/rename?name=", "/stop?t=",
            "/attach?detachKeys=", "/wait?condition=", "/top?ps_args=", "/start?detachKeys=",
            "/resize?h=", "/stats?stream=",
        ]),
        value in "[ -~]{0,20}|aux|-e?o (pid|user|args|cmd)(,(pid|ppid|args))*|[0-9]{1,12}(\\.[0-9]{1,9})?|[A-Z]{2,6}|\\PC{0,8}|ctrl-[a-z@\\[\\]^_\\\\]",
        method in proptest::sample::select(vec!["GET", "POST"]),
    ) {
        let target = format!("/containers/web{action}{}", percent_encoded(&value));
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
