//! The promise of the policy: no two UIDs share anything. Files are generated from values that are
//! each legal; a second, slow implementation that counts through every UID says whether the file as
//! a whole is, and the parser must say the same.

#![expect(clippy::unwrap_used, reason = "a test helper fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use aistack_policy::{Grant, Policy};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};

/// A policy file as numbers.
#[derive(Debug, Clone)]
struct Model {
    ranges: Vec<(u32, u32)>,
    base_dir: &'static str,
    domain: &'static str,
    name: &'static str,
    pool: (u32, u8),
    prefix: u8,
    ports: (u16, u16),
    service: (u32, u32),
    named: BTreeMap<u32, Own>,
}

/// One `[[tenant]]`.
#[derive(Debug, Clone)]
struct Own {
    gid: Option<u32>,
    base_dir: Option<String>,
    domain: Option<String>,
    name: Option<String>,
    network_name: Option<String>,
    subnet: Option<(u32, u8)>,
    first_port: Option<u16>,
    port_count: Option<u16>,
    service: Option<(u32, u32)>,
}

/// What one UID would have, in numbers that cannot wrap.
struct Share {
    uid: u64,
    gid: u64,
    services: Vec<u64>,
    ports: (u64, u64),
    addresses: (u64, u64),
    directory: Vec<String>,
    domain: Vec<String>,
    network: String,
    name: String,
}

impl Model {
    fn text(&self) -> String {
        let ranges: Vec<String> = self
            .ranges
            .iter()
            .map(|(a, b)| format!("\"{a}-{b}\""))
            .collect();
        let mut text = format!(
            "version = 1\n[tenants]\nuids = [{}]\nbase_dir = \"{}\"\ndomain = \"{}\"\n\
             network = {{ name = \"{}\", pool = \"{}\", prefix = {} }}\n\
             ports = {{ first = {}, per_tenant = {} }}\n\
             service_uids = {{ offset = {}, count = {} }}\n",
            ranges.join(", "),
            self.base_dir,
            self.domain,
            self.name,
            subnet_text(self.pool),
            self.prefix,
            self.ports.0,
            self.ports.1,
            self.service.0,
            self.service.1,
        );
        for (uid, own) in &self.named {
            own.write(*uid, &mut text);
        }
        text
    }

    /// The UIDs in the order of their places.
    fn in_ranges(&self) -> Vec<u64> {
        let ranges = self.ranges.iter();
        ranges
            .flat_map(|(a, b)| u64::from(*a)..=u64::from(*b))
            .collect()
    }

    /// Everybody's share; `None` when somebody has none.
    fn shares(&self) -> Option<Vec<Share>> {
        let placed = self.in_ranges();
        let places: BTreeMap<u64, u64> = placed.iter().copied().zip(0..).collect();
        let everybody: BTreeSet<u64> = placed
            .iter()
            .copied()
            .chain(self.named.keys().map(|uid| u64::from(*uid)))
            .collect();
        everybody
            .into_iter()
            .map(|uid| self.share(uid, places.get(&uid).copied()))
            .collect()
    }

    fn share(&self, uid: u64, place: Option<u64>) -> Option<Share> {
        let own = self.named.get(&u32::try_from(uid).unwrap());
        let fill = |template: &str| template.replace("{uid}", &uid.to_string());
        let (offset, count) = own.and_then(|o| o.service).unwrap_or(self.service);
        let by_formula = || {
            let size = 1_u64 << (32 - self.prefix);
            Some((u64::from(self.pool.0) + place? * size, size))
        };
        let own_subnet = own
            .and_then(|o| o.subnet)
            .map(|(address, prefix)| (u64::from(address), 1 << (32 - prefix)));
        let subnet = own_subnet.or_else(by_formula)?;
        let each = u64::from(self.ports.1);
        let first = match own.and_then(|o| o.first_port) {
            Some(first) => u64::from(first),
            None => u64::from(self.ports.0) + place? * each,
        };
        let count_of_ports = own.and_then(|o| o.port_count).map_or(each, u64::from);
        let text = |own: Option<&String>, template: &str| own.cloned().unwrap_or(fill(template));
        let directory = text(own.and_then(|o| o.base_dir.as_ref()), self.base_dir);
        let domain = text(own.and_then(|o| o.domain.as_ref()), self.domain);
        Some(Share {
            uid,
            gid: own.and_then(|o| o.gid).map_or(uid, u64::from),
            services: (1..=u64::from(count))
                .map(|n| uid + n * u64::from(offset))
                .collect(),
            ports: (first, first + count_of_ports - 1),
            addresses: (subnet.0, subnet.0 + subnet.1 - 1),
            directory: directory.split('/').map(str::to_owned).collect(),
            domain: domain.rsplit('.').map(str::to_owned).collect(),
            network: text(own.and_then(|o| o.network_name.as_ref()), self.name),
            name: text(own.and_then(|o| o.name.as_ref()), "tenant-{uid}"),
        })
    }

