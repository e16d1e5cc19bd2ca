//! Flags that every verb has.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ColorChoice, ValueEnum};

use crate::time::Span;

/// Flags of all verbs.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Flags of all commands")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one flag of the command line"
)]
pub struct Globals {
    /// Your base directory; must be the one that the policy gives you
    #[arg(short = 'C', long, global = true, value_name = "BASE_DIR")]
    pub dir: Option<PathBuf>,
    /// Print one JSON document, also for errors; logs print one object per line
    #[arg(long, global = true)]
    pub json: bool,
    /// When to use colour
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        value_enum,
        default_value_t,
        hide_default_value = true
    )]
    pub color: When,
    /// The same as --color=never
    #[arg(long, global = true)]
    pub no_color: bool,
    /// How progress is shown
    #[arg(
        long,
        global = true,
        value_name = "MODE",
        value_enum,
        default_value_t,
        hide_default_value = true
    )]
    pub progress: ProgressMode,
    /// Print errors only
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Print more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Answer yes to every question
    #[arg(short, long, global = true)]
    pub yes: bool,
    /// Never ask; also AISTACK_NO_INPUT
    #[arg(long, global = true)]
    pub no_input: bool,
    /// Stop after this time, e.g. 90s or 15m
    #[arg(long, global = true, value_name = "TIME")]
    pub timeout: Option<Span>,
    /// Wait for another run to end, 10m by default
    #[arg(long, global = true, value_name = "TIME", num_args = 0..=1, require_equals = true, default_missing_value = "10m")]
    pub lock_wait: Option<Span>,
    /// Show what would be done and change nothing
    #[arg(long, global = true)]
    pub dry_run: bool,
}

impl Globals {
    /// Whether questions are off, by flag or environment.
    #[must_use]
    pub fn no_input(&self) -> bool {
        self.no_input || std::env::var_os("AISTACK_NO_INPUT").is_some_and(|value| !value.is_empty())
    }

    /// How long a run waits for the lock.
    #[must_use]
    pub fn lock_wait(&self) -> Duration {
        self.lock_wait.map(|span| span.0).unwrap_or_default()
    }

    /// When to use colour, all flags considered.
    #[must_use]
    pub fn colour(&self) -> When {
        if self.no_color {
            When::Never
        } else {
            self.color
        }
    }
}

/// `--color`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum When {
    /// On a terminal, unless the environment says otherwise.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// `--progress`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ProgressMode {
    /// A live table on a terminal, plain lines elsewhere
    #[default]
    Auto,
    /// A live table
    Tty,
    /// One line for each change
    Plain,
    /// One JSON object per line for each change, on standard error
    Json,
    /// Nothing
    Quiet,
}

impl ProgressMode {
    /// The mode; `None` for auto.
    #[must_use]
    pub fn mode(self) -> Option<Mode> {
        match self {
            Self::Auto => None,
            Self::Tty => Some(Mode::Tty),
            Self::Plain => Some(Mode::Plain),
            Self::Json => Some(Mode::Json),
            Self::Quiet => Some(Mode::Quiet),
        }
    }
}

/// `--progress`, once `auto` is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// A live table.
    Tty,
    /// One line for each change.
    Plain,
    /// An event as one line of JSON for each change.
    Json,
    /// Nothing.
    Quiet,
}

/// The arguments with `--lock-wait 100s` as `--lock-wait=100s`. clap takes the value of an option
/// that may be without one only behind `=`, since it could be anything else; but no service and no
/// command begins with a digit.
pub(super) fn with_lock_wait(arguments: &[OsString]) -> Vec<OsString> {
    let mut joined: Vec<OsString> = Vec::new();
    let mut options = true;
    for argument in arguments {
        let behind = options && joined.last().is_some_and(|last| last == "--lock-wait");
        let is_time = argument.to_str().is_some_and(|text| {
            text.starts_with(|first: char| first.is_ascii_digit()) && text.parse::<Span>().is_ok()
        });
        match joined.last_mut() {
            Some(last) if behind && is_time => {
                last.push("=");
                last.push(argument);
            }
            _ => joined.push(argument.clone()),
        }
        options &= argument != "--";
    }
    joined
}

/// The colour that a command line asks for, before it is known to be right.
pub(super) fn colour_of(arguments: &[OsString]) -> ColorChoice {
    let words: Vec<&str> = arguments
        .iter()
        .filter_map(|argument| argument.to_str())
        .take_while(|&argument| argument != "--")
        .collect();
    let mut choice = ColorChoice::Auto;
    for (at, &word) in words.iter().enumerate() {
        let value = match word {
            "--no-color" => return ColorChoice::Never,
            "--color" => words.get(at + 1).copied(),
            _ => word.strip_prefix("--color="),
        };
        match value {
            Some("never") => choice = ColorChoice::Never,
            Some("always") => choice = ColorChoice::Always,
            _ => {}
        }
    }
    choice
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_to_wait_for_the_lock_may_stand_behind_a_blank() {
        let joined = |words: &[&str]| {
            let words: Vec<OsString> = words.iter().map(OsString::from).collect();
            let joined = with_lock_wait(&words).into_iter();
            let joined: Vec<String> = joined.map(|word| word.into_string().unwrap()).collect();
            joined.join("|")
        };
        let time = "aistack|deploy|--lock-wait=100s|n8n";
        assert_eq!(
            joined(&["aistack", "deploy", "--lock-wait", "100s", "n8n"]),
            time
        );
        let blank = "aistack|--lock-wait=100 s|deploy";
        assert_eq!(
            joined(&["aistack", "--lock-wait", "100 s", "deploy"]),
            blank
        );
        for same in [
            "aistack|deploy|--lock-wait|n8n",
            "aistack|deploy|--lock-wait=5m|n8n",
            "aistack|exec|n8n|--|--lock-wait|100s",
            "aistack|deploy|--lock-wait",
        ] {
            let words: Vec<&str> = same.split('|').collect();
            assert_eq!(joined(&words), same);
        }
    }

    #[test]
    fn colour_is_found_wherever_it_stands_and_not_behind_two_dashes() {
        let choice = |line: &str| {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            colour_of(&words)
        };
        assert_eq!(
            choice("aistack deploy --color never -h"),
            ColorChoice::Never
        );
        assert_eq!(choice("aistack --color=always -h"), ColorChoice::Always);
        assert_eq!(choice("aistack -h --no-color"), ColorChoice::Never);
        assert_eq!(
            choice("aistack --color=always --no-color"),
            ColorChoice::Never
        );
        assert_eq!(choice("aistack -h"), ColorChoice::Auto);
        assert_eq!(choice("aistack logs -- --no-color"), ColorChoice::Auto);
    }
}
