//! Tables for each part of the module. What apparmor_parser itself says of the output is in
//! tests/apparmor_parser.rs.

use super::{Abi, Kind, Names, Refusal, Vetted, vet};

mod profile;
mod rules;

fn names() -> Names {
    Names::new(1001, 2001, "/mnt/data-tenant-1001")
}

/// A source with these lines in its body.
fn source(kind: Kind, body: &str) -> String {
    format!("profile {} {{\n{body}\n}}\n", names().name(kind))
}

fn vet_body(kind: Kind, body: &str) -> Result<Vetted, Refusal> {
    vet(source(kind, body).as_bytes(), kind, &names())
}

/// What stands between the header and the mandatory part, without indentation.
fn tenant_part(profile: &str) -> Vec<&str> {
    profile
        .lines()
        .skip_while(|line| !line.starts_with("profile "))
        .skip(1)
        .map(str::trim_start)
        .take_while(|line| *line != "# mandatory baseline")
        .collect()
}
