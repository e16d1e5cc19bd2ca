//! Names, the baseline, the base profile, and what rendering promises.

use super::super::{Names, file_name, is_loaded, render_base, template};
use super::*;

#[test]
fn names_and_labels() {
    let names = names();
    assert_eq!(names.name(Kind::Platform), "ai-platform-1001");
    assert_eq!(names.name(Kind::Openclaw), "ai-platform-openclaw-2001");
    assert_eq!(names.base(), "ai-base-1001");
    assert_eq!(
        names.label(Kind::Platform),
        "ai-base-1001//&ai-platform-1001"
    );
    assert_eq!(
        names.label(Kind::Openclaw),
        "ai-base-1001//&ai-platform-openclaw-2001"
    );
    assert_eq!(
        file_name(Kind::Openclaw, &names),
        "ai-platform-openclaw-2001"
    );
}

#[test]
fn a_grant_gives_the_same_names() {
    let policy = crate::Policy::parse("version = 1\n[tenants]\nuids = ['1001-1002']\n")
        .unwrap_or_else(|errors| panic!("{errors:?}"));
    let grant = policy
        .grant(1001)
        .unwrap_or_else(|| panic!("1001 is a tenant"));
    let service_uid = grant.service_uids[0];
    assert_eq!(
        Names::of(&grant),
        Names::new(1001, service_uid, &grant.base_dir)
    );
}

#[test]
fn only_a_whole_line_is_a_loaded_profile() {
    let text = "docker-default (enforce)\nai-platform-1001 (enforce) (complain)\nai-platform-10 (enforce)\nai-platform-1002 (complain)\n";
    assert!(is_loaded(text, "ai-platform-10"));
    for name in ["ai-platform-1", "ai-platform-1001", "ai-platform-1002", ""] {
        assert!(!is_loaded(text, name), "{name}");
    }
}

#[test]
fn the_templates_are_accepted_and_keep_every_rule() {
    for kind in Kind::ALL {
        let text = template(kind, &names());
        let vetted = vet(text.as_bytes(), kind, &names()).unwrap_or_else(|why| panic!("{why}"));
        let written = text.lines().filter(|line| line.ends_with(',')).count();
        assert_eq!(tenant_part(&vetted.render(Abi::V4)).len(), written);
    }
}

#[test]
fn the_platform_profile() {
    let vetted = vet_body(Kind::Platform, "file,").unwrap_or_else(|why| panic!("{why}"));
    insta::assert_snapshot!(vetted.render(Abi::V4));
}

#[test]
fn the_openclaw_profile() {
    let vetted = vet_body(Kind::Openclaw, "/** r,").unwrap_or_else(|why| panic!("{why}"));
    insta::assert_snapshot!(vetted.render(Abi::V3));
}

#[test]
fn the_base_profile() {
    insta::assert_snapshot!(render_base(&names(), Abi::V4));
}

#[test]
fn the_older_abi_differs_by_its_line_and_the_message_queues() {
    let vetted = vet_body(Kind::Platform, "file,").unwrap_or_else(|why| panic!("{why}"));
    let old = vetted.render(Abi::V4).replace("<abi/4.0>", "<abi/3.0>");
    assert_eq!(old.replace("  mqueue,\n", ""), vetted.render(Abi::V3));
}

#[test]
fn other_tenants_directories() {
    let rule = |uid, base_dir| {
        let text = render_base(&Names::new(uid, 2001, base_dir), Abi::V4);
        let mut rules = text.lines().filter(|line| line.contains("?*}{,/**}"));
        let rule = rules.next().map(|rule| rule.trim().to_owned());
        assert_eq!(rules.next(), None);
        rule
    };
    let dashed =
        "deny /mnt/data-tenant-{,1,10,100,[^1/]*,1[^0/]*,10[^0/]*,100[^1/]*,1001?*}{,/**} rwklmx,";
    assert_eq!(rule(1001, "/mnt/data-tenant-1001").as_deref(), Some(dashed));
    let bare = "deny /srv/ai/{7,[012345689]*,7[^3/]*,73?*}{,/**} rwklmx,";
    assert_eq!(rule(73, "/srv/ai/73").as_deref(), Some(bare));
    for (uid, base_dir) in [
        (1001, "/mnt/acme"),
        (1001, "/mnt/data-tenant-11001"),
        (1001, "/mnt/1001/data"),
        (1001, "/mnt/{a,b}-1001"),
        (1001, "/mnt/a b-1001"),
        (1001, "mnt/data-tenant-1001"),
    ] {
        assert_eq!(rule(uid, base_dir), None, "{base_dir}");
    }
}

/// The pattern against every name that could be taken for one of a tenant.
#[test]
fn other_tenants_are_all_directories_but_ones_own() {
    for uid in [1, 7, 10, 73, 100, 1001, 1111, 65_534, 4_294_967_295] {
        for (base, is_bare) in [("/mnt/data-tenant-", false), ("/srv/ai/", true)] {
            let own = uid.to_string();
            let text = render_base(&Names::new(uid, 1, &format!("{base}{uid}")), Abi::V4);
            let start = format!("  deny {base}{{");
            let rule = text.lines().find_map(|line| line.strip_prefix(&start));
            let others = rule.and_then(|rule| rule.strip_suffix("}{,/**} rwklmx,"));
            let others: Vec<&str> = others.unwrap_or_default().split(',').collect();
            let denied = |name: &str| others.iter().any(|other| matches(other, name));
            let numbers = (0..12_000_u64).chain([65_533, 65_535, 4_294_967_294, 42_949_672_950]);
            for number in numbers.map(|number| number.to_string()) {
                assert_eq!(
                    denied(&number),
                    number != own,
                    "{number} for {own} in {base}"
                );
            }
            for suffix in ["x", "-old", "0", ".bak"] {
                assert!(denied(&format!("{own}{suffix}")), "{own}{suffix} in {base}");
            }
            assert!(denied(&format!("0{own}")), "0{own} in {base}");
            assert_eq!(denied("acme"), !is_bare, "acme in {base}");
        }
    }
}

/// Whether a name within one component matches a pattern of characters, classes, `?` and `*`.
fn matches(pattern: &str, name: &str) -> bool {
    let Some(first) = pattern.chars().next() else {
        return name.is_empty();
    };
    let (rest, inside) = match pattern.strip_prefix('[').and_then(|p| p.split_once(']')) {
        Some((inside, rest)) => (rest, inside),
        None => (&pattern[1..], ""),
    };
    if first == '*' {
        return (0..=name.len()).any(|at| matches(rest, &name[at..]));
    }
    let Some(letter) = name.chars().next() else {
        return false;
    };
    let first_matches = match (first, inside.strip_prefix('^')) {
        ('[', Some(excluded)) => !excluded.contains(letter),
        ('[', None) => inside.contains(letter),
        ('?', _) => true,
        _ => first == letter,
    };
    first_matches && matches(rest, &name[1..])
}
