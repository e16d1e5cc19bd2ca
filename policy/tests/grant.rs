//! What a policy gives, part by part and rule by rule.

use aistack_policy::{
    AppArmorMode, DiskMatch, Format, Policy, PolicyErrors, VolumeKind, WritableLayer,
};

const EXAMPLE: &str = include_str!("../../packaging/policy.example.toml");

fn line_of(needle: &str) -> Option<usize> {
    EXAMPLE
        .lines()
        .position(|line| line.starts_with(needle))
        .map(|n| n + 1)
}

#[test]
fn the_example_is_accepted_without_a_warning() {
    let policy = Policy::parse(EXAMPLE).unwrap();
    assert_eq!(policy.warnings(), []);
    assert_eq!(policy.tenants(), [1001..=1250, 3000..=3000]);
}

#[test]
fn a_uid_of_the_range_follows_the_formulas() {
    let grant = Policy::parse(EXAMPLE).unwrap().grant(1003).unwrap();
    assert_eq!((grant.uid, grant.gid), (1003, 1003));
    assert_eq!(grant.name, "tenant-1003");
    assert_eq!(grant.base_dir, "/mnt/data-tenant-1003");
    assert_eq!(grant.domain, "tenant-1003.example.com");
    assert_eq!(grant.network.name, "ai-platform-1003");
    assert_eq!(grant.network.subnet.to_string(), "10.128.0.128/26");
    assert_eq!(grant.network.gateway.to_string(), "10.128.0.129");
    assert_eq!(grant.network.bridge, "ai-1003");
    assert_eq!((grant.ports.first, grant.ports.last()), (5300, 5399));
    assert_eq!(grant.service_uids, [2003]);
    assert_eq!(grant.platform_profile, "ai-platform-1003");
    assert_eq!(grant.openclaw_profile, "ai-platform-openclaw-2003");
    assert_eq!(grant.volume.kind, VolumeKind::Loop { size: 20 << 30 });
    assert_eq!(grant.volume.fs, "ext4");
    assert_eq!(grant.volume.format, Format::IfBlank);
    assert_eq!(grant.apparmor, AppArmorMode::IfAvailable);
    assert!(grant.capabilities.contains("NET_BIND_SERVICE"));
    assert!(
        grant
            .images
            .iter()
            .any(|i| i.matches("docker.io/library/redis"))
    );
    assert_eq!(grant.limits.memory, 16 << 30);
    assert_eq!(grant.limits.cpu_millis, 8000);
    assert_eq!(grant.container_prefix, "tenant-1003-");
    assert_eq!(grant.rules.uid.key, "tenants.uids");
    for (part, rule) in grant.rules.iter() {
        let key = match part {
            "uid" | "gid" | "name" => "uids",
            part => part,
        };
        assert_eq!(rule.key, format!("tenants.{key}"), "{part}");
        assert_eq!(rule.line, line_of(key), "{part}");
    }
}

#[test]
fn the_first_uid_has_the_first_ports_and_openclaw_is_a_thousand_above() {
    let policy = Policy::parse(EXAMPLE).unwrap();
    let first = policy.grant(1001).unwrap();
    let second = policy.grant(1002).unwrap();
    assert_eq!((first.ports.first, first.ports.last()), (5100, 5199));
    assert_eq!((second.ports.first, second.ports.last()), (5200, 5299));
    assert_eq!(first.service_uids, [2001]);
}

#[test]
fn a_named_tenant_overrides_only_what_it_says() {
    let policy = Policy::parse(EXAMPLE).unwrap();
    let acme = policy.grant(1001).unwrap();
    assert_eq!(acme.name, "acme");
    assert_eq!(acme.domain, "ai.acme.example");
    assert_eq!(acme.limits.memory, 32 << 30);
    assert_eq!(acme.limits.cpu_millis, 16000);
    assert_eq!(acme.limits.pids, 8192, "kept from [tenants]");
    assert_eq!(acme.rules.limits.key, "tenant[1001].limits");
    assert_eq!(acme.rules.name.key, "tenant[1001].name");
    assert_eq!(acme.rules.ports.key, "tenants.ports");

    let ebs = policy.grant(1002).unwrap();
    let id = Some("vol-0123456789abcdef0".to_owned());
    assert_eq!(ebs.volume.kind, VolumeKind::Ebs { id });
    assert_eq!(ebs.rules.volume.key, "tenant[1002].volume");
    assert_eq!(ebs.rules.volume.line, line_of("volume = { kind = \"ebs\""));

    let guest = policy.grant(3000).unwrap();
    assert_eq!((guest.ports.first, guest.ports.last()), (31000, 31049));
    assert_eq!(guest.network.subnet.to_string(), "10.191.255.192/26");
    assert_eq!(guest.base_dir, "/mnt/data-tenant-3000");
    assert_eq!(guest.rules.uid.key, "tenant[3000].uid");
}

