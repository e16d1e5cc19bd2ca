//! `[guard]`, `guard` and `egress`.

use super::fixtures::errors;

#[test]
fn the_host_part_is_a_closed_table_of_exact_types() {
    for (line, expected) in [
        (
            "enabled = 1",
            "3:11: guard.enabled: expected true or false, found integer",
        ),
        (
            "enable = true",
            "3:1: guard.enable: unknown key; known here: enabled, allow_uids, metadata_uids, dns",
        ),
        (
            "allow_uids = 115",
            "3:14: guard.allow_uids: expected a list, found integer",
        ),
        (
            "allow_uids = [0]",
            "3:15: guard.allow_uids: 0 is not between 1 and 2147483647",
        ),
        (
            "allow_uids = ['115']",
            "3:15: guard.allow_uids: expected an integer, found string",
        ),
        (
            "metadata_uids = [115, 115]",
            "3:23: guard.metadata_uids: listed twice",
        ),
        (
            "dns = 'router'",
            "3:7: guard.dns: expected \"host\" or a list of addresses, like [\"192.168.7.1\"]",
        ),
        (
            "dns = ['router']",
            "3:8: guard.dns: \"router\" is not an IP address",
        ),
        (
            "dns = ['127.0.0.53']",
            "3:8: guard.dns: 127.0.0.53 is not an address that a container can ask",
        ),
        (
            "dns = ['10.0.0.2', '10.0.0.2']",
            "3:20: guard.dns: listed twice",
        ),
    ] {
        let text = format!("version = 1\n[guard]\n{line}\n");
        assert_eq!(errors(&text), [expected], "{line}");
    }
    let text = "version = 1\nguard = true\n";
    assert_eq!(
        errors(text),
        ["2:9: guard: expected a table, found boolean"]
    );
}

#[test]
fn nobody_whom_the_policy_names_may_connect_to_everybody() {
    for (uid, whose) in [
        (1001, "tenant UID 1001"),
        (1009, "tenant UID 1009"),
        (2002, "service UID 2002 of UID 1002"),
        (3000, "tenant UID 3000"),
        (4000, "service UID 4000 of UID 3000"),
    ] {
        let text = format!(
            "version = 1\n[guard]\nallow_uids = [115, {uid}]\n[tenants]\nuids = ['1001-1009']\n[[tenant]]\n\
             uid = 3000\nports = {{ first = 31000 }}\nnetwork = {{ subnet = '10.191.255.192/26' }}\n"
        );
        let expected = format!(
            "3:20: guard.allow_uids: {whose} may not be allowed to connect to every tenant"
        );
        assert_eq!(errors(&text), [expected], "{uid}");
    }
}

#[test]
fn what_is_switched_off_cannot_be_required() {
    let why = "required, but guard.enabled is false: no container could start";
    let text = "version = 1\n[guard]\nenabled = false\n[tenants]\nuids = ['1001-1002']\nguard = 'required'\n";
    assert_eq!(errors(text), [format!("6:9: tenants.guard: {why}")]);
    let text = "version = 1\n[guard]\nenabled = false\n[tenants]\nuids = ['1001-1002']\n[[tenant]]\n\
        uid = 1002\nguard = 'required'\n";
    assert_eq!(errors(text), [format!("8:9: tenant[1002].guard: {why}")]);
}

#[test]
fn egress_is_a_word_or_networks_that_a_container_could_reach() {
    let malformed = "is not a network; write it like \"192.168.7.0/24\" or \"2001:db8::/32\"";
    let unreachable =
        "it is the host's own, link-local, multicast, a metadata address or not a host address";
    for (value, message) in [
        (
            "'lan'",
            "10: \"lan\" is none of \"internet\", \"none\", \"all\"".to_owned(),
        ),
        ("true", "10: expected a list, found boolean".to_owned()),
        (
            "[]",
            "10: is empty; write \"none\" for no network".to_owned(),
        ),
        ("['10.0.0.0']", format!("11: \"10.0.0.0\" {malformed}")),
        (
            "['10.0.0.0/08']",
            format!("11: \"10.0.0.0/08\" {malformed}"),
        ),
        (
            "['10.0.0.0/33']",
            "11: the prefix /33 is longer than /32".to_owned(),
        ),
        (
            "['10.0.0.1/8']",
            "11: 10.0.0.1 is not the first address of a /8".to_owned(),
        ),
        (
            "['0.0.0.0/0']",
            "11: 0.0.0.0/0 is every address; write egress = \"all\"".to_owned(),
        ),
        (
            "['10.0.0.0/8', '10.1.0.0/16']",
            "25: 10.1.0.0/16 and 10.0.0.0/8 overlap".to_owned(),
        ),
        (
            "['169.254.169.254/32']",
            format!("11: no container may connect to 169.254.169.254/32: {unreachable}"),
        ),
        (
            "['fd00:ec2::254/128']",
            format!("11: no container may connect to fd00:ec2::254/128: {unreachable}"),
        ),
        (
            "['127.0.0.0/8']",
            format!("11: no container may connect to 127.0.0.0/8: {unreachable}"),
        ),
    ] {
        let text = format!("version = 1\n[tenants]\negress = {value}\n");
        let found = errors(&text);
        let (column, message) = message.split_once(": ").unwrap();
        let expected = format!("3:{column}: tenants.egress: {message}");
        assert_eq!(found.first(), Some(&expected), "{value}");
    }
}

#[test]
fn the_mode_is_one_of_two_words() {
    let text = "version = 1\n[tenants]\nguard = 'on'\n";
    assert_eq!(
        errors(text),
        ["3:9: tenants.guard: \"on\" is none of \"required\", \"if-available\""]
    );
}
