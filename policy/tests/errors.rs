//! Every mistake that a file can have, where it is reported, and in which words.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test helper fails by panicking"
)]

use std::fmt::Write as _;

use aistack_policy::{MAX_TEXT_BYTES, Policy};

fn errors(text: &str) -> Vec<String> {
    match Policy::parse(text) {
        Ok(policy) => panic!("accepted, tenants {:?}:\n{text}", policy.tenants()),
        Err(errors) => errors.0.iter().map(ToString::to_string).collect(),
    }
}

fn warnings(text: &str) -> Vec<String> {
    let policy = Policy::parse(text).unwrap_or_else(|errors| panic!("{errors:?}:\n{text}"));
    policy.warnings().iter().map(ToString::to_string).collect()
}

/// A file with ten tenants, an image and one more line in `[tenants]`, which is line 5.
fn with(line: &str) -> String {
    format!(
        "version = 1\n[tenants]\nuids = [\"1001-1010\"]\nimages = [\"docker.io/library/*\"]\n{line}\n"
    )
}

/// The same with a `[[tenant]]` for UID 1001, whose own lines start at 7.
fn named(lines: &str) -> String {
    with("[[tenant]]\nuid = 1001") + lines
}

#[test]
fn the_fixtures_are_sound() {
    assert_eq!(warnings(&with("")), [""; 0]);
    assert_eq!(warnings(&named("")), [""; 0]);
}

#[test]
fn text_that_is_no_toml_is_one_error() {
    for (text, expected) in [
        (
            "version = 1\n[tenants\n",
            "2:9: syntax: unclosed table, expected `]`",
        ),
        ("version = 1\nversion = 1\n", "2:1: syntax: duplicate key"),
        (
            "\"größe\" = 1\n\"ä\" = ü\n",
            "2:7: syntax: string values must be quoted, expected literal string",
        ),
    ] {
        assert_eq!(errors(text), [expected]);
    }
    let deep = format!("version = 1\n{} = 1", vec!["a"; 5000].join("."));
    assert_eq!(errors(&deep).len(), 1);
    let long = " ".repeat(MAX_TEXT_BYTES + 1);
    assert_eq!(
        errors(&long),
        ["1:1: syntax: 1048577 bytes, at most 1048576 are read"]
    );
}

#[test]
fn columns_are_characters() {
    let text = "version = 1\n\"größe\" = 1 # ä\ntenants = { \"ü\" = 1, domain = \"ö\" }";
    assert_eq!(
        errors(text),
        [
            "2:1: größe: unknown key; known here: version, tenants, tenant",
            "3:13: tenants.ü: unknown key; known here: uids, base_dir, domain, network, ports, \
             service_uids, volume, apparmor, capabilities, images, limits",
            "3:31: tenants.domain: \"ö\" is no domain: each label is 1 to 63 of a-z, 0-9 and \
             inner \"-\"",
        ]
    );
}

#[test]
fn the_file_itself() {
    assert_eq!(errors(""), ["1:1: version: missing; write version = 1"]);
    assert_eq!(
        errors("version = 2"),
        ["1:11: version: 2 is not a version that this program reads; it reads 1"]
    );
    assert_eq!(
        errors("version = '1'\ntenants = 5\ntenant = 3\nsurprise = true"),
        [
            "1:11: version: expected an integer, found string",
            "2:11: tenants: expected a table, found integer",
            "3:10: tenant: expected a list, found integer",
            "4:1: surprise: unknown key; known here: version, tenants, tenant",
        ]
    );
    assert_eq!(
        errors("version = 1\ntenant = [{ uid = 2000 }, 5]"),
        ["2:27: tenant: expected a table, found integer"]
    );
}

