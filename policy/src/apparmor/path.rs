//! Paths and patterns of file rules.
//!
//! The limits keep the automaton of ordinary profiles small. They do not bound apparmor_parser's time:
//! whoever runs it limits that.

use std::fmt;

use super::refusal::{Code, LineError, reject};

const MAX_BYTES: usize = 256;
const MAX_SLASHES: usize = 24;
const MAX_STARS: usize = 2;
const MAX_ONES: usize = 4;
const MAX_GROUPS: usize = 3;
const MAX_ALTERNATIVES: usize = 24;
const MAX_CLASS_MEMBERS: usize = 8;

/// An absolute path or pattern inside the limits, letter by letter as it was written: there is one
/// way to write each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RulePath(String);

impl RulePath {
    pub(super) fn parse(text: &str) -> Result<Self, LineError> {
        if !text.starts_with('/') {
            return reject(Code::Path, "a path begins with /");
        }
        if text.len() > MAX_BYTES {
            return reject(Code::Path, "the path has more than 256 bytes");
        }
        if text.contains("@{") {
            return reject(Code::Var, super::lines::NO_VARIABLES);
        }
        if text.contains("//") {
            return reject(Code::Path, "the path has an empty component");
        }
        if text.split('/').any(is_dots) {
            return reject(Code::Path, DOTS);
        }
        if text.bytes().filter(|byte| *byte == b'/').count() > MAX_SLASHES {
            return reject(Code::Path, "the path has more than 24 slashes");
        }
        Scan::new(text).run()?;
        Ok(Self(text.to_owned()))
    }

    /// True when the pattern begins with one of these, letter by letter.
    pub(super) fn starts_with_any(&self, prefixes: &[&str]) -> bool {
        prefixes.iter().any(|prefix| self.0.starts_with(prefix))
    }
}

impl fmt::Display for RulePath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// The kernel matches resolved paths, in which these never stand.
fn is_dots(component: &str) -> bool {
    component == "." || component == ".."
}

const DOTS: &str = "a component . or .. is in no path that the kernel matches";

fn is_literal(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_./+:=~-".contains(c)
}

/// One walk over a pattern, element by element.
struct Scan<'t> {
    rest: &'t str,
    /// The character before `rest`.
    before: char,
    /// A `*` stands earlier in this component: two globs in one are what costs.
    after_star: bool,
    stars: usize,
    ones: usize,
    groups: usize,
    alternatives: usize,
}

impl<'t> Scan<'t> {
    fn new(text: &'t str) -> Self {
        Self {
            rest: text,
            before: ' ',
            after_star: false,
            stars: 0,
            ones: 0,
            groups: 0,
            alternatives: 0,
        }
    }

    fn run(mut self) -> Result<(), LineError> {
        while let Some(next) = self.rest.chars().next() {
            if self.after_star && "*?[{".contains(next) {
                return reject(
                    Code::Glob,
                    "after a * only plain characters may follow in the same component",
                );
            }
            match next {
                '*' => self.star()?,
                '?' => self.one(1)?,
                '[' => self.class()?,
                '{' => self.group()?,
                ']' | '}' => {
                    return reject(Code::Glob, "a bracket or brace is closed but not open");
                }
                _ if is_literal(next) => {
                    self.after_star &= next != '/';
                    self.advance(1);
                }
                _ => {
                    return reject(
                        Code::Path,
                        "a path is made of letters, digits, _ . / + : = ~ - and patterns",
                    );
                }
            }
        }
        Ok(())
    }

