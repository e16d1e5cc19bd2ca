//! What containers may be and use.

use aistack_policy::Policy;

use crate::fixtures::{errors, table};

#[test]
fn apparmor_and_limits() {
    table(
        "apparmor",
        &[(
            "'off'",
            &["0: : \"off\" is none of \"required\", \"if-available\""],
        )],
    );
    table(
        "limits",
        &[
            (
                "{ memory = '63M' }",
                &["11: .memory: 66060288 bytes is not between 67108864 and 1125899906842624"],
            ),
            (
                "{ memory = 5.5 }",
                &["11: .memory: expected a string, found float"],
            ),
            (
                "{ cpus = '4' }",
                &["9: .cpus: expected a number like 4 or 1.5"],
            ),
            (
                "{ cpus = 0 }",
                &["9: .cpus: 0 CPUs is not between 0.01 and 1024"],
            ),
            (
                "{ cpus = -1 }",
                &[
                    "9: .cpus: -1 is not a number of CPUs; write it like 4 or 1.5, at most three decimals",
                ],
            ),
            (
                "{ cpus = nan }",
                &[
                    "9: .cpus: nan is not a number of CPUs; write it like 4 or 1.5, at most three decimals",
                ],
            ),
            (
                "{ cpus = 1e3 }",
                &[
                    "9: .cpus: 1e3 is not a number of CPUs; write it like 4 or 1.5, at most three decimals",
                ],
            ),
            (
                "{ cpus = 1.2345 }",
                &[
                    "9: .cpus: 1.2345 is not a number of CPUs; write it like 4 or 1.5, at most three decimals",
                ],
            ),
            (
                "{ cpus = 1025 }",
                &["9: .cpus: 1025 CPUs is not between 0.01 and 1024"],
            ),
            (
                "{ pids = 15 }",
                &["9: .pids: 15 is not between 16 and 4194304"],
            ),
            (
                "{ containers = 0 }",
                &["15: .containers: 0 is not between 1 and 10000"],
            ),
            (
                "{ disk = 1 }",
                &["2: .disk: unknown key; known here: memory, cpus, pids, containers"],
            ),
        ],
    );
}

#[test]
fn writable_layers() {
    let malformed = "is not a size; write digits and K, M, G or T (powers of 1024), like \"20G\"";
    for (value, message) in [
        ("'always'", format!("\"always\" {malformed}")),
        ("'Never'", format!("\"Never\" {malformed}")),
        (
            "'15M'",
            "15728640 bytes is not between 16777216 and 17592186044416".to_owned(),
        ),
        (
            "0",
            "0 is not between 16777216 and 17592186044416".to_owned(),
        ),
        ("false", "expected a string, found boolean".to_owned()),
    ] {
        let text = format!("version = 1\n[tenants]\nwritable_layer = {value}");
        let expected = format!("3:18: tenants.writable_layer: {message}");
        assert_eq!(errors(&text), [expected], "{value}");
    }
}

#[test]
fn capabilities() {
    table(
        "capabilities",
        &[
            ("'CHOWN'", &["0: : expected a list, found string"]),
            (
                "['ALL', 'CAP_SYS_ADMIN', 'chown', 'FOO', 'KILL', 'KILL', 5]",
                &[
                    "1: : ALL is not allowed; name each capability",
                    "8: : write SYS_ADMIN for \"CAP_SYS_ADMIN\"",
                    "25: : write CHOWN for \"chown\"",
                    "34: : \"FOO\" is not a Linux capability",
                    "49: : listed twice",
                    "57: : expected a string, found integer",
                ],
            ),
        ],
    );
}

#[test]
fn images() {
    let shape = "is not an image pattern: registry/path in lower case without tag or digest, \"*\" only as the last component";
    let no_registry = "does not start with a registry; write it like \"docker.io/library/redis\"";
    for (pattern, message) in [
        ("redis", format!("\"redis\" {no_registry}")),
        ("library/redis", format!("\"library/redis\" {no_registry}")),
        ("*", format!("\"*\" {no_registry}")),
        ("*/x", format!("\"*/x\" {no_registry}")),
        ("GHCR.io/x", format!("\"GHCR.io/x\" {no_registry}")),
        ("a:99999/x", format!("\"a:99999/x\" {no_registry}")),
        (
            "docker.io/redis",
            "write docker.io/library/redis for docker.io/redis".to_owned(),
        ),
        (
            "index.docker.io/library/redis",
            "write docker.io for index.docker.io".to_owned(),
        ),
        (
            "docker.io/library/redis:8",
            format!("\"docker.io/library/redis:8\" {shape}"),
        ),
        (
            "docker.io/library/redis@sha256:00",
            format!("\"docker.io/library/redis@sha256:00\" {shape}"),
        ),
        (
            "docker.io/library/re*",
            format!("\"docker.io/library/re*\" {shape}"),
        ),
        (
            "docker.io/*/redis",
            format!("\"docker.io/*/redis\" {shape}"),
        ),
        ("docker.io//redis", format!("\"docker.io//redis\" {shape}")),
        (
            "docker.io/library/",
            format!("\"docker.io/library/\" {shape}"),
        ),
        ("docker.io/../x", format!("\"docker.io/../x\" {shape}")),
        ("ghcr.io/a/B", format!("\"ghcr.io/a/B\" {shape}")),
        ("ghcr.io/a..b", format!("\"ghcr.io/a..b\" {shape}")),
        ("ghcr.io/-a", format!("\"ghcr.io/-a\" {shape}")),
        ("ghcr.io/a-", format!("\"ghcr.io/a-\" {shape}")),
    ] {
        let text = format!("version = 1\n[tenants]\nimages = ['{pattern}']");
        assert_eq!(errors(&text), [format!("3:11: tenants.images: {message}")]);
        let text = format!("version = 1\n[tenants]\nlocal_images = ['{pattern}']");
        let expected = format!("3:17: tenants.local_images: {message}");
        assert_eq!(errors(&text), [expected]);
    }
    for pattern in [
        "ghcr.io/a/*",
        "localhost/x",
        "localhost:5000/x/*",
        "quay.io/a_b/c--d.e/f__g",
    ] {
        let text = format!("version = 1\n[tenants]\nimages = ['{pattern}']");
        assert!(Policy::parse(&text).is_ok(), "{pattern}");
    }
}
