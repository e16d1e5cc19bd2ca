//! Files of values that are each legal.

use proptest::prelude::*;

use crate::model::{Model, Own, is_free};

/// Ranges of legal UIDs, most of them apart, some at the ends of the number line.
pub(crate) fn ranges() -> impl Strategy<Value = Vec<(u32, u32)>> {
    let start = prop_oneof![
        8 => 1000_u32..1300,
        4 => 2000_u32..60_000,
        1 => 65_490_u32..65_560,
        1 => 1_000_000_u32..2_000_000_000,
        2 => 2_147_483_550_u32..=2_147_483_647,
    ];
    let range = (start, 0_u32..25).prop_map(|(first, more)| {
        let last = first.saturating_add(more).min(2_147_483_647);
        // Reserved UIDs are another test's subject.
        match (first, last) {
            (first, last) if first < 65_534 && last >= 65_534 => (first, 65_533),
            (65_534 | 65_535, last) => (65_536, last.max(65_536)),
            range => range,
        }
    });
    prop::collection::vec(range, 0..4)
}

pub(crate) fn service() -> impl Strategy<Value = (u32, u32)> {
    let offset = prop_oneof![
        6 => Just(1000_u32),
        3 => 1_u32..200,
        2 => 3000_u32..70_000,
        1 => 2_000_000_000_u32..=2_147_483_647,
    ];
    (offset, prop_oneof![4 => Just(1_u32), 1 => 2_u32..=16])
}

/// A pool, a prefix that fits into it, and a subnet at random in or near the pool.
pub(crate) fn pool() -> impl Strategy<Value = ((u32, u8), u8)> {
    let wide = (Just((0x0A80_0000_u32, 10_u8)), 24_u8..=30);
    let tiny = (0_u32..4).prop_flat_map(|nth| {
        let pool = (0xC0A8_0000 + nth * 0x40, 26_u8);
        (Just(pool), 26_u8..=30)
    });
    prop_oneof![5 => wide, 1 => tiny]
}

pub(crate) fn own(templates: [&'static str; 3]) -> impl Strategy<Value = Own> {
    let uid = prop_oneof![1000_u32..1330, Just(2_147_483_647_u32)];
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

pub(crate) fn model() -> impl Strategy<Value = Model> {
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
                    4 => (0_u32..25).prop_map(move |n| inside.saturating_add(n).min(2_147_483_647)),
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
