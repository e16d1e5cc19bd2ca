//! A profile source that is refused, by this client's own look at it or by the helper: where, why,
//! and the line itself.

use std::path::PathBuf;

use serde::Serialize;

use super::Source;
use crate::error::CliError;
use crate::exit::Exit;
use crate::helper::HelperError;

/// The helper's word for a source whose text is not accepted.
const REASON: &str = "APPARMOR_REFUSED";
/// Of a line, so many characters are shown.
const SHOWN: usize = 160;

/// Why a source is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RejectedSource {
    /// The file.
    pub path: PathBuf,
    /// Line, from 1.
    pub line: u32,
    /// Stable word, e.g. `E_RULE`.
    pub code: String,
    /// Why, for people.
    pub sentence: String,
    /// The line itself.
    pub quoted: Option<String>,
}

impl RejectedSource {
    /// The same with the line quoted from the text.
    #[must_use]
    pub fn quoting(mut self, text: &[u8]) -> Self {
        let at = usize::try_from(self.line).unwrap_or_default();
        let line = text.split(|byte| *byte == b'\n').nth(at.saturating_sub(1));
        self.quoted = line.map(|line| {
            let line = String::from_utf8_lossy(line);
            line.chars().take(SHOWN).collect()
        });
        self
    }

    /// What the helper said of one of `sources`, with the line quoted; `None` when its answer is
    /// about something else.
    #[must_use]
    pub fn by_helper(error: &HelperError, sources: &[Source]) -> Option<Self> {
        let HelperError::Answered {
            reason, message, ..
        } = error
        else {
            return None;
        };
        if reason != REASON {
            return None;
        }
        let (file, line, code, sentence) = parts(message)?;
        let source = sources.iter().find(|source| source.name == file)?;
        let refused = Self {
            path: source.path.clone(),
            line,
            code: code.to_owned(),
            sentence: sentence.to_owned(),
            quoted: None,
        };
        let text = source.read().ok().flatten();
        Some(match text {
            Some(text) => refused.quoting(&text),
            None => refused,
        })
    }

    /// `FILE:LINE` and the line itself, for people.
    #[must_use]
    pub fn place(&self) -> Vec<String> {
        let at = format!("{}:{}", self.path.display(), self.line);
        let quoted = self.quoted.as_ref();
        let quoted = quoted.map(|text| format!("{:>4} | {}", self.line, text.trim_end()));
        std::iter::once(at).chain(quoted).collect()
    }

    /// What to do about it.
    #[must_use]
    pub fn next(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        let name = name.to_string_lossy();
        format!(
            "fix the line and run `aistack apparmor check`, or restore the default with \
             `aistack apparmor reset {name}`"
        )
    }

    /// The failure of a command that needs the profile.
    #[must_use]
    pub fn to_error(&self) -> CliError {
        let what = format!(
            "your AppArmor profile is refused: {} ({}); no container was changed",
            self.sentence, self.code
        );
        self.place()
            .into_iter()
            .fold(CliError::new(Exit::Config, what), CliError::because)
            .next(self.next())
    }
}

/// The parts of `FILE:LINE: CODE: SENTENCE`.
fn parts(message: &str) -> Option<(&str, u32, &str, &str)> {
    let (place, rest) = message.split_once(": ")?;
    let (file, line) = place.rsplit_once(':')?;
    let (code, sentence) = rest.split_once(": ")?;
    Some((file, line.parse().ok()?, code, sentence))
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn the_error_has_place_line_code_and_what_next() {
        let refused = RejectedSource {
            path: "/mnt/x/apparmor/ai-platform-1001".into(),
            line: 2,
            code: "E_RULE".to_owned(),
            sentence: "this rule is not yours to give".to_owned(),
            quoted: None,
        };
        let failure = refused.quoting(b"profile x {\n  mount,\r\n}\n").to_error();
        assert_eq!(failure.exit, Exit::Config);
        assert!(failure.what.contains("E_RULE"), "{failure}");
        assert_eq!(failure.causes[0].text, "/mnt/x/apparmor/ai-platform-1001:2");
        assert_eq!(failure.causes[1].text, "   2 |   mount,");
        assert!(failure.next.unwrap().contains("reset ai-platform-1001"));
    }

    #[test]
    fn a_line_that_is_not_there_is_not_quoted_and_a_long_one_is_cut() {
        let refused = |line, text: &[u8]| {
            RejectedSource {
                path: PathBuf::new(),
                line,
                code: String::new(),
                sentence: String::new(),
                quoted: None,
            }
            .quoting(text)
            .quoted
        };
        assert_eq!(refused(9, b"one\n"), None);
        assert_eq!(refused(1, &[b'x'; 500]).unwrap().len(), SHOWN);
    }

    #[test]
    fn only_the_helpers_own_refusal_of_a_source_is_read() {
        let answered = |reason: &str, message: &str| HelperError::Answered {
            code: Code::FailedPrecondition,
            message: message.to_owned(),
            reason: reason.to_owned(),
            rule: None,
            hint: None,
        };
        let message = "ai-platform-1001:3: E_CAP: not allowed: ask";
        assert_eq!(
            parts(message),
            Some(("ai-platform-1001", 3, "E_CAP", "not allowed: ask"))
        );
        assert_eq!(parts("profiles were loaded a moment ago"), None);
        let other = answered("APPARMOR_TOO_OFTEN", message);
        assert_eq!(RejectedSource::by_helper(&other, &[]), None);
        let foreign = answered(REASON, message);
        assert_eq!(RejectedSource::by_helper(&foreign, &[]), None);
    }
}
