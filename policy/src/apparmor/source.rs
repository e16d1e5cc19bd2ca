//! The shape of a source: a preamble that is dropped, one header, rules, one closing brace.

use super::lines::{self, Line, NO_VARIABLES, is_blank, split_word, split_words};
use super::names::{Kind, Names};
use super::refusal::{Code, LineError, Refusal, reject};
use super::render::Vetted;
use super::rule::{Rule, is_include};
use super::words::{NO_BLOCKS, refused};

/// Rules of a source, includes among them.
pub const MAX_RULES: usize = 200;

/// Reads a tenant's source of the profile `kind`.
///
/// # Errors
/// The first thing that is not in the subset, with its line. Nothing of the source is in it.
pub fn vet(source: &[u8], kind: Kind, names: &Names) -> Result<Vetted, Refusal> {
    let (lines, last) = lines::read(source)?;
    let mut lines = lines.into_iter();
    header(&mut lines, names.name(kind), last)?;
    let rules = body(&mut lines, kind, last)?;
    match lines.next() {
        None => Ok(Vetted::new(kind, names.clone(), rules)),
        Some(line) => reject(Code::Multi, "only comments may follow the closing brace")
            .map_err(|f| f.at(line.number)),
    }
}

/// Reads up to the header, and the header.
fn header<'s>(
    lines: &mut impl Iterator<Item = Line<'s>>,
    name: &str,
    last: u32,
) -> Result<(), Refusal> {
    for line in lines {
        if is_preamble(line.text) {
            continue;
        }
        return check_header(line.text, name).map_err(|f| f.at(line.number));
    }
    reject(Code::Syntax, "the source has no profile").map_err(|f| f.at(last))
}

/// Reads up to the closing brace, and the brace.
fn body<'s>(
    lines: &mut impl Iterator<Item = Line<'s>>,
    kind: Kind,
    last: u32,
) -> Result<Vec<Rule>, Refusal> {
    let mut rules = Vec::new();
    for line in lines {
        if line.text == "}" {
            return Ok(rules);
        }
        let rule = match line.text.strip_prefix('}') {
            Some(_) => reject(
                Code::Multi,
                "the closing brace ends the profile, and its line",
            ),
            None if rules.len() == MAX_RULES => {
                reject(Code::Size, "the source has more than 200 rules")
            }
            None => Rule::parse(line.text, kind),
        };
        rules.push(rule.map_err(|f| f.at(line.number))?);
    }
    reject(Code::Syntax, "the closing brace is missing").map_err(|f| f.at(last))
}

/// What every Debian profile begins with. It is read and left out: the abi is the helper's choice,
/// because it decides what the mandatory denies mean, and no variable is in use.
fn is_preamble(text: &str) -> bool {
    is_include(text, "<tunables/global>")
        || text.strip_suffix(',').is_some_and(|abi| {
            let mut words = split_words(abi);
            words.next() == Some("abi")
                && matches!(words.next(), Some("<abi/3.0>" | "<abi/4.0>"))
                && words.next().is_none()
        })
}

fn check_header(text: &str, name: &str) -> Result<(), LineError> {
    let (keyword, rest) = split_word(text);
    if keyword != "profile" {
        return Err(no_header(text, keyword));
    }
    let end = rest.find(|c| is_blank(c) || c == '{').unwrap_or(rest.len());
    let (found, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
    // Text that touches the name belongs to it: a brace opens a group there.
    if found != name || (after.starts_with('{') && after != "{") {
        return reject(
            Code::Name,
            "the profile does not have the one name that is expected here",
        );
    }
    let after = after.trim_start_matches(is_blank);
    let after = match after.strip_prefix("flags=(") {
        Some(flags) => check_flags(flags)?,
        None => after,
    };
    match after {
        "{" => Ok(()),
        "" => reject(Code::Syntax, "the opening brace is on the line of the name"),
        _ if after.starts_with('{') => reject(
            Code::Syntax,
            "nothing follows the opening brace on its line",
        ),
        _ if after.starts_with("flags") || after.starts_with('(') => reject(Code::Flag, FLAGS),
        _ => reject(Code::Attach, NO_ATTACHMENT),
    }
}

const FLAGS: &str =
    "flags are written flags=(attach_disconnected,mediate_deleted), and no others are known";
const NO_ATTACHMENT: &str = "the profile attaches to nothing: no path and no xattrs in the header";

/// Checks `FLAGS)…` and gives what follows. Both flags are always written, so none is kept.
fn check_flags(text: &str) -> Result<&str, LineError> {
    let known = |flag: &str| matches!(flag, "attach_disconnected" | "mediate_deleted");
    let Some((inside, after)) = text.split_once(')') else {
        return reject(Code::Flag, FLAGS);
    };
    let is_empty = inside.trim_matches(is_blank).is_empty();
    let mut parts = inside
        .split(',')
        .map(|part| split_words(part).collect::<Vec<_>>());
    if is_empty || parts.all(|flags| !flags.is_empty() && flags.into_iter().all(known)) {
        Ok(after.trim_start_matches(is_blank))
    } else {
        reject(Code::Flag, FLAGS)
    }
}

/// Why a line above the profile is neither preamble nor header.
fn no_header(text: &str, keyword: &str) -> LineError {
    let (code, sentence) = match keyword {
        _ if text.contains("#include") => (
            Code::Include,
            "only <tunables/global> is included above the header",
        ),
        _ if refused(keyword).is_some_and(|why| why.code != Code::Block) => {
            return refused(keyword).unwrap_or(NO_HEADER);
        }
        "hat" => (Code::Block, NO_BLOCKS),
        _ if text.starts_with('^') => (Code::Block, NO_BLOCKS),
        _ if text.starts_with("@{") => (Code::Var, NO_VARIABLES),
        _ if text.starts_with('/') && text.ends_with('{') => (Code::Attach, NO_ATTACHMENT),
        _ => return NO_HEADER,
    };
    LineError { code, sentence }
}

const NO_HEADER: LineError = LineError {
    code: Code::Syntax,
    sentence: "above the rules only the header may stand: profile NAME {",
};