#[test]
fn layers_and_local_images_are_everybodys_or_ones_own() {
    let text = "version = 1\n[tenants]\nuids = [\"1001-1003\"]\nimages = [\"docker.io/library/*\"]\n\
        local_images = [\"docker.io/library/redis\"]\n\
        [[tenant]]\nuid = 1002\nwritable_layer = \"never\"\nlocal_images = []\n\
        [[tenant]]\nuid = 1003\nwritable_layer = \"64M\"\n";
    let policy = Policy::parse(text).unwrap();
    let [one, two, three] = [1001, 1002, 1003].map(|uid| policy.grant(uid).unwrap());
    assert_eq!(one.writable_layer, WritableLayer::AtMost(2 << 30));
    assert_eq!(one.rules.writable_layer.line, None);
    assert_eq!(two.writable_layer, WritableLayer::Never);
    assert_eq!(two.rules.writable_layer.key, "tenant[1002].writable_layer");
    assert_eq!(three.writable_layer, WritableLayer::AtMost(64 << 20));
    assert!(one.local_images[0].matches("docker.io/library/redis"));
    assert!(two.local_images.is_empty());
    assert_eq!(three.rules.local_images.key, "tenants.local_images");
}

#[test]
fn who_is_not_named_is_no_tenant() {
    let policy = Policy::parse(EXAMPLE).unwrap();
    for uid in [
        0,
        1,
        999,
        1000,
        1251,
        2001,
        2999,
        3001,
        65_534,
        u32::MAX - 1,
        u32::MAX,
    ] {
        assert_eq!(policy.grant(uid), None, "{uid}");
    }
}

#[test]
fn without_tenants_nobody_is_allowed() {
    for text in ["version = 1", "version = 1\n[tenants]\nuids = []\n"] {
        let policy = Policy::parse(text).unwrap();
        assert!(policy.tenants().is_empty());
        assert!(policy.warnings().is_empty());
        for uid in [0, 1000, 1001, u32::MAX] {
            assert_eq!(policy.grant(uid), None);
        }
    }
}

#[test]
fn what_the_file_leaves_out_has_a_default_without_a_line() {
    let policy = Policy::parse("version = 1\ntenants.uids = [\"1001\"]").unwrap();
    let grant = policy.grant(1001).unwrap();
    assert_eq!(grant.base_dir, "/mnt/data-tenant-1001");
    assert_eq!(grant.domain, "tenant-1001.internal");
    assert_eq!(grant.network.name, "ai-platform-1001");
    assert_eq!(grant.network.subnet.to_string(), "10.128.0.0/26");
    assert_eq!((grant.ports.first, grant.ports.last()), (5100, 5199));
    assert_eq!(grant.service_uids, [2001]);
    assert_eq!(grant.apparmor, AppArmorMode::Required);
    assert!(grant.capabilities.is_empty() && grant.images.is_empty());
    assert_eq!(grant.rules.ports.key, "tenants.ports");
    assert_eq!(grant.rules.ports.line, None);
    assert_eq!(grant.rules.uid.line, Some(2));
    let warned: Vec<String> = policy.warnings().iter().map(ToString::to_string).collect();
    assert_eq!(
        warned,
        ["2: tenants.images: no image is allowed, so no container can be created"]
    );
}

#[test]
fn ranges_keep_their_numbers_in_the_order_of_the_file() {
    let before = "version = 1\ntenants.uids = [\"5000-5009\"]";
    let after = "version = 1\ntenants.uids = [\"5000-5009\", \"1001-1002\"]";
    let (before, after) = (
        Policy::parse(before).unwrap(),
        Policy::parse(after).unwrap(),
    );
    for uid in 5000..=5009 {
        assert_eq!(before.grant(uid), after.grant(uid));
    }
    assert_eq!(after.grant(1001).unwrap().ports.first, 6100);
    assert_eq!(after.tenants(), [1001..=1002, 5000..=5009]);
}

#[test]
fn several_service_uids_are_multiples_of_the_offset() {
    let text = "version = 1\n[tenants]\nuids = [\"1001-1010\"]\nservice_uids = { offset = 1000, count = 3 }";
    let policy = Policy::parse(text).unwrap();
    let grant = policy.grant(1002).unwrap();
    assert_eq!(grant.service_uids, [2002, 3002, 4002]);
    assert_eq!(grant.openclaw_profile, "ai-platform-openclaw-2002");
}

