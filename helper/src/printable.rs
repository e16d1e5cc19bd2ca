//! Output that moves no cursor: what goes to a terminal or to the journal passes here.

use std::fmt::Write as _;
use std::io::{self, Write};

use aistack_policy::printable::{is_printable, write_escaped};

/// Escapes everything that is not printable on its way to `W`, as JSON does, so that JSON stays
/// JSON. Bytes that are not UTF-8 become U+FFFD.
#[derive(Debug)]
pub struct Printable<W: Write> {
    out: W,
    breaks: Breaks,
    /// The beginning of a character whose end has not come yet.
    begun: Vec<u8>,
}

/// Which line feeds are the writer's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Breaks {
    All,
    /// Each write is one line; only its last byte may end it.
    Last,
}

impl<W: Write> Printable<W> {
    /// For text of several lines; tabs stay as well.
    pub fn lines(out: W) -> Self {
        Self {
            out,
            breaks: Breaks::All,
            begun: Vec::new(),
        }
    }

    /// For a log: each write is one line.
    pub fn one_line(out: W) -> Self {
        Self {
            breaks: Breaks::Last,
            ..Self::lines(out)
        }
    }

    fn passes(&self, character: char, is_last: bool) -> bool {
        match (character, self.breaks) {
            ('\n', Breaks::Last) => is_last,
            ('\n' | '\t', Breaks::All) => true,
            (other, _) => is_printable(other),
        }
    }

    fn shown(&self, text: &str, shown: &mut String) {
        let end = text.len().saturating_sub(1);
        for (at, character) in text.char_indices() {
            if self.passes(character, at == end) {
                shown.push(character);
            } else {
                // Writing to a String cannot fail.
                let _ = write_escaped(character, shown);
            }
        }
    }
}

impl<W: Write> Write for Printable<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut all = std::mem::take(&mut self.begun);
        all.extend_from_slice(bytes);
        let mut shown = String::with_capacity(all.len());
        let mut chunks = all.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            let invalid = chunk.invalid();
            let unfinished = chunks.peek().is_none() && is_begun(invalid);
            self.shown(chunk.valid(), &mut shown);
            if unfinished && self.breaks == Breaks::All {
                self.begun = invalid.to_vec();
            } else if !invalid.is_empty() {
                let _ = shown.write_char(char::REPLACEMENT_CHARACTER);
            }
        }
        self.out.write_all(shown.as_bytes())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Whether more bytes could make a character of these.
fn is_begun(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(parts: &[&[u8]]) -> String {
        let mut out = Printable::lines(Vec::new());
        for part in parts {
            out.write_all(part).unwrap();
        }
        String::from_utf8(out.out).unwrap()
    }

    #[test]
    fn controls_of_every_kind_are_escaped_in_lines_and_in_a_log() {
        let hostile = "a\n\tb\u{1b}[2K\u{9b}31m\u{202e}\u{2028}é\n";
        assert_eq!(
            lines(&[hostile.as_bytes()]),
            "a\n\tb\\u001b[2K\\u009b31m\\u202e\\u2028é\n"
        );
        let mut log = Printable::one_line(Vec::new());
        log.write_all(hostile.as_bytes()).unwrap();
        assert_eq!(
            String::from_utf8(log.out).unwrap(),
            "a\\n\\tb\\u001b[2K\\u009b31m\\u202e\\u2028é\n"
        );
    }

    #[test]
    fn a_character_in_two_writes_is_one_and_bare_bytes_are_none() {
        assert_eq!(lines(&[b"\xc2", b"\x9b", b"\xc3", b"\xa9"]), "\\u009bé");
        assert_eq!(lines(&[b"\x9b31m", b"\xff!"]), "\u{fffd}31m\u{fffd}!");
    }

    proptest! {
        #[test]
        fn json_keeps_its_meaning(text in any::<String>()) {
            let written = serde_json::to_string(&serde_json::json!({"text": text})).unwrap();
            let shown = lines(&[written.as_bytes()]);
            prop_assert!(shown.chars().all(is_printable));
            let read: serde_json::Value = serde_json::from_str(&shown).unwrap();
            prop_assert_eq!(read["text"].as_str(), Some(text.as_str()));
        }

        #[test]
        fn any_bytes_in_any_pieces_come_out_printable(
            bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0usize..200,
        ) {
            let (left, right) = bytes.split_at(at.min(bytes.len()));
            let shown = lines(&[left, right]);
            let passes = |c: char| matches!(c, '\n' | '\t') || is_printable(c);
            prop_assert!(shown.chars().all(passes));
            prop_assert_eq!(shown, lines(&[&bytes]));
        }
    }
}
