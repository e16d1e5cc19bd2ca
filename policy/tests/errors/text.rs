//! A file that is not TOML, or has no known shape.

use aistack_policy::MAX_TEXT_BYTES;

use crate::fixtures::errors;

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
            "2:1: größe: unknown key; known here: version, ingress, guard, tenants, tenant",
            "3:13: tenants.ü: unknown key; known here: uids, base_dir, domain, network, ports, \
             service_uids, volume, egress, guard, apparmor, capabilities, images, local_images, limits, writable_layer",
            "3:31: tenants.domain: \"ö\" is not a domain: each label is 1 to 63 of a-z, 0-9 and \
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
            "4:1: surprise: unknown key; known here: version, ingress, guard, tenants, tenant",
        ]
    );
    assert_eq!(
        errors("version = 1\ntenant = [{ uid = 2000 }, 5]"),
        ["2:27: tenant: expected a table, found integer"]
    );
}