#[test]
fn an_own_gid_belongs_to_the_tenant_uid_only() {
    let text = "version = 1\ntenants.uids = [\"1001\"]\n[[tenant]]\nuid = 1001\ngid = 1500";
    let grant = Policy::parse(text).unwrap().grant(1001).unwrap();
    assert_eq!(grant.gid_of(1001), Some(1500));
    assert_eq!(grant.gid_of(2001), Some(2001));
    assert_eq!(grant.gid_of(1500), None);
    assert_eq!(grant.rules.gid.key, "tenant[1001].gid");
}

fn messages(errors: &PolicyErrors) -> String {
    let texts: Vec<String> = errors.0.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

#[test]
fn no_uid_is_given_that_docker_refuses() {
    for text in [
        "uids = [\"2147483648\"]",
        "uids = [\"2147483600-2147483648\"]",
        "uids = [\"2147483647\"]\nservice_uids = { offset = 1 }",
        "uids = [\"1001\"]\nservice_uids = { offset = 2147483000 }",
        "uids = [\"1001\"]\n[[tenant]]\nuid = 1001\ngid = 2147483648",
        "uids = [\"1001\"]\n[[tenant]]\nuid = 4294967294",
    ] {
        let errors = Policy::parse(&format!("version = 1\n[tenants]\n{text}")).unwrap_err();
        let errors = messages(&errors);
        assert!(errors.contains("2147483647"), "{text}: {errors}");
    }
}

#[test]
fn a_domain_leaves_room_for_the_longest_host_name() {
    let label = "x".repeat(59);
    // With a UID of ten digits in the place of `{uid}`.
    let of = |last: usize| format!("t-{{uid}}.{label}.{label}.{}", "y".repeat(last));
    let parse = |domain: &str| {
        let text = format!("version = 1\n[tenants]\nuids = [\"1001\"]\ndomain = \"{domain}\"");
        Policy::parse(&text)
            .map(drop)
            .map_err(|errors| messages(&errors))
    };
    let room = 189 - (12 + 1 + 60 + 60);
    assert_eq!(parse(&of(room)), Ok(()));
    let error = parse(&of(room + 1)).unwrap_err();
    assert!(error.contains("190 characters, at most 189"), "{error}");
    assert!(
        parse(&of(64)).unwrap_err().contains("at most"),
        "a long label"
    );
    assert!(
        parse(&format!("{}.example", "z".repeat(64)))
            .unwrap_err()
            .contains("1 to 63")
    );
}

#[test]
fn the_highest_uid_can_be_a_tenant() {
    let text = "version = 1\n[tenants]\nuids = [\"2147483646\"]\nservice_uids = { offset = 1 }";
    let grant = Policy::parse(text).unwrap().grant(2_147_483_646).unwrap();
    assert_eq!(grant.service_uids, [2_147_483_647]);
    assert_eq!(grant.network.bridge, "ai-2147483646");
}

#[test]
fn a_volume_on_a_disk_says_which_and_is_never_formatted_with_a_uuid() {
    let text = "version = 1
[tenants]
uids = ['1001-1003']
volume = { kind = 'disk', fs = 'xfs', size_min = '8G', grow = true }
[[tenant]]
uid = 1001
volume = { match = 'by-id:scsi-0DO_Volume_a', uuid = '01234567-89ab-cdef-0123-456789abcdef' }
[[tenant]]
uid = 1002
volume = { kind = 'ebs', id = 'vol-12345678' }
";
    let policy = Policy::parse(text).unwrap();
    let volume = |uid| policy.grant(uid).unwrap().volume;
    let by_link = volume(1001);
    assert_eq!(
        by_link.disk(),
        DiskMatch::parse("by-id:scsi-0DO_Volume_a").ok()
    );
    assert_eq!(by_link.format, Format::Never);
    assert_eq!(
        by_link.uuid.as_deref(),
        Some("01234567-89ab-cdef-0123-456789abcdef")
    );
    assert_eq!((by_link.size_min, by_link.grow), (8 << 30, true));
    let ebs = volume(1002);
    assert_eq!(ebs.disk(), DiskMatch::parse("ebs:vol-12345678").ok());
    assert_eq!((ebs.format, ebs.fs.as_str()), (Format::IfBlank, "xfs"));
    assert_eq!(volume(1003).kind, VolumeKind::Disk { which: None });
    assert_eq!(volume(1003).disk(), None);
}
