//! Tenants that would get the same.

use std::fmt::Write as _;

use crate::fixtures::{errors, named, warnings};

#[test]
fn named_tenants() {
    let head = "version = 1\ntenants.images = ['docker.io/library/*']\n";
    let keys = "uid, gid, name, base_dir, domain, domains, network, ports, service_uids, volume, egress, guard, apparmor, capabilities, images, local_images, limits, writable_layer";
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
            "2147483648",
            "4:7: tenant[?].uid: 2147483648 is not between 0 and 2147483647",
        ),
        (
            "-1",
            "4:7: tenant[?].uid: -1 is not between 0 and 2147483647",
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
            "8:7: tenant[7000].network: UID 7000 is in no range of tenants.uids, so no \
             formula gives it a subnet; write network = { subnet = \"…\" }",
            "8:7: tenant[7000].ports: UID 7000 is in no range of tenants.uids, so no formula \
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
            "8: tenant[1001].name: \"A\" is not a short name: 1 to 32 of a-z, 0-9 and inner \"-\"",
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
