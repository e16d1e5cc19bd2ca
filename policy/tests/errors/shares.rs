//! What each tenant gets of the host: UIDs, directories, domains, networks, ports.

use aistack_policy::Policy;

use crate::fixtures::{errors, named, table, with};

#[test]
fn uids() {
    for (value, expected) in [
        ("5", "8: tenants.uids: expected a list, found integer"),
        (
            "[1001]",
            "9: tenants.uids: expected a string, found an integer; write \"1001\"",
        ),
        (
            "[true]",
            "9: tenants.uids: expected a string, found boolean",
        ),
        (
            "['x']",
            "9: tenants.uids: \"x\" is not a UID range; write \"1001-1999\" or \"1001\"",
        ),
        (
            "['']",
            "9: tenants.uids: \"\" is not a UID range; write \"1001-1999\" or \"1001\"",
        ),
        (
            "['01001']",
            "9: tenants.uids: \"01001\" is not a UID range; write \"1001-1999\" or \"1001\"",
        ),
        (
            "['1001 - 1002']",
            "9: tenants.uids: \"1001 - 1002\" is not a UID range; write \"1001-1999\" or \"1001\"",
        ),
        (
            "['1002-1001']",
            "9: tenants.uids: the range ends before it starts: 1002 > 1001",
        ),
        (
            "['0']",
            "9: tenants.uids: UID 0 belongs to the system (below 1000)",
        ),
        (
            "['999-1001']",
            "9: tenants.uids: UID 999 belongs to the system (below 1000)",
        ),
        (
            "['65000-66000']",
            "9: tenants.uids: UID 65534 is nobody, the overflow UID",
        ),
        (
            "['65535']",
            "9: tenants.uids: UID 65535 is -1 to 16-bit programs",
        ),
        (
            "['70000-2147483648']",
            "9: tenants.uids: UID 2147483648 is too large: Docker runs nothing above 2147483647",
        ),
        (
            "['1001', '1000-1005']",
            "17: tenants.uids: tenant UID 1001 is the same as tenant UID 1001 (tenants.uids, line 3)",
        ),
    ] {
        let text = format!("version = 1\n[tenants]\nuids = {value}");
        assert_eq!(errors(&text), [format!("3:{expected}")], "{value}");
    }
}

#[test]
fn directories() {
    table(
        "base_dir",
        &[
            ("1", &["0: : expected a string, found integer"]),
            ("'mnt/{uid}'", &["0: : \"mnt/{uid}\" is not absolute"]),
            ("'/'", &["0: : / is the whole host"]),
            (
                "'/mnt/../{uid}'",
                &[
                    "0: : \"/mnt/../{uid}\" has an empty component, \".\" or \"..\"; write the shortest form",
                ],
            ),
            (
                "'/mnt/{uid}/'",
                &[
                    "0: : \"/mnt/{uid}/\" has an empty component, \".\" or \"..\"; write the shortest form",
                ],
            ),
            (
                "'/mnt/a b{uid}'",
                &[
                    "0: : \"/mnt/a b{uid}\" may hold only letters, digits, \".\", \"_\", \"-\" and \"/\"",
                ],
            ),
            ("'/mnt/{uid}{uid}'", &["0: : {uid} may appear only once"]),
            (
                "'/mnt/{gid}'",
                &["0: : \"/mnt/{gid}\" has a brace that is not part of {uid}"],
            ),
            (
                "'/etc/{uid}'",
                &["0: : /etc/{uid} meets /etc, which belongs to the system"],
            ),
            (
                "'/var/lib/docker/x-{uid}'",
                &[
                    "0: : /var/lib/docker/x-{uid} meets /var/lib/docker, which belongs to the system",
                ],
            ),
            (
                "'/mnt/data'",
                &["0: : \"/mnt/data\" without {uid} gives the same directory to 10 UIDs"],
            ),
        ],
    );
    for around in [
        "/var",
        "/var/lib",
        "/proc",
        "/sys/fs",
        "/dev/shm/x",
        "/run",
        "/usr",
        "/boot",
    ] {
        let text = named(&format!("base_dir = '{around}'"));
        assert!(
            errors(&text)[0].contains("belongs to the system"),
            "{around}"
        );
    }
    let long = format!("/mnt/{}", "x".repeat(200));
    assert_eq!(
        errors(&named(&format!("base_dir = '{long}'"))),
        ["7:12: tenant[1001].base_dir: 205 characters, at most 200 with the longest UID"]
    );
}

#[test]
fn domains() {
    let malformed = |text: &str| {
        format!("0: : {text:?} is not a domain: each label is 1 to 63 of a-z, 0-9 and inner \"-\"")
    };
    for text in [
        "",
        "UP.{uid}.example",
        "a..{uid}",
        "-a{uid}.b",
        "a{uid}-.b",
        "*.{uid}.x",
        "a_{uid}.b",
    ] {
        table("domain", &[(&format!("'{text}'"), &[&malformed(text)])]);
    }
    let long = format!("{}{{uid}}.example", "x".repeat(54));
    table("domain", &[(&format!("'{long}'"), &[&malformed(&long)])]);
    table(
        "domain",
        &[
            (
                "'{uid}'",
                &["0: : \"{uid}\" ends in a number, like an address"],
            ),
            (
                "'10.0.0.{uid}'",
                &["0: : \"10.0.0.{uid}\" ends in a number, like an address"],
            ),
            (
                "'a.example'",
                &["0: : \"a.example\" without {uid} gives the same domain to 10 UIDs"],
            ),
        ],
    );
}

