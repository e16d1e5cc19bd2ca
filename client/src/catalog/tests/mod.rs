mod words;

use super::{Catalog, EMBEDDED, Template};
use crate::keys::is_secret_name;

/// A complete entry; `REDIS_PASSWORD` and the rest are its own.
pub(crate) const ENTRY: &str = r#"title = "A service"
image = "docker.io/library/thing:1"
phase = "services"
user = "tenant"
start_timeout = "60s"

[environment]
WORD = "${THING_PASSWORD} ${uid} ${host:thing}:${port:thing}"

[config]
"thing.conf" = "password ${json:THING_PASSWORD}"

[mounts]
etc = "/etc/thing"

[filesystem]
read_only = true
tmpfs = { "/tmp" = "16M" }

[limits]
memory = "64M"
pids = 16
cpus = 0.1

[[port]]
container = 80
key = "THING_PORT"
offset = 20
scheme = "http"

[health]
command = ["true"]
interval = "5s"
timeout = "5s"
retries = 3
start_period = "5s"

[stop]
grace = "10s"

[[secret]]
key = "THING_PASSWORD"
format = "alnum32"
change = "deploy"
"#;

fn errors(text: &str) -> Vec<String> {
    match Catalog::load(&[("thing", text)]) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn every_embedded_entry_is_sound() {
    let catalog = Catalog::load(EMBEDDED).unwrap_or_else(|errors| panic!("{errors:#?}"));
    for entry in catalog.entries() {
        let is_checked = !entry.checks.is_empty() || entry.site.is_some();
        assert!(
            is_checked,
            "nothing would tell whether {} works",
            entry.name
        );
        // What looks like a secret is not taken as an argument, and not shown.
        for setting in entry.settings.iter().filter(|one| !one.default.is_empty()) {
            assert!(!is_secret_name(&setting.key), "{}", setting.key);
        }
    }
    for key in [
        "BASE_DIR",
        "FLOWISE_PORT",
        "N8N_IMAGE",
        "CADDY_TLS",
        "REDIS_PASSWORD",
    ] {
        assert!(catalog.is_key(key), "{key}");
    }
    for key in ["PATH", "HOME", "NOTHING_IMAGE"] {
        assert!(!catalog.is_key(key), "{key}");
    }
    assert!(catalog.is_secret("TAILSCALE_AUTH_KEY") && !catalog.is_secret("N8N_PORT"));
}

#[test]
fn a_sound_entry_loads() {
    assert_eq!(errors(ENTRY), Vec::<String>::new());
}

/// What is changed in the entry, to what, and how the error starts.
const CASES: &[(&str, &str, &str)] = &[
    (
        "title =",
        "titel =",
        "thing.toml:1:1: unknown field `titel`",
    ),
    (
        "read_only = true",
        "read_only = true\nx = 1",
        "thing.toml:18:1: unknown field `x`",
    ),
    (
        "\"16M\"",
        "\"16\"",
        "thing.toml:18:20: \"16\" is not a size",
    ),
    ("\"60s\"", "\"1m\"", "thing.toml:5:17: \"1m\" is not a time"),
    (
        "cpus = 0.1",
        "cpus = 0.0",
        "thing.toml:23:8: 0 CPUs are not",
    ),
    (
        "phase = \"services\"",
        "phase = \"later\"",
        "thing.toml:3:9: unknown variant `later`",
    ),
    (
        "thing:1",
        "thing:latest",
        "thing.toml:2:10: \"docker.io/library/thing:latest\" is not a full image",
    ),
    (
        "docker.io/library/thing:1",
        "thing:1",
        "thing.toml:2:10: \"thing:1\" is not a full image",
    ),
    ("${uid}", "${UID}", "thing.toml:8:29: `${UID}`: no such key"),
    (
        "${uid}",
        "${uid",
        "thing.toml:8:8: `${uid ${host:thing}` is not a name",
    ),
    (
        "${uid}",
        "${item.host}",
        "thing.toml:8:29: `${item.host}`: stands in [each] only",
    ),
    (
        "${uid}",
        "${each:site}",
        "thing.toml:8:29: `${each:site}`: lists stand in",
    ),
    (
        "${uid}",
        "${host:redis}",
        "thing.toml:8:29: `${host:redis}`: no service that this one",
    ),
    (
        "${uid}",
        "${url}",
        "thing.toml:8:29: `${url}`: it has no [site]",
    ),
    (
        "start_timeout",
        "needs = [\"redis\"]\nstart_timeout",
        "thing.toml:5:10: it needs \"redis\", which is not a service",
    ),
    (
        "start_timeout",
        "needs = [\"thing\"]\nstart_timeout",
        "thing.toml:5:10: it needs \"thing\", which needs thing",
    ),
    (
        "etc = \"/etc/thing\"",
        "",
        "thing.toml:13:1: `config` and `mounts.etc` go together",
    ),
    (
        "\"/etc/thing\"",
        "\"/tmp/thing\"",
        "thing.toml:14:8: \"/tmp/thing\" is mounted inside \"/tmp\"",
    ),
    (
        "\"/etc/thing\"",
        "\"/etc/../x\"",
        "thing.toml:14:8: \"/etc/../x\" is not an absolute path",
    ),
    (
        "THING_PORT",
        "BASE_DIR",
        "thing.toml:27:7: \"BASE_DIR\" is declared twice",
    ),
    (
        "THING_PORT",
        "thing_port",
        "thing.toml:27:7: \"thing_port\" is not a key",
    ),
    (
        "offset = 20",
        "offset = 3",
        "thing.toml:27:7: port THING_PORT has offset 3, and DIFY_PORT has 3",
    ),
    (
        "THING_PORT",
        "N8N_PORT",
        "thing.toml:27:7: port N8N_PORT has offset 20, and N8N_PORT has 2",
    ),
];

#[test]
fn errors_are_reported_with_their_place() {
    for (from, to, expected) in CASES {
        assert!(ENTRY.contains(*from), "{from}");
        let said = errors(&ENTRY.replacen(*from, to, 1));
        assert!(
            said.iter().any(|error| error.starts_with(*expected)),
            "{to}: expected {expected}, got {said:#?}"
        );
    }
}

#[test]
fn needs_in_a_circle_are_found() {
    let with_needs = |needs: &str, name: &str| {
        ENTRY
            .replace(
                "start_timeout",
                &format!("needs = [{needs:?}]\nstart_timeout"),
            )
            .replace("THING", &name.to_uppercase())
            .replace(":thing", &format!(":{name}"))
            .replace("offset = 20", &format!("offset = 2{}", name.len()))
    };
    let (a, bb) = (with_needs("bb", "a"), with_needs("a", "bb"));
    let errors = Catalog::load(&[("a", &a), ("bb", &bb)]).unwrap_err();
    assert!(
        errors
            .iter()
            .any(|error| error.message.contains("\"bb\", which needs a")),
        "{errors:?}"
    );
}

#[test]
fn a_hash_follows_from_its_value_and_verifies() {
    let template = Template::try_from("x ${bcrypt:THING_PASSWORD}".to_owned()).unwrap();
    let hash = |value: &str| {
        template
            .render(|_| Ok::<_, ()>(value.to_owned()))
            .unwrap()
            .split_off(2)
    };
    let first = hash("a password");
    assert!(bcrypt::verify("a password", &first).unwrap());
    assert!(!bcrypt::verify("another", &first).unwrap());
    assert_eq!(first, hash("a password"));
    assert_ne!(first, hash("another"));
    let unknown = Template::try_from("${argon:THING_PASSWORD}".to_owned());
    assert!(unknown.unwrap_err().contains("not a name"));
}

#[test]
fn a_value_in_a_url_ends_nothing_of_it() {
    let template =
        Template::try_from("redis://:${urlencode:THING_PASSWORD}@redis:6379/3".to_owned()).unwrap();
    let url = |value: &str| template.render(|_| Ok::<_, ()>(value.to_owned())).unwrap();
    assert_eq!(url("aZ09-._~"), "redis://:aZ09-._~@redis:6379/3");
    assert_eq!(
        url("a@b/c:d%40 #?ä+"),
        "redis://:a%40b%2Fc%3Ad%2540%20%23%3F%C3%A4%2B@redis:6379/3"
    );
}

#[test]
fn a_secret_stands_in_no_url_as_it_is() {
    for (value, refused) in [
        ("http://u:${THING_PASSWORD}@h/", true),
        ("{\"url\": \"http://h/?key=${THING_PASSWORD}\"}", true),
        ("http://u:${urlencode:THING_PASSWORD}@h/", false),
        ("http://h/ ${THING_PASSWORD}", false),
        ("${THING_PASSWORD}", false),
        ("Endpoint=https://h/;AccessKey=${THING_PASSWORD}", false),
    ] {
        let text = ENTRY.replacen(
            "\"password ${json:THING_PASSWORD}\"",
            &format!("'''{value}'''"),
            1,
        );
        let said = errors(&text);
        let of_urls = said
            .iter()
            .any(|error| error.contains("${urlencode:THING_PASSWORD}"));
        assert_eq!(of_urls, refused, "{value}: {said:#?}");
        assert_eq!(said.is_empty(), !refused, "{value}: {said:#?}");
    }
}