    /// Whether the file must be accepted.
    fn is_legal(&self) -> bool {
        let placed = self.in_ranges();
        let distinct: BTreeSet<u64> = placed.iter().copied().collect();
        if distinct.len() != placed.len() {
            return false;
        }
        let Some(shares) = self.shares() else {
            return false;
        };
        let pool = (
            u64::from(self.pool.0),
            u64::from(self.pool.0) + (1 << (32 - self.pool.1)) - 1,
        );
        let bounded = shares.iter().all(|share| {
            let uids = share.services.iter().chain([&share.uid, &share.gid]);
            uids.clone().all(|uid| is_free(*uid))
                && share.ports.1 <= 65_535
                && pool.0 <= share.addresses.0
                && share.addresses.1 <= pool.1
        });
        bounded && is_disjoint(&shares)
    }
}

fn is_free(uid: u64) -> bool {
    (1000..=4_294_967_294).contains(&uid) && uid != 65_534 && uid != 65_535
}

/// Compares everybody with everybody.
fn is_disjoint(shares: &[Share]) -> bool {
    let apart = |a: (u64, u64), b: (u64, u64)| a.1 < b.0 || b.1 < a.0;
    let nested = |a: &[String], b: &[String]| a.starts_with(b) || b.starts_with(a);
    let numbers =
        |share: &Share| -> Vec<u64> { share.services.iter().copied().chain([share.uid]).collect() };
    for (nth, a) in shares.iter().enumerate() {
        // An own GID may not be one of the own service UIDs either.
        if a.gid != a.uid && a.services.contains(&a.gid) {
            return false;
        }
        for b in &shares[nth + 1..] {
            let theirs = numbers(b);
            let shared = numbers(a).iter().any(|uid| theirs.contains(uid))
                || theirs.contains(&a.gid)
                || numbers(a).contains(&b.gid)
                || a.gid == b.gid;
            if shared
                || !apart(a.ports, b.ports)
                || !apart(a.addresses, b.addresses)
                || nested(&a.directory, &b.directory)
                || nested(&a.domain, &b.domain)
                || a.network == b.network
                || a.name == b.name
            {
                return false;
            }
        }
    }
    true
}

fn subnet_text((address, prefix): (u32, u8)) -> String {
    format!("{}/{prefix}", std::net::Ipv4Addr::from(address))
}

impl Own {
    fn write(&self, uid: u32, text: &mut String) {
        writeln!(text, "[[tenant]]\nuid = {uid}").unwrap();
        if let Some(gid) = self.gid {
            writeln!(text, "gid = {gid}").unwrap();
        }
        for (key, value) in [
            ("base_dir", &self.base_dir),
            ("domain", &self.domain),
            ("name", &self.name),
            ("network.name", &self.network_name),
        ] {
            if let Some(value) = value {
                writeln!(text, "{key} = \"{value}\"").unwrap();
            }
        }
        if let Some(subnet) = self.subnet {
            writeln!(text, "network.subnet = \"{}\"", subnet_text(subnet)).unwrap();
        }
        if let Some(first) = self.first_port {
            writeln!(text, "ports.first = {first}").unwrap();
        }
        if let Some(count) = self.port_count {
            writeln!(text, "ports.count = {count}").unwrap();
        }
        if let Some((offset, count)) = self.service {
            writeln!(
                text,
                "service_uids = {{ offset = {offset}, count = {count} }}"
            )
            .unwrap();
        }
    }
}

// --- generators --------------------------------------------------------------------------------

/// Ranges of legal UIDs, most of them apart, some at the ends of the number line.
fn ranges() -> impl Strategy<Value = Vec<(u32, u32)>> {
    let start = prop_oneof![
        8 => 1000_u32..1300,
        4 => 2000_u32..60_000,
        1 => 65_490_u32..65_560,
        1 => 1_000_000_u32..2_000_000_000,
        2 => 4_294_967_200_u32..=4_294_967_294,
    ];
    let range = (start, 0_u32..25).prop_map(|(first, more)| {
        let last = first.saturating_add(more).min(4_294_967_294);
        // Reserved UIDs are another test's subject.
        match (first, last) {
            (first, last) if first < 65_534 && last >= 65_534 => (first, 65_533),
            (65_534 | 65_535, last) => (65_536, last.max(65_536)),
            range => range,
        }
    });
    prop::collection::vec(range, 0..4)
}