/// `(value of tenants.KEY, expected errors)`; columns are counted from the value, which starts at 0.
fn table(key: &str, rows: &[(&str, &[&str])]) {
    for (value, expected) in rows {
        let expected: Vec<String> = expected
            .iter()
            .map(|row| {
                let (column, rest) = row.split_once(": ").unwrap();
                let column = column.parse::<usize>().unwrap() + key.len() + 4;
                format!("5:{column}: tenants.{key}{rest}")
            })
            .collect();
        let text = with(&format!("{key} = {value}"));
        assert_eq!(errors(&text), expected, "{key} = {value}");
    }
}

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
            "9: tenants.uids: \"x\" is no UID range; write \"1001-1999\" or \"1001\"",
        ),
        (
            "['']",
            "9: tenants.uids: \"\" is no UID range; write \"1001-1999\" or \"1001\"",
        ),
        (
            "['01001']",
            "9: tenants.uids: \"01001\" is no UID range; write \"1001-1999\" or \"1001\"",
        ),
        (
            "['1001 - 1002']",
            "9: tenants.uids: \"1001 - 1002\" is no UID range; write \"1001-1999\" or \"1001\"",
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
            "['70000-4294967295']",
            "9: tenants.uids: UID 4294967295 is too large: the highest UID is 4294967294",
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
            ("'/mnt/{uid}{uid}'", &["0: : {uid} may stand only once"]),
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
        format!("0: : {text:?} is no domain: each label is 1 to 63 of a-z, 0-9 and inner \"-\"")
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
            "9: .name: {text:?} is no network name: at most 64 of letters, digits, \"_\", \".\" \
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
                &["11: .offset: 0 is not between 1 and 4294967294"],
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
                "{ offset = 4294967294 }",
                &[
                    "0: : service UID 4294968295 of UID 1001 is too large: the highest UID is 4294967294",
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

#[test]
fn volumes_on_disks() {
    const UUID: &str = "01234567-89ab-cdef-0123-456789abcdef";
    let good = [
        "{ kind = 'ebs', id = 'vol-12345678', size_min = '10G', grow = true }".to_owned(),
        format!("{{ kind = 'ebs', id = 'vol-12345678', uuid = '{UUID}' }}"),
        "{ kind = 'disk', match = 'serial:QEMU NVMe Ctrl/vol1', fs = 'xfs' }".to_owned(),
        format!("{{ kind = 'disk', match = 'xvd:xvdf', uuid = '{UUID}', format = 'never' }}"),
        format!("{{ kind = 'disk', match = 'by-id:google-data', uuid = '{UUID}' }}"),
        "{ grow = true }".to_owned(),
    ];
    for volume in good {
        assert_eq!(warnings(&named(&format!("volume = {volume}"))), [""; 0]);
    }
    let position = "says where a disk is, not which: add the uuid of its file system";
    let made = "a volume with a uuid has its file system already and is never formatted";
    let cases = [
        (
            "{ kind = 'disk', match = 'xvd:xvdf' }".to_owned(),
            format!("10: tenant[1001].volume.uuid: xvd:xvdf {position}"),
        ),
        (
            "{ kind = 'disk', match = 'by-id:a' }".to_owned(),
            format!("10: tenant[1001].volume.uuid: by-id:a {position}"),
        ),
        (
            format!("{{ kind = 'ebs', format = 'if-blank', uuid = '{UUID}' }}"),
            format!("35: tenant[1001].volume.format: {made}"),
        ),
        (
            format!("{{ kind = 'ebs', uuid = '{}' }}", UUID.to_uppercase()),
            format!(
                "33: tenant[1001].volume.uuid: \"{}\" is no UUID: 8-4-4-4-12 of 0-9, a-f, as blkid \
                 shows it",
                UUID.to_uppercase()
            ),
        ),
        (
            "{ kind = 'ebs', match = 'xvd:xvdf' }".to_owned(),
            "34: tenant[1001].volume.match: a match belongs to kind = \"disk\", this is \"ebs\""
                .to_owned(),
        ),
        (
            "{ kind = 'disk', id = 'vol-12345678' }".to_owned(),
            "32: tenant[1001].volume.id: an id belongs to kind = \"ebs\", this is \"disk\""
                .to_owned(),
        ),
        (
            "{ size_min = '1G' }".to_owned(),
            "23: tenant[1001].volume.size_min: a size_min belongs to disks, this is \"loop\""
                .to_owned(),
        ),
        (
            "{ grow = 'yes' }".to_owned(),
            "19: tenant[1001].volume.grow: expected true or false, found string".to_owned(),
        ),
        (
            "{ kind = 'disk', match = '/dev/sdb' }".to_owned(),
            "35: tenant[1001].volume.match: \"/dev/sdb\" is none of \"ebs:VOLUME-ID\", \
             \"serial:MODEL/SERIAL\", \"by-id:LINK\" or \"xvd:DEVICE\""
                .to_owned(),
        ),
    ];
    for (volume, expected) in cases {
        let text = named(&format!("volume = {volume}"));
        assert_eq!(errors(&text), [format!("7:{expected}")], "{volume}");
    }
    let everybody = with(&format!("volume = {{ kind = 'disk', uuid = '{UUID}' }}"));
    assert_eq!(
        errors(&everybody),
        [
            "5:34: tenants.volume.uuid: a uuid belongs into a [[tenant]]: one volume cannot serve \
             several tenants"
        ]
    );
}

#[test]
fn one_disk_and_one_file_system_serve_one_tenant() {
    const UUID: &str = "01234567-89ab-cdef-0123-456789abcdef";
    let two = |one: &str, other: &str| {
        named(&format!(
            "volume = {{ kind = {one} }}\n[[tenant]]\nuid = 1002\nvolume = {{ kind = {other} }}"
        ))
    };
    let ebs = "'ebs', id = 'vol-12345678'";
    assert_eq!(
        errors(&two(ebs, "'disk', match = 'ebs:vol-12345678'")),
        ["10:10: tenant[1002].volume.match: vol-12345678 is pinned for UID 1001 too (line 7)"]
    );
    let serial = "'disk', match = 'serial:a/b'";
    assert_eq!(
        errors(&two(serial, serial)),
        ["10:10: tenant[1002].volume.match: serial:a/b is pinned for UID 1001 too (line 7)"]
    );
    let with_uuid = |disk: &str| format!("{disk}, uuid = '{UUID}'");
    assert_eq!(
        errors(&two(&with_uuid(ebs), &with_uuid(serial))),
        [format!(
            "10:10: tenant[1002].volume.uuid: {UUID} is pinned for UID 1001 too (line 7)"
        )]
    );
    assert_eq!(warnings(&two(ebs, serial)), [""; 0]);
}

#[test]
fn volumes() {
    table(
        "volume",
        &[
            (
                "{ kind = 'nfs' }",
                &["9: .kind: \"nfs\" is none of \"loop\", \"ebs\", \"disk\""],
            ),
            (
                "{ fs = 'btrfs' }",
                &["7: .fs: \"btrfs\" is none of \"ext4\", \"xfs\""],
            ),
            (
                "{ format = true }",
                &["11: .format: expected a string, found boolean"],
            ),
            (
                "{ format = 'always' }",
                &["11: .format: \"always\" is none of \"never\", \"if-blank\""],
            ),
            (
                "{ size = '20GB' }",
                &[
                    "9: .size: \"20GB\" is no size; write digits and K, M, G or T (powers of 1024), like \"20G\"",
                ],
            ),
            (
                "{ size = 'ü' }",
                &[
                    "9: .size: \"ü\" is no size; write digits and K, M, G or T (powers of 1024), like \"20G\"",
                ],
            ),
            (
                "{ size = '15M' }",
                &["9: .size: 15728640 bytes is not between 16777216 and 17592186044416"],
            ),
            (
                "{ size = '17T' }",
                &["9: .size: 18691697672192 bytes is not between 16777216 and 17592186044416"],
            ),
            (
                "{ size = '99999999T' }",
                &["9: .size: 99999999T is too large"],
            ),
            (
                "{ size = '99999999999999999999' }",
                &["9: .size: 99999999999999999999 is too large"],
            ),
            (
                "{ size = 20000001 }",
                &["9: .size: 20000001 bytes is no multiple of 4096"],
            ),
            (
                "{ fs = 'xfs', size = '100M' }",
                &["21: .size: 104857600 bytes is not between 314572800 and 17592186044416"],
            ),
            (
                "{ kind = 'ebs', size = '20G' }",
                &["23: .size: a size belongs to kind = \"loop\", this is \"ebs\""],
            ),
            (
                "{ kind = 'ebs', id = 'vol-12345678' }",
                &[
                    "21: .id: an id belongs into a [[tenant]]: one volume cannot serve several tenants",
                ],
            ),
        ],
    );
    for (volume, expected) in [
        (
            "{ id = 'vol-12345678' }",
            "17: tenant[1001].volume.id: an id belongs to kind = \"ebs\", this is \"loop\"",
        ),
        (
            "{ kind = 'ebs', id = 'vol-1234567G' }",
            "31: tenant[1001].volume.id: \"vol-1234567G\" is no EBS volume: \"vol-\" and 8 or 17 of 0-9, a-f",
        ),
    ] {
        let text = named(&format!("volume = {volume}"));
        assert_eq!(errors(&text), [format!("7:{expected}")]);
    }
    let small_base =
        with("volume = { size = '64M' }") + "[[tenant]]\nuid = 1001\nvolume = { fs = 'xfs' }";
    assert_eq!(
        errors(&small_base),
        ["8:10: tenant[1001].volume.fs: xfs needs 314572800 bytes, the size is 67108864"]
    );
}

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
                    "9: .cpus: -1 is no number of CPUs; write it like 4 or 1.5, at most three decimals",
                ],
            ),
            (
                "{ cpus = nan }",
                &[
                    "9: .cpus: nan is no number of CPUs; write it like 4 or 1.5, at most three decimals",
                ],
            ),
            (
                "{ cpus = 1e3 }",
                &[
                    "9: .cpus: 1e3 is no number of CPUs; write it like 4 or 1.5, at most three decimals",
                ],
            ),
            (
                "{ cpus = 1.2345 }",
                &[
                    "9: .cpus: 1.2345 is no number of CPUs; write it like 4 or 1.5, at most three decimals",
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
fn capabilities() {
    table(
        "capabilities",
        &[
            ("'CHOWN'", &["0: : expected a list, found string"]),
            (
                "['ALL', 'CAP_SYS_ADMIN', 'chown', 'FOO', 'KILL', 'KILL', 5]",
                &[
                    "1: : ALL is not granted; name each capability",
                    "8: : write SYS_ADMIN for \"CAP_SYS_ADMIN\"",
                    "25: : write CHOWN for \"chown\"",
                    "34: : \"FOO\" is no Linux capability",
                    "49: : listed twice",
                    "57: : expected a string, found integer",
                ],
            ),
        ],
    );
}

#[test]
fn images() {
    let shape = "is no image pattern: registry/path in lower case without tag or digest, \"*\" only as the last component";
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

#[test]
fn named_tenants() {
    let head = "version = 1\ntenants.images = ['docker.io/library/*']\n";
    let keys = "uid, gid, name, base_dir, domain, network, ports, service_uids, volume, apparmor, capabilities, images, limits";
    assert_eq!(
        errors(&format!("{head}[[tenant]]\nuix = 1")),
        [
            "3:1: tenant[?].uid: missing; every [[tenant]] has one".to_owned(),
            format!("4:1: tenant[?].uix: unknown key; known here: {keys}"),
        ]
    );
    for (uid, expected) in [
        (
            "'1001'",
            "4:7: tenant[?].uid: expected an integer, found string",
        ),
        (
            "999",
            "4:7: tenant[?].uid: UID 999 belongs to the system (below 1000)",
        ),
        (
            "65534",
            "4:7: tenant[?].uid: UID 65534 is nobody, the overflow UID",
        ),
        (
            "4294967295",
            "4:7: tenant[?].uid: 4294967295 is not between 0 and 4294967294",
        ),
        (
            "-1",
            "4:7: tenant[?].uid: -1 is not between 0 and 4294967294",
        ),
    ] {
        assert_eq!(
            errors(&format!("{head}[[tenant]]\nuid = {uid}")),
            [expected]
        );
    }
    assert_eq!(
        errors(&named("[[tenant]]\nuid = 1001")),
        ["8:7: tenant[1001]: named already in line 6"]
    );
    assert_eq!(
        errors(&named("[[tenant]]\nuid = 7000")),
        [
            "8:7: tenant[7000].network: UID 7000 stands in no range of tenants.uids, so no \
             formula gives it a subnet; write network = { subnet = \"…\" }",
            "8:7: tenant[7000].ports: UID 7000 stands in no range of tenants.uids, so no formula \
             gives it ports; write ports = { first = … }",
        ]
    );
    let many = "[[tenant]]\nuid = 1001\n".repeat(4097);
    assert_eq!(
        errors(&format!("version = 1\n{many}")),
        ["2:1: tenant: 4097 entries, at most 4096 are read"]
    );
}

#[test]
fn what_a_named_tenant_takes_from_others() {
    for (line, expected) in [
        (
            "name = 'A'",
            "8: tenant[1001].name: \"A\" is no short name: 1 to 32 of a-z, 0-9 and inner \"-\"",
        ),
        (
            "name = 'tenant-1005'",
            "8: tenant[1001].name: name tenant-1005 of UID 1001 meets tenant-1005 of UID 1005 (tenants.name)",
        ),
        (
            "gid = 0",
            "7: tenant[1001].gid: GID 0 belongs to the system (below 1000)",
        ),
        (
            "gid = 1002",
            "7: tenant[1001].gid: GID 1002 is the number of tenant UID 1002",
        ),
        (
            "gid = 1010",
            "7: tenant[1001].gid: GID 1010 is the number of tenant UID 1010",
        ),
        (
            "gid = 2001",
            "7: tenant[1001].gid: GID 2001 is the number of service UID 2001 of UID 1001",
        ),
        (
            "base_dir = '/mnt/data-tenant-1002'",
            "12: tenant[1001].base_dir: directory /mnt/data-tenant-1002 of UID 1001 meets /mnt/data-tenant-1002 of UID 1002 (tenants.base_dir)",
        ),
        (
            "base_dir = '/mnt/data-tenant-1002/x'",
            "12: tenant[1001].base_dir: directory /mnt/data-tenant-1002/x of UID 1001 meets /mnt/data-tenant-1002 of UID 1002 (tenants.base_dir)",
        ),
        (
            "base_dir = '/mnt'",
            "12: tenant[1001].base_dir: directory /mnt of UID 1001 meets /mnt/data-tenant-1002 of UID 1002 (tenants.base_dir)",
        ),
        (
            "domain = 'tenant-1003.internal'",
            "10: tenant[1001].domain: domain tenant-1003.internal of UID 1001 meets tenant-1003.internal of UID 1003 (tenants.domain)",
        ),
        (
            "domain = 'a.tenant-1003.internal'",
            "10: tenant[1001].domain: domain a.tenant-1003.internal of UID 1001 meets tenant-1003.internal of UID 1003 (tenants.domain)",
        ),
        (
            "domain = 'internal'",
            "10: tenant[1001].domain: domain internal of UID 1001 meets tenant-1002.internal of UID 1002 (tenants.domain)",
        ),
        (
            "network = { name = 'ai-platform-1004' }",
            "20: tenant[1001].network.name: network name ai-platform-1004 of UID 1001 meets ai-platform-1004 of UID 1004 (tenants.network.name)",
        ),
        (
            "network = { subnet = '10.128.0.0/24' }",
            "22: tenant[1001].network: subnet 10.128.0.0/24 of UID 1001 clashes with subnet 10.128.0.64/26 of UID 1002 (tenants.network, default)",
        ),
        (
            "network = { subnet = '10.0.0.0/24' }",
            "22: tenant[1001].network.subnet: 10.0.0.0/24 lies outside of the pool 10.128.0.0/10",
        ),
        (
            "network = { pool = '10.0.0.0/24' }",
            "13: tenant[1001].network.pool: unknown key; known here: name, subnet",
        ),
        (
            "ports = { first = 5150 }",
            "9: tenant[1001].ports: ports 5150-5249 of UID 1001 clash with ports 5200-5299 of UID 1002 (tenants.ports, default)",
        ),
        (
            "ports = { count = 101 }",
            "9: tenant[1001].ports: ports 5100-5200 of UID 1001 clash with ports 5200-5299 of UID 1002 (tenants.ports, default)",
        ),
        (
            "ports = { first = 65500 }",
            "9: tenant[1001].ports: ports 65500-65599 of UID 1001 run past 65535: UIDs 1001-1001 need 100 ports from 65500, so that only 0 of them fit",
        ),
        (
            "ports = { per_tenant = 5 }",
            "11: tenant[1001].ports.per_tenant: unknown key; known here: first, count",
        ),
        (
            "service_uids = { offset = 1001 }",
            "16: tenant[1001].service_uids: service UID 2002 of UID 1001 clashes with service UID 2002 of UID 1002 (tenants.service_uids, default)",
        ),
        (
            "service_uids = { offset = 1 }",
            "16: tenant[1001].service_uids: service UID 1002 of UID 1001 clashes with tenant UID 1002 (tenants.uids, line 3)",
        ),
    ] {
        assert_eq!(errors(&named(line)), [format!("7:{expected}")], "{line}");
    }
}

#[test]
fn what_looks_close_is_not_a_clash() {
    for line in [
        "base_dir = '/mnt/data-tenant-1002x'",
        "base_dir = '/mnt/data-tenant-01002'",
        "base_dir = '/mnt/data-tenant-1011'",
        "base_dir = '/mnt/data-tenant-1001'",
        "domain = 'xtenant-1003.internal'",
        "domain = 'tenant-1003.internal.example'",
        "network = { name = 'ai-platform-1011' }",
        "network = { subnet = '10.128.2.128/26' }",
        "ports = { first = 6100 }",
        "ports = { count = 99 }",
        "service_uids = { offset = 1010 }",
        "gid = 1001",
        "gid = 1011",
        "name = 'tenant-1011'",
    ] {
        assert_eq!(warnings(&named(line)), [""; 0], "{line}");
    }
}

#[test]
fn two_named_tenants() {
    let text = named(
        "base_dir = '/srv/x/y'
domain = 'b.example'
name = 'n'
gid = 1500
volume = { kind = 'ebs', id = 'vol-12345678' }
network = { name = 'own', subnet = '10.129.0.0/24' }
ports = { first = 9000 }
[[tenant]]
uid = 1002
base_dir = '/srv/x'
domain = 'a.b.example'
name = 'n'
gid = 1500
volume = { kind = 'ebs', id = 'vol-12345678' }
network = { name = 'own', subnet = '10.129.0.64/26' }
ports = { first = 9050 }
",
    );
    assert_eq!(
        errors(&text),
        [
            "16:12: tenant[1002].base_dir: directory /srv/x of UID 1002 meets /srv/x/y of UID 1001 (line 7)",
            "17:10: tenant[1002].domain: domain a.b.example of UID 1002 meets b.example of UID 1001 (line 8)",
            "18:8: tenant[1002].name: name n of UID 1002 meets n of UID 1001 (line 9)",
            "19:7: tenant[1002].gid: GID 1500 is the GID of UID 1001 too",
            "20:10: tenant[1002].volume.id: vol-12345678 is pinned for UID 1001 too (line 11)",
            "21:20: tenant[1002].network.name: network name own of UID 1002 meets own of UID 1001 (line 12)",
            "21:36: tenant[1002].network: subnet 10.129.0.64/26 of UID 1002 clashes with subnet 10.129.0.0/24 of UID 1001 (tenant[1001].network, line 12)",
            "22:9: tenant[1002].ports: ports 9050-9149 of UID 1002 clash with ports 9000-9099 of UID 1001 (tenant[1001].ports, line 13)",
        ]
    );
}

#[test]
fn each_tenant_inside_a_wide_one_is_reported() {
    let text = "version = 1
tenants.images = ['docker.io/library/*']
[[tenant]]
uid = 2001
ports = { first = 9000, count = 1000 }
network = { subnet = '10.129.0.0/20' }
[[tenant]]
uid = 2002
ports = { first = 9100, count = 10 }
network = { subnet = '10.129.1.0/24' }
[[tenant]]
uid = 2003
ports = { first = 9900, count = 200 }
network = { subnet = '10.129.4.0/24' }
";
    let lines: Vec<String> = errors(text)
        .iter()
        .map(|error| error.split(": ").take(2).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        lines,
        [
            "9:9 tenant[2002].ports",
            "10:22 tenant[2002].network",
            "13:9 tenant[2003].ports",
            "14:22 tenant[2003].network",
        ]
    );
}

#[test]
fn a_flood_of_clashes_is_cut_and_counted() {
    let mut tenants = String::new();
    for n in 0..300 {
        let (uid, third) = (30_000 + n, n % 250);
        writeln!(tenants, "[[tenant]]\nuid = {uid}\nports.first = 9000").unwrap();
        writeln!(tenants, "network.subnet = '10.129.{third}.0/26'").unwrap();
    }
    let found = errors(&format!("version = 1\n{tenants}"));
    let ports = found
        .iter()
        .filter(|e| e.contains(".ports: ports "))
        .count();
    assert_eq!(ports, 100);
    assert!(
        found
            .iter()
            .any(|e| e.contains("199 more clashes are not listed")),
        "{found:?}"
    );
    assert_eq!(
        found.iter().filter(|e| e.contains("subnet 10.")).count(),
        50
    );
}

#[test]
fn what_is_doubtful_is_a_warning_with_numbers() {
    for (line, expected) in [
        (
            "ports = { first = 32000 }",
            "5: tenants.ports: ports from 32768 on (3 UIDs) are ephemeral ports (32768-60999): an outgoing connection may hold a port that a service wants",
        ),
        (
            "volume = { kind = 'ebs' }",
            "5: tenants.volume: 10 UIDs have an EBS volume without an id, so that it cannot be mounted",
        ),
        (
            "capabilities = ['SYS_ADMIN', 'KILL', 'NET_ADMIN']",
            "5: tenants.capabilities: NET_ADMIN, SYS_ADMIN reaches beyond a container: there is no user namespace around it",
        ),
        (
            "network = { prefix = 28 }",
            "5: tenants.network: a /28 has addresses for 13 containers, limits.containers is 40",
        ),
        (
            "limits = { containers = 62 }",
            "5: tenants.network: a /26 has addresses for 61 containers, limits.containers is 62",
        ),
        (
            "network = { pool = '172.16.0.0/12' }",
            "5: tenants.network.pool: the pool 172.16.0.0/12 meets 172.17.0.0/16, which Docker's own bridge docker0 uses by default",
        ),
        (
            "network = { pool = '100.64.0.0/10' }",
            "5: tenants.network.pool: the pool 100.64.0.0/10 meets 100.64.0.0/10, which Tailscale uses by default",
        ),
        (
            "service_uids = { offset = 60200 }",
            "5: tenants.service_uids: service UIDs from 61201 on lie in 61184-65519, which is handed out by systemd's DynamicUser=",
        ),
    ] {
        assert_eq!(warnings(&with(line)), [expected], "{line}");
    }
    let sub =
        "version = 1\n[tenants]\nuids = [\"99999-100001\"]\nimages = [\"docker.io/n8nio/*\"]\n";
    assert_eq!(
        warnings(sub)[0],
        "3: tenants.service_uids: service UIDs from 100999 on lie in 100000-600100000, which is handed out by useradd as subordinate UIDs (/etc/subuid), whose owner could act as the tenant"
    );
}