#[test]
fn networks() {
    let bad_name = |text: &str| {
        format!(
            "9: .name: {text:?} is not a network name: at most 64 of letters, digits, \"_\", \".\" \
             and \"-\", a letter or digit first"
        )
    };
    for text in ["", "-{uid}", "a b{uid}", "ü{uid}"] {
        table(
            "network",
            &[(&format!("{{ name = '{text}' }}"), &[&bad_name(text)])],
        );
    }
    table(
        "network",
        &[
            (
                "{ name = 'bridge' }",
                &["9: .name: \"bridge\" is predefined by Docker"],
            ),
            (
                "{ name = 'Host' }",
                &["9: .name: \"Host\" is predefined by Docker"],
            ),
            (
                "{ name = '{uid}' }",
                &["9: .name: \"{uid}\" could be taken for a network id"],
            ),
            (
                "{ name = 'ai' }",
                &["9: .name: \"ai\" without {uid} gives the same network name to 10 UIDs"],
            ),
            (
                "{ pool = '10.0.0.0' }",
                &["9: .pool: \"10.0.0.0\" is no IPv4 network; write it like \"10.128.0.0/10\""],
            ),
            (
                "{ pool = '10.0.0.0/08' }",
                &["9: .pool: \"10.0.0.0/08\" is no IPv4 network; write it like \"10.128.0.0/10\""],
            ),
            (
                "{ pool = '10.0.0.0/7' }",
                &["9: .pool: the prefix /7 is not between /8 and /30"],
            ),
            (
                "{ pool = '10.0.1.0/16' }",
                &[
                    "9: .pool: 10.0.1.0 is not the first address of a /16: 256 addresses lie below it",
                ],
            ),
            (
                "{ pool = '8.8.0.0/16' }",
                &[
                    "9: .pool: 8.8.0.0/16 is not private: it must lie in 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16 or 100.64.0.0/10",
                ],
            ),
            (
                "{ prefix = 31 }",
                &["11: .prefix: 31 is not between 8 and 30"],
            ),
            (
                "{ prefix = 9 }",
                &["11: .prefix: a subnet of /9 does not fit into the pool 10.128.0.0/10"],
            ),
            (
                "{ pool = '10.0.0.0/28', prefix = 30 }",
                &["0: : the pool 10.0.0.0/28 has 4 subnets of /30, but UIDs up to 1010 need 10"],
            ),
            (
                "{ mtu = 9000 }",
                &["2: .mtu: unknown key; known here: name, pool, prefix"],
            ),
            ("'x'", &["0: : expected a table, found string"]),
        ],
    );
}

#[test]
fn ports() {
    table(
        "ports",
        &[
            (
                "{ first = 1023 }",
                &["10: .first: 1023 is not between 1024 and 65535"],
            ),
            (
                "{ first = 65536 }",
                &["10: .first: 65536 is not between 1024 and 65535"],
            ),
            (
                "{ first = -5 }",
                &["10: .first: -5 is not between 1024 and 65535"],
            ),
            (
                "{ first = 99999999999999999999999999999999999999999 }",
                &["10: .first: the number is not between 1024 and 65535"],
            ),
            (
                "{ first = '5100' }",
                &["10: .first: expected an integer, found string"],
            ),
            (
                "{ per_tenant = 0 }",
                &["15: .per_tenant: 0 is not between 1 and 64512"],
            ),
            (
                "{ count = 5 }",
                &["2: .count: unknown key; known here: first, per_tenant"],
            ),
            (
                "{ first = 65000, per_tenant = 100 }",
                &[
                    "0: : ports 65500-65599 of UID 1006 run past 65535: UIDs 1001-1010 need 1000 ports from 65000, so that only 5 of them fit",
                ],
            ),
        ],
    );
    let too_many = "version = 1\n[tenants]\nuids = [\"1001-1999\"]\n";
    assert_eq!(
        errors(too_many),
        [
            "3:8: tenants.ports: ports 65500-65599 of UID 1605 run past 65535: UIDs 1001-1999 \
             need 99900 ports from 5100, so that only 604 of them fit"
        ]
    );
    let last = "{ first = 65526, per_tenant = 1 }";
    assert!(
        Policy::parse(&with(&format!("ports = {last}"))).is_ok(),
        "1010 has 65535"
    );
}

#[test]
fn service_uids() {
    table(
        "service_uids",
        &[
            (
                "{ offset = 0 }",
                &["11: .offset: 0 is not between 1 and 2147483647"],
            ),
            ("{ count = 0 }", &["10: .count: 0 is not between 1 and 16"]),
            (
                "{ count = 17 }",
                &["10: .count: 17 is not between 1 and 16"],
            ),
            (
                "{ first = 1 }",
                &["2: .first: unknown key; known here: offset, count"],
            ),
            (
                "{ offset = 9 }",
                &[
                    "0: : service UID 1010 of UID 1001 clashes with tenant UID 1010 (tenants.uids, line 3)",
                ],
            ),
            (
                "{ offset = 10, count = 1000000 }",
                &["23: .count: 1000000 is not between 1 and 16"],
            ),
            (
                "{ offset = 2147483647 }",
                &[
                    "0: : service UID 2147484648 of UID 1001 is too large: Docker runs nothing above 2147483647",
                ],
            ),
            (
                "{ offset = 64530 }",
                &["0: : service UID 65534 of UID 1004 is nobody, the overflow UID"],
            ),
        ],
    );
    let twice = with("service_uids = { offset = 10, count = 2 }");
    assert!(Policy::parse(&twice).is_ok(), "touching is not overlapping");
    let wide = "version = 1\n[tenants]\nuids = [\"1001-2500\"]\nports.per_tenant = 10\n";
    assert_eq!(
        errors(wide),
        [
            "3:9: tenants.uids: tenant UID 2001 clashes with service UID 2001 of UID 1001 \
             (tenants.service_uids, default)"
        ]
    );
}
