//! Small shapes of text.

use std::borrow::Cow;

use aistack_policy::printable;

/// Text from a container or a service, safe for a terminal: escape sequences, line feeds and
/// carriage returns are taken out, whatever else is not printable is escaped, tabs stay.
#[must_use]
pub fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for character in plain(text).chars() {
        push_safe(character, &mut clean);
    }
    clean
}

/// The same for a pipe: without escape sequences and C0 controls, everything else as it was written.
#[must_use]
pub fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' => skip_escape(&mut characters),
            '\t' => plain.push('\t'),
            control if control.is_ascii_control() => {}
            other => plain.push(other),
        }
    }
    plain
}

/// The last thing that happens to text of this program's own on its way out, whatever it quotes:
/// lines, tabs and the colours of [`super::Paint`] stay, everything else that is not printable is
/// escaped as in JSON.
#[must_use]
pub fn safe(text: &str) -> Cow<'_, str> {
    if !text.contains('\u{1b}') {
        return printable::lines(text);
    }
    let mut safe = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        if let Some(colour) = colour(rest) {
            safe.push_str(colour);
            rest = rest.strip_prefix(colour).unwrap_or_default();
            continue;
        }
        match character {
            '\n' => safe.push('\n'),
            other => push_safe(other, &mut safe),
        }
        rest = rest.get(character.len_utf8()..).unwrap_or_default();
    }
    Cow::Owned(safe)
}

fn push_safe(character: char, out: &mut String) {
    if character == '\t' || printable::is_printable(character) {
        out.push(character);
    } else {
        // Writing to a String cannot fail.
        let _ = printable::write_escaped(character, out);
    }
}

/// A code of [`super::Paint`] at the beginning: one number that sets a colour, a weight, or nothing.
fn colour(text: &str) -> Option<&str> {
    let code = text.strip_prefix("\u{1b}[")?;
    let (code, _) = code.split_once('m')?;
    let known = matches!(
        code,
        "0" | "1" | "2" | "31" | "32" | "33" | "34" | "35" | "36"
    );
    text.get(..code.len() + 3).filter(|_| known)
}

/// Skips what follows ESC: a control sequence to its final byte (ECMA-48 §5.4), an operating
/// system command to its end, or one character.
fn skip_escape(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match characters.next() {
        Some('[') => {
            for character in characters.by_ref() {
                if ('@'..='~').contains(&character) {
                    break;
                }
            }
        }
        Some(']') => {
            while let Some(character) = characters.next() {
                if character == '\u{7}' {
                    break;
                }
                if character == '\u{1b}' {
                    characters.next_if_eq(&'\\');
                    break;
                }
            }
        }
        _ => {}
    }
}

/// Bytes for people, in powers of 1024.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
pub fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            return if unit == "B" {
                format!("{bytes} B")
            } else {
                format!("{value:.1} {unit}")
            };
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

/// The address that a user opens; the scheme's own port is left out.
#[must_use]
pub fn url(scheme: &str, host: &str, port: u16) -> String {
    match (scheme, port) {
        ("http", 80) | ("https", 443) => format!("{scheme}://{host}"),
        _ => format!("{scheme}://{host}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escapes_of_a_container_do_not_reach_the_terminal() {
        assert_eq!(clean("\u{1b}[31mred\u{1b}[0m\tok\r"), "red\tok");
        assert_eq!(clean("a\u{1b}]0;title\u{7}b"), "ab");
        assert_eq!(clean("a\u{1b}]8;;http://x\u{1b}\\b"), "ab");
        assert_eq!(clean("\u{9b}31mx\u{0}"), "\\u009b31mx");
        assert_eq!(clean("a\u{202e}b\u{2028}"), "a\\u202eb\\u2028");
    }

    #[test]
    fn a_pipe_gets_what_was_written_without_escape_sequences() {
        assert_eq!(
            plain("\u{1b}[31ma\u{1b}[0m\u{202e}\u{9b}\r"),
            "a\u{202e}\u{9b}"
        );
    }

    #[test]
    fn nothing_that_is_quoted_reaches_the_terminal_but_our_own_colours() {
        let paint = "\u{1b}[31merror:\u{1b}[0m";
        assert_eq!(
            safe(&format!("{paint} a\u{9b}2J\n\tb\u{202e}")),
            format!("{paint} a\\u009b2J\n\tb\\u202e")
        );
        for hostile in [
            "\u{1b}[2J",
            "\u{1b}[8m",
            "\u{1b}]0;x\u{7}",
            "\u{1b}[31;8m",
            "\u{1b}",
        ] {
            assert!(!safe(hostile).contains('\u{1b}'), "{hostile:?}");
        }
        assert_eq!(safe("Grüße\r"), "Grüße\\r");
    }

    #[test]
    fn sizes_and_addresses() {
        assert_eq!(size(17), "17 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(8 << 30), "8.0 GiB");
        assert_eq!(
            url("https", "n8n.example.com", 443),
            "https://n8n.example.com"
        );
        assert_eq!(url("http", "127.0.0.1", 5102), "http://127.0.0.1:5102");
    }

    proptest! {
        #[test]
        fn clean_text_is_printable_but_for_tabs(text in any::<String>()) {
            prop_assert!(clean(&text).chars().all(|c| c == '\t' || printable::is_printable(c)));
        }

        #[test]
        fn safe_text_is_printable_but_for_lines_tabs_and_colours(
            text in "([a-z]|\\PC|\\x1b\\[[0-9;]{0,3}[mJ]|\\x1b|\\p{Cc}){0,40}",
        ) {
            let safe = safe(&text);
            for (at, character) in safe.char_indices() {
                let fine = match character {
                    '\n' | '\t' => true,
                    '\u{1b}' => colour(&safe[at..]).is_some(),
                    other => printable::is_printable(other),
                };
                prop_assert!(fine, "{safe:?}");
            }
        }
    }
}
