//! What `validate` asks.

use std::collections::{BTreeMap, BTreeSet};

use super::super::Catalog;
use super::super::entry::{CheckEntry, Entry, StepEntry};
use super::super::template::{Name, Template};
use super::Error;
use super::names::quoted;

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

pub(super) fn check(catalog: &Catalog, entry: &Entry, found: &mut Vec<Error>) {
    for check_entry in &entry.checks {
        match check_entry {
            CheckEntry::Http {
                title, port, steps, ..
            } => {
                reached(catalog, entry, title, port.as_deref(), found);
                if steps.is_empty() {
                    let message = format!("the check {title:?} has no [[check.step]]");
                    found.push((quoted(title), message));
                }
                all_steps(steps, found);
            }
            CheckEntry::Exec { title, command, .. } if command.is_empty() => {
                let message = format!("the check {title:?} has an empty command");
                found.push((quoted(title), message));
            }
            CheckEntry::Exec { .. } => {}
        }
    }
}

/// Its own port, that of the service whose network it is in, or its site.
fn reached(
    catalog: &Catalog,
    entry: &Entry,
    title: &str,
    port: Option<&str>,
    found: &mut Vec<Error>,
) {
    let Some(key) = port else {
        if entry.site.is_none() {
            let message = format!("the check {title:?} has no `port`, and there is no [site]");
            found.push((quoted(title), message));
        }
        return;
    };
    if catalog.published(entry).all(|own| own.key != *key) {
        let message = format!("{key:?} is not a port of this service");
        found.push((quoted(key), message));
    }
}

fn all_steps(steps: &[StepEntry], found: &mut Vec<Error>) {
    let mut captured: BTreeSet<&str> = BTreeSet::new();
    for step in steps {
        if let Some(method) = &step.method
            && !METHODS.contains(&method.as_str())
        {
            let known = METHODS.join(", ");
            let message = format!("{method:?} is not a method; they are {known}");
            found.push((quoted(method), message));
        }
        for name in step.headers.keys().filter(|name| !is_header(name)) {
            let message = format!("{name:?} is not a name of a header");
            found.push((quoted(name), message));
        }
        let out_of_range = |status: &&u16| !(100..=599).contains(*status);
        if let Some(status) = step.expect.iter().find(out_of_range) {
            let message = format!("{status} is not an HTTP status");
            found.push((status.to_string(), message));
        }
        let path = step.path.render(|_| Ok::<_, ()>("x".to_owned()));
        let path = path.unwrap_or_default();
        if !path.starts_with('/') || path.contains(char::is_whitespace) {
            let message = format!("{path:?} is not a path; it begins with / and has no blank");
            found.push((quoted(&path), message));
        }
        for (name, template) in texts(step) {
            for used in template.names() {
                if let Name::Step(step) = used
                    && !captured.contains(step.as_str())
                {
                    let message = format!("`${{{used}}}` in {name}: no step before it captures it");
                    found.push((format!("{used}}}"), message));
                }
            }
        }
        captures(&step.capture, found);
        captured.extend(step.capture.keys().map(String::as_str));
    }
}

fn texts(step: &StepEntry) -> impl Iterator<Item = (&'static str, &Template)> {
    let headers = step.headers.values().map(|value| ("headers", value));
    let body = step.body.iter().map(|body| ("body", body));
    let contains = step.contains.iter().map(|text| ("contains", text));
    let keys = step.s3.iter();
    let keys = keys.flat_map(|keys| [&keys.access_key, &keys.secret_key]);
    [("path", &step.path)]
        .into_iter()
        .chain(headers)
        .chain(body)
        .chain(contains)
        .chain(keys.map(|key| ("s3", key)))
}

fn captures(capture: &BTreeMap<String, String>, found: &mut Vec<Error>) {
    for (name, pointer) in capture {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        if name.is_empty() || !name.bytes().all(plain) {
            let message = format!("{name:?} is not a name that a step can capture");
            found.push((name.clone(), message));
        }
        if !is_pointer(pointer) && !pointer.starts_with("cookie:") {
            let message = format!(
                "{pointer:?} is neither a JSON pointer (RFC 6901) nor cookie:NAME; write e.g. \"/data/0/id\""
            );
            found.push((quoted(pointer), message));
        }
    }
}

/// RFC 6901, section 3: empty, or `/` before each part, and `~` only as `~0` and `~1`.
fn is_pointer(text: &str) -> bool {
    let escaped = text.split('~').skip(1);
    (text.is_empty() || text.starts_with('/'))
        && escaped.into_iter().all(|rest| rest.starts_with(['0', '1']))
}

/// RFC 9110, section 5.6.2.
fn is_header(name: &str) -> bool {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !name.is_empty() && name.bytes().all(token)
}