    /// Over `bytes` ASCII characters.
    fn advance(&mut self, bytes: usize) {
        let (over, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.before = over.chars().next_back().unwrap_or(self.before);
        self.rest = rest;
    }

    fn star(&mut self) -> Result<(), LineError> {
        if self.rest.starts_with("**") {
            if self.rest != "**" || self.before != '/' {
                return reject(Code::Glob, "** may only be the whole last component");
            }
            self.advance(2);
            return Ok(());
        }
        self.count_star()?;
        self.after_star = true;
        self.advance(1);
        Ok(())
    }

    fn count_star(&mut self) -> Result<(), LineError> {
        self.stars += 1;
        if self.stars > MAX_STARS {
            return reject(Code::Glob, "the path has more than two *");
        }
        Ok(())
    }

    /// A pattern of `bytes` bytes for one character.
    fn one(&mut self, bytes: usize) -> Result<(), LineError> {
        self.ones += 1;
        if self.ones > MAX_ONES {
            return reject(Code::Glob, "the path has more than four ? and classes");
        }
        self.advance(bytes);
        Ok(())
    }

    fn class(&mut self) -> Result<(), LineError> {
        let Some(end) = self.rest.find(']') else {
            return reject(Code::Glob, "a class is not closed");
        };
        let inside = self.rest.get(1..end).unwrap_or_default();
        let (negated, members) = match inside.strip_prefix('^') {
            Some(members) => (true, members),
            None => (false, inside),
        };
        check_class(members)?;
        if negated && !members.contains('/') {
            return reject(
                Code::Glob,
                "a negated class must hold / too, or it would match the end of a component",
            );
        }
        self.one(end + 1)
    }

    fn group(&mut self) -> Result<(), LineError> {
        let Some(end) = self.rest.find('}') else {
            return reject(Code::Glob, "a group is not closed");
        };
        let inside = self.rest.get(1..end).unwrap_or_default();
        let after = self.rest.get(end + 1..).unwrap_or_default();
        if inside.contains('{') {
            return reject(Code::Glob, "groups cannot be nested");
        }
        if inside.contains(",,") || !inside.contains(',') {
            return reject(
                Code::Glob,
                "a group has at least two alternatives, and no two commas in a row",
            );
        }
        self.groups += 1;
        self.alternatives += inside.split(',').count();
        if self.groups > MAX_GROUPS || self.alternatives > MAX_ALTERNATIVES {
            return reject(
                Code::Glob,
                "the path has more than 3 groups or 24 alternatives",
            );
        }
        for alternative in inside.split(',') {
            self.alternative(alternative, after)?;
        }
        self.advance(end + 1);
        Ok(())
    }

    /// One alternative of the group before `after`.
    fn alternative(&mut self, text: &str, after: &str) -> Result<(), LineError> {
        if after.is_empty() {
            match text {
                "**" | "/**" => return Ok(()),
                "*" | "/*" => return self.count_star(),
                _ => {}
            }
        }
        if !text.chars().all(is_literal) {
            return reject(
                Code::Glob,
                "an alternative is plain text; at the end of the path also *, **, /* or /**",
            );
        }
        let open = [
            self.before == '/',
            after.is_empty() || after.starts_with('/'),
        ];
        if has_dots(text, open) {
            return reject(Code::Path, DOTS);
        }
        Ok(())
    }
}

/// True when `.` or `..` is a whole component of an alternative. `whole` tells whether its start
/// and its end are those of a component.
fn has_dots(alternative: &str, whole: [bool; 2]) -> bool {
    let [starts, ends] = whole;
    let last = alternative.split('/').count() - 1;
    alternative
        .split('/')
        .enumerate()
        .any(|(at, part)| is_dots(part) && (at > 0 || starts) && (at < last || ends))
}

fn check_class(members: &str) -> Result<(), LineError> {
    let mut count = 0;
    let mut rest = members;
    while let Some(first) = rest.chars().next() {
        let length = match rest.as_bytes() {
            [from, b'-', to, ..] if is_range(*from, *to) => 3,
            [_, b'-', ..] => {
                return reject(Code::Glob, "a range is a-z, A-Z or 0-9, or a part of one");
            }
            _ if first.is_ascii_alphanumeric() || "_./".contains(first) => 1,
            _ => {
                return reject(
                    Code::Glob,
                    "a class is made of letters, digits, _ . / and ranges",
                );
            }
        };
        count += 1;
        rest = rest.get(length..).unwrap_or_default();
    }
    if count == 0 || count > MAX_CLASS_MEMBERS {
        return reject(Code::Glob, "a class has one to eight members");
    }
    Ok(())
}

fn is_range(from: u8, to: u8) -> bool {
    let within = |class: fn(&u8) -> bool| class(&from) && class(&to);
    from < to
        && (within(u8::is_ascii_lowercase)
            || within(u8::is_ascii_uppercase)
            || within(u8::is_ascii_digit))
}
