//! From bytes to lines of words: bounds, bytes, comments.

use super::refusal::{Code, LineError, Refusal, reject};

/// A longer source is refused unread. Real profiles have a tenth of it.
pub const MAX_SOURCE_BYTES: usize = 32 * 1024;
/// Lines of a source.
pub const MAX_LINES: usize = 1000;
/// Bytes of one line, its comment included, its end not.
pub const MAX_LINE_BYTES: usize = 512;

/// What stands on one line beside blanks at its ends and the comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line<'s> {
    /// From 1.
    pub(super) number: u32,
    /// Printable ASCII and tabs; never empty.
    pub(super) text: &'s str,
}

/// All lines that say something, and the number of the last line.
pub(super) fn read(source: &[u8]) -> Result<(Vec<Line<'_>>, u32), Refusal> {
    if source.len() > MAX_SOURCE_BYTES {
        return reject(Code::Size, "the source has more than 32768 bytes").map_err(|f| f.at(1));
    }
    let mut number = 0_u32;
    let mut lines = Vec::new();
    let mut rest = source;
    while !rest.is_empty() {
        number = number.saturating_add(1);
        let (line, after) = cut_line(rest, number as usize).map_err(|f| f.at(number))?;
        rest = after;
        let text = without_comment(line).map_err(|f| f.at(number))?;
        if !text.is_empty() {
            lines.push(Line { number, text });
        }
    }
    Ok((lines, number.max(1)))
}

fn cut_line(rest: &[u8], number: usize) -> Result<(&[u8], &[u8]), LineError> {
    if number > MAX_LINES {
        return reject(Code::Size, "the source has more than 1000 lines");
    }
    let end = rest.iter().position(|byte| *byte == b'\n');
    let (line, after) = rest.split_at(end.unwrap_or(rest.len()));
    if line.len() > MAX_LINE_BYTES {
        return reject(Code::Size, "the line has more than 512 bytes");
    }
    match after.split_first() {
        Some((_, after)) => Ok((line, after)),
        None => reject(Code::Syntax, "the last line has no line feed at its end"),
    }
}

/// The line up to its comment, without blanks at either end, every byte checked.
fn without_comment(line: &[u8]) -> Result<&str, LineError> {
    let (code, comment) = line.split_at(comment_start(line));
    check_comment(comment)?;
    for byte in code {
        check_byte(*byte)?;
    }
    // ASCII by now; the error stands for a byte that was let through by accident.
    let Ok(code) = std::str::from_utf8(code) else {
        return reject(Code::Byte, NOT_PLAIN);
    };
    Ok(code.trim_matches(is_blank))
}

/// Where the comment begins, or the length of the line. A `#` begins one at the start of the line or
/// after a blank, unless `include` follows: for apparmor_parser that is a directive, wherever it
/// stands (the lexer's rule `#include/.*\r?\n`).
fn comment_start(line: &[u8]) -> usize {
    let begins = |at: usize| {
        let before = at.checked_sub(1).and_then(|before| line.get(before));
        let after = line.get(at..).unwrap_or_default();
        after.starts_with(b"#")
            && !after.starts_with(b"#include")
            && before.is_none_or(|byte| is_blank(char::from(*byte)))
    };
    (0..line.len()).find(|at| begins(*at)).unwrap_or(line.len())
}

const NOT_PLAIN: &str = "a byte is neither printable ASCII nor a tab; lines end with LF alone";

fn check_comment(comment: &[u8]) -> Result<(), LineError> {
    let is_text = |text: &str| text.chars().all(|c| c == '\t' || !c.is_control());
    match std::str::from_utf8(comment) {
        Ok(text) if is_text(text) => Ok(()),
        _ => reject(
            Code::Byte,
            "a comment is not UTF-8, or holds a control character",
        ),
    }
}

fn check_byte(byte: u8) -> Result<(), LineError> {
    match byte {
        b'"' | b'\'' => reject(Code::Quote, "quotation marks are not part of the language"),
        b'\\' => reject(Code::Escape, "backslashes are not part of the language"),
        b'$' => reject(Code::Var, NO_VARIABLES),
        b'\t' | 0x20..=0x7e => Ok(()),
        _ => reject(Code::Byte, NOT_PLAIN),
    }
}

pub(super) const NO_VARIABLES: &str =
    "variables are not part of the language; write the path itself";

/// Space and tab, the two blanks of the language.
pub(super) fn is_blank(c: char) -> bool {
    c == ' ' || c == '\t'
}

/// The first word and the rest without the blanks between.
pub(super) fn split_word(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_at(text.find(is_blank).unwrap_or(text.len()));
    (word, rest.trim_start_matches(is_blank))
}

/// All words, separated by blanks.
pub(super) fn split_words(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_blank).filter(|word| !word.is_empty())
}