fn service() -> impl Strategy<Value = (u32, u32)> {
    let offset = prop_oneof![
        6 => Just(1000_u32),
        3 => 1_u32..200,
        2 => 3000_u32..70_000,
        1 => 4_000_000_000_u32..=4_294_967_294,
    ];
    (offset, prop_oneof![4 => Just(1_u32), 1 => 2_u32..=16])
}

/// A pool, a prefix that fits into it, and a subnet at random in or near the pool.
fn pool() -> impl Strategy<Value = ((u32, u8), u8)> {
    let wide = (Just((0x0A80_0000_u32, 10_u8)), 24_u8..=30);
    let tiny = (0_u32..4).prop_flat_map(|nth| {
        let pool = (0xC0A8_0000 + nth * 0x40, 26_u8);
        (Just(pool), 26_u8..=30)
    });
    prop_oneof![5 => wide, 1 => tiny]
}

fn own(templates: [&'static str; 3]) -> impl Strategy<Value = Own> {
    let uid = prop_oneof![1000_u32..1330, Just(4_294_967_294_u32)];
    let [dir, domain, net] = templates;
    let fill = move |template: &'static str| {
        uid.clone()
            .prop_map(move |u| template.replace("{uid}", &u.to_string()))
    };
    let fixed =
        |texts: [&'static str; 4]| prop::sample::select(texts.to_vec()).prop_map(str::to_owned);
    let base_dir = prop_oneof![fill(dir), fixed(["/srv/a", "/srv/a/b", "/mnt", "/srv/c"])];
    let domain = prop_oneof![
        fill(domain),
        fixed(["a.example", "b.a.example", "c.test", "test"])
    ];
    let net = prop_oneof![fill(net), fixed(["own-a", "own-b", "own-c", "own-d"])];
    let name = prop_oneof![fill("tenant-{uid}"), fixed(["a", "b", "c", "d"])];
    let subnet = prop_oneof![
        (0_u32..0x4000, 20_u8..=30)
            .prop_map(|(nth, p)| ((0x0AB0_0000 + nth * 0x40) >> (32 - p) << (32 - p), p)),
        (0_u32..16, 28_u8..=30).prop_map(|(nth, p)| ((0xC0A8_0000 + nth * 16), p)),
    ];
    let rarely = 0.25;
    (
        prop::option::weighted(0.1, 1000_u32..3000),
        prop::option::weighted(rarely, base_dir),
        prop::option::weighted(rarely, domain),
        prop::option::weighted(rarely, name),
        prop::option::weighted(rarely, net),
        prop::option::weighted(0.4, subnet),
        prop::option::weighted(0.5, 1024_u16..=65_535),
        prop::option::weighted(0.3, 1_u16..120),
        prop::option::weighted(0.2, service()),
    )
        .prop_map(
            |(
                gid,
                base_dir,
                domain,
                name,
                network_name,
                subnet,
                first_port,
                port_count,
                service,
            )| Own {
                gid,
                base_dir,
                domain,
                name,
                network_name,
                subnet,
                first_port,
                port_count,
                service,
            },
        )
}

fn model() -> impl Strategy<Value = Model> {
    let base_dir = prop::sample::select(vec![
        "/mnt/data-{uid}",
        "/mnt/{uid}/x",
        "/srv/{uid}x/y/z",
        "/srv/one",
    ]);
    let domain = prop::sample::select(vec![
        "t{uid}.test",
        "x.t-{uid}.example",
        "{uid}.a.example",
        "one.test",
    ]);
    let name = prop::sample::select(vec!["ai-{uid}", "net{uid}x", "ai-{uid}-7", "one"]);
    let first_port = prop_oneof![4 => 1024_u16..40_000, 1 => 60_000_u16..=65_535];
    let per_tenant = prop_oneof![4 => 1_u16..200, 1 => 1_u16..5000];
    (
        ranges(),
        base_dir,
        domain,
        name,
        pool(),
        first_port,
        per_tenant,
        service(),
    )
        .prop_flat_map(
            |(ranges, base_dir, domain, name, (pool, prefix), first, per, service)| {
                let inside = ranges.first().map_or(1000, |r| r.0);
                let uid = prop_oneof![
                    4 => (0_u32..25).prop_map(move |n| inside.saturating_add(n).min(4_294_967_294)),
                    1 => 1000_u32..1330,
                ]
                .prop_filter("reserved", |uid| is_free(u64::from(*uid)));
                let named = prop::collection::btree_map(uid, own([base_dir, domain, name]), 0..4);
                named.prop_map(move |named| Model {
                    ranges: ranges.clone(),
                    base_dir,
                    domain,
                    name,
                    pool,
                    prefix,
                    ports: (first, per),
                    service,
                    named,
                })
            },
        )
}

// --- properties --------------------------------------------------------------------------------

/// The grants as they are handed out, compared through the public types only.
fn assert_grants(policy: &Policy, model: &Model) {
    let shares = model.shares().unwrap();
    let listed: Vec<u64> = policy
        .tenants()
        .iter()
        .flat_map(|range| range.clone().map(u64::from))
        .collect();
    let expected: Vec<u64> = shares.iter().map(|share| share.uid).collect();
    assert_eq!(listed, expected);
    let grants: Vec<Grant> = shares
        .iter()
        .map(|share| policy.grant(u32::try_from(share.uid).unwrap()).unwrap())
        .collect();
    for (grant, share) in grants.iter().zip(&shares) {
        assert_grant(grant, share);
    }
    let mut once = BTreeSet::new();
    for grant in &grants {
        for own in [
            format!("directory {}", grant.base_dir),
            format!("network {}", grant.network.name),
            format!("subnet {}", grant.network.subnet),
            format!("bridge {}", grant.network.bridge),
            format!("profile {}", grant.platform_profile),
            format!("profile {}", grant.openclaw_profile),
            format!("containers {}", grant.container_prefix),
            format!("domain {}", grant.domain),
            format!("name {}", grant.name),
            format!("gid {}", grant.gid),
        ] {
            assert!(once.insert(own.clone()), "{own} is given twice");
        }
        for uid in grant.service_uids.iter().chain([&grant.uid]) {
            assert!(
                once.insert(format!("uid {uid}")),
                "UID {uid} is given twice"
            );
        }
        for port in grant.ports.first..=grant.ports.last() {
            assert!(
                once.insert(format!("port {port}")),
                "port {port} is given twice"
            );
        }
    }
}

fn assert_grant(grant: &Grant, share: &Share) {
    assert_eq!(u64::from(grant.uid), share.uid);
    assert_eq!(u64::from(grant.gid), share.gid);
    let services: Vec<u64> = grant.service_uids.iter().copied().map(u64::from).collect();
    assert_eq!(services, share.services);
    let (first, last) = (grant.ports.first, grant.ports.last());
    assert_eq!((u64::from(first), u64::from(last)), share.ports);
    assert!(first >= 1024);
    let address = u64::from(u32::from(grant.network.subnet.address));
    assert_eq!(address, share.addresses.0);
    assert_eq!(
        1_u64 << (32 - grant.network.subnet.prefix),
        share.addresses.1 - share.addresses.0 + 1
    );
    assert_eq!(u64::from(u32::from(grant.network.gateway)), address + 1);
    assert_eq!(grant.base_dir, share.directory.join("/"));
    assert_eq!(grant.network.name, share.network);
    assert_eq!(grant.name, share.name);
    assert!(grant.network.bridge.len() <= 15);
    assert!(grant.owns_uid(grant.uid) && grant.gid_of(grant.uid) == Some(grant.gid));
}

#[test]
fn the_parser_accepts_exactly_what_shares_nothing() {
    const CASES: u32 = 6000;
    let mut runner = TestRunner::new(Config::default());
    let (mut accepted, mut refused, mut with_named) = (0, 0, 0);
    for _ in 0..CASES {
        let model = model().new_tree(&mut runner).unwrap().current();
        let text = model.text();
        match Policy::parse(&text) {
            Ok(policy) => {
                assert!(
                    model.is_legal(),
                    "accepted, but somebody shares something:\n{text}"
                );
                assert_grants(&policy, &model);
                accepted += 1;
                with_named += u32::from(!model.named.is_empty());
            }
            Err(errors) => {
                assert!(
                    !model.is_legal(),
                    "refused, but nothing is shared: {errors:?}\n{text}"
                );
                let sorted = errors.0.is_sorted_by_key(|e| (e.line, e.column));
                assert!(sorted && !errors.0.is_empty());
                refused += 1;
            }
        }
    }
    println!("{accepted} accepted ({with_named} with named tenants), {refused} refused");
    assert!(
        accepted > CASES / 20,
        "only {accepted} of {CASES} were accepted"
    );
    assert!(
        refused > CASES / 20,
        "only {refused} of {CASES} were refused"
    );
    assert!(
        with_named > CASES / 100,
        "only {with_named} with named tenants were accepted"
    );
}
