//! When to use colour, and which. Colour never carries a meaning of its own: the word is there too.

use crate::args::When;

impl When {
    /// Whether a stream gets colour: `NO_COLOR` (no-color.org) and `CLICOLOR`, `CLICOLOR_FORCE`
    /// (bixense.com/clicolors) as their authors describe them.
    #[must_use]
    pub fn wanted(self, terminal: bool, variable: impl Fn(&str) -> Option<String>) -> bool {
        let set = |name: &str| variable(name).is_some_and(|value| !value.is_empty());
        let zero = |name: &str| variable(name).is_some_and(|value| value == "0");
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto if set("NO_COLOR") => false,
            Self::Auto if set("CLICOLOR_FORCE") && !zero("CLICOLOR_FORCE") => true,
            Self::Auto if variable("TERM").is_some_and(|term| term == "dumb") => false,
            Self::Auto => terminal && !zero("CLICOLOR"),
        }
    }
}

/// What a piece of text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Good,
    /// On its way, or worth a look.
    Notice,
    /// Wrong.
    Bad,
    /// Beside the point.
    Faint,
    /// A heading.
    Strong,
    /// One of six colours that tell sources apart.
    Source(usize),
}

/// Colours text, or does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paint {
    on: bool,
}

impl Paint {
    /// Colours when `on`.
    #[must_use]
    pub fn new(on: bool) -> Self {
        Self { on }
    }

    /// Whether there is colour.
    #[must_use]
    pub fn is_on(self) -> bool {
        self.on
    }

    /// The text in its colour (SGR codes of ECMA-48).
    #[must_use]
    pub fn paint(self, tone: Tone, text: &str) -> String {
        if !self.on || text.is_empty() {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Good => 32,
            Tone::Notice => 33,
            Tone::Bad => 31,
            Tone::Faint => 2,
            Tone::Strong => 1,
            Tone::Source(index) => 31 + index % 6,
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(when: When, terminal: bool, environment: &[(&str, &str)]) -> bool {
        when.wanted(terminal, |name| {
            let found = environment.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn flags_win_then_the_environment_then_the_terminal() {
        use When::{Always, Auto, Never};
        assert!(wanted(Auto, true, &[]));
        assert!(!wanted(Auto, false, &[]));
        assert!(wanted(Always, false, &[("NO_COLOR", "1")]));
        assert!(!wanted(Never, true, &[("CLICOLOR_FORCE", "1")]));
        assert!(!wanted(Auto, true, &[("NO_COLOR", "1")]));
        assert!(wanted(Auto, true, &[("NO_COLOR", "")]));
        assert!(wanted(Auto, false, &[("CLICOLOR_FORCE", "1")]));
        assert!(!wanted(Auto, false, &[("CLICOLOR_FORCE", "0")]));
        assert!(!wanted(Auto, true, &[("CLICOLOR", "0")]));
        assert!(!wanted(Auto, true, &[("TERM", "dumb")]));
    }

    #[test]
    fn without_colour_there_is_no_escape() {
        assert_eq!(Paint::new(false).paint(Tone::Bad, "down"), "down");
        assert_eq!(
            Paint::new(true).paint(Tone::Bad, "down"),
            "\u{1b}[31mdown\u{1b}[0m"
        );
    }
}
