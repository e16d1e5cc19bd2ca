//! Which characters may reach a terminal or a log, and how the others are shown. The client and
//! the daemons decide by this one rule.

use std::borrow::Cow;
use std::fmt::{self, Write};

use unicode_general_category::{GeneralCategory, get_general_category};

/// Whether a character has a shape of its own and changes nothing else on a terminal. Not so are
/// controls (C0, DEL, C1), what turns the direction of text or is invisible (format characters),
/// line and paragraph separators, and what Unicode leaves to others or has not given out yet.
///
/// The two joiners U+200C and U+200D belong to the spelling of Persian and Indic words.
#[must_use]
pub fn is_printable(character: char) -> bool {
    if character.is_ascii() {
        return !character.is_ascii_control();
    }
    if matches!(character, '\u{200c}' | '\u{200d}') {
        return true;
    }
    !matches!(
        get_general_category(character),
        GeneralCategory::Control
            | GeneralCategory::Format
            | GeneralCategory::LineSeparator
            | GeneralCategory::ParagraphSeparator
            | GeneralCategory::Surrogate
            | GeneralCategory::PrivateUse
            | GeneralCategory::Unassigned
    )
}

/// Writes one character as JSON escapes it (RFC 8259, section 7), whatever it is: `\u009b`, and two
/// of these beyond U+FFFF. So JSON stays JSON with the same meaning.
///
/// # Errors
/// When `out` fails.
pub fn write_escaped(character: char, out: &mut impl Write) -> fmt::Result {
    match character {
        '\n' => out.write_str("\\n"),
        '\r' => out.write_str("\\r"),
        '\t' => out.write_str("\\t"),
        other => {
            let mut units = [0; 2];
            other
                .encode_utf16(&mut units)
                .iter()
                .try_for_each(|unit| write!(out, "\\u{unit:04x}"))
        }
    }
}

/// The text on one line: everything that is not printable is escaped.
#[must_use]
pub fn one_line(text: &str) -> Cow<'_, str> {
    escaped(text, is_printable)
}

/// The same with line feeds and tabs as they are.
#[must_use]
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |character| {
        matches!(character, '\n' | '\t') || is_printable(character)
    })
}

fn escaped(text: &str, passes: impl Fn(char) -> bool) -> Cow<'_, str> {
    if text.chars().all(&passes) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if passes(character) {
            out.push(character);
        } else {
            // Writing to a String cannot fail.
            let _ = write_escaped(character, &mut out);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_moves_turns_or_hides_text_is_not_printable() {
        let controls = ('\0'..' ').chain('\u{7f}'..='\u{9f}');
        let bidi = ('\u{202a}'..='\u{202e}').chain('\u{2066}'..='\u{2069}');
        let marks = ['\u{61c}', '\u{200e}', '\u{200f}'];
        let separators = ['\u{2028}', '\u{2029}'];
        let invisible = ['\u{ad}', '\u{200b}', '\u{2060}', '\u{feff}', '\u{e0041}'];
        let nobodys = ['\u{378}', '\u{e000}', '\u{10ffff}', '\u{fffe}'];
        for character in controls
            .chain(bidi)
            .chain(marks)
            .chain(separators)
            .chain(invisible)
            .chain(nobodys)
        {
            assert!(!is_printable(character), "{character:?}");
        }
    }

    #[test]
    fn words_of_every_script_are_printable() {
        for text in [
            "plain ASCII {\"json\": [1]} ~",
            "Grüße, Ελληνικά, русский, 日本語, 한국어, עברית, العربية",
            "می\u{200c}خواهم नमस्ते",
            "… “quotes” → ✓ ██ 👩\u{200d}💻 e\u{301} \u{a0}\u{3000}",
        ] {
            assert_eq!(one_line(text), text);
        }
    }

    #[test]
    fn escapes_are_those_of_json() {
        assert_eq!(
            one_line("a\n\u{1b}[2K\u{9b}\u{202e}\u{e0041}b\t"),
            "a\\n\\u001b[2K\\u009b\\u202e\\udb40\\udc41b\\t"
        );
        assert_eq!(lines("a\n\tb\r"), "a\n\tb\\r");
    }

    proptest! {
        #[test]
        fn nothing_unprintable_is_left_and_printable_text_is_left_alone(text in any::<String>()) {
            let shown = one_line(&text);
            prop_assert!(shown.chars().all(is_printable));
            if text.chars().all(is_printable) {
                prop_assert_eq!(shown.as_ref(), text.as_str());
            }
        }
    }
}
