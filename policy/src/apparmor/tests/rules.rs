//! How each rule is written again, and where the line of a refusal is.

use super::super::refusal::Code;
use super::*;

/// What a tenant writes, and the lines of the profile that it becomes.
const WRITTEN: [(&str, &[&str]); 20] = [
    ("file,", &["file,"]),
    ("/a r ,", &["/a r,"]),
    ("\t/a \t r,\t# why", &["/a r,"]),
    ("rw /a,", &["/a rw,"]),
    ("file /a r,", &["/a r,"]),
    ("owner file wr /a,", &["owner /a rw,"]),
    ("/a mixlkwr,", &["/a rwklmix,"]),
    ("/a ka,", &["/a ak,"]),
    ("deny xmlkwr /a,", &["deny /a rwklmx,"]),
    ("deny owner /a w,", &["deny owner /a w,"]),
    ("capability  kill ,", &["capability kill,"]),
    ("deny capability bpf,", &["deny capability bpf,"]),
    (
        "network inet,",
        &["network inet stream,", "network inet dgram,"],
    ),
    ("network unix,", &["network unix,"]),
    ("network\tunix\tseqpacket,", &["network unix seqpacket,"]),
    (
        "deny network netlink,",
        &["deny network netlink raw,", "deny network netlink dgram,"],
    ),
    (
        "network,",
        &[
            "network inet stream,",
            "network inet dgram,",
            "network inet6 stream,",
            "network inet6 dgram,",
            "network unix,",
            "network netlink raw,",
            "network netlink dgram,",
        ],
    ),
    ("# nothing", &[]),
    ("", &[]),
    (
        "/{,usr/}b[^/x]?/*.so/** r,",
        &["/{,usr/}b[^/x]?/*.so/** r,"],
    ),
];

#[test]
fn rules_are_written_in_one_form() {
    for (line, expected) in WRITTEN {
        let vetted = vet_body(Kind::Platform, line).unwrap_or_else(|why| panic!("{line}: {why}"));
        assert_eq!(tenant_part(&vetted.render(Abi::V4)), expected, "{line}");
    }
}

/// What stands in for abstractions/base is within the language of both profiles.
#[test]
fn the_base_include_becomes_rules_that_anybody_may_write() {
    for kind in Kind::ALL {
        let include = vet_body(kind, "#include <abstractions/base>");
        let written = include
            .unwrap_or_else(|why| panic!("{why}"))
            .render(Abi::V4);
        let rules = tenant_part(&written);
        assert_eq!(rules.len(), 9);
        let spelled_out = vet_body(kind, &rules.join("\n")).map(|vetted| vetted.render(Abi::V4));
        assert_eq!(spelled_out, Ok(written));
    }
}

/// The first error counts, with the line on which it stands.
#[test]
fn the_line_of_a_refusal() {
    let cases: [(&str, Code, u32); 9] = [
        ("/a r,\n\n# x\nmount,", Code::Rule, 5),
        ("/a z,\nmount,", Code::Perm, 2),
        ("file,\n}\nmount,", Code::Multi, 4),
        ("file,\n}\n\n}", Code::Multi, 5),
        ("\n\n/a \u{e9},", Code::Byte, 4),
        ("# \u{e9}\n/a\u{e9} r,", Code::Byte, 3),
        ("/**/x r,", Code::Glob, 2),
        ("profile x {", Code::Block, 2),
        ("} else {", Code::Multi, 2),
    ];
    for (body, code, line) in cases {
        let refusal = vet_body(Kind::Platform, body).unwrap_err();
        assert_eq!((refusal.code, refusal.line), (code, line), "{body}");
    }
}

#[test]
fn a_refusal_reads_as_one_line() {
    let refusal = vet_body(Kind::Platform, "/a z,").unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "E_PERM at line 2: file permissions are made of r, w, a, k, l, m and ix"
    );
}
