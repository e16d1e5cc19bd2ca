//! What the exit code of the command says; scripts rely on these numbers.

/// An exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done,
    /// Failed; repeating is safe.
    Failed,
    /// Wrong usage, or input is required and stdin is not a terminal.
    Usage,
    /// The stack or a service is not healthy (what LSB calls "not running").
    NotHealthy,
    /// No such service, or no stack here.
    NotFound,
    /// The configuration was refused, or `doctor` found a problem; nothing was changed.
    Config,
    /// Changes are pending, where the caller requested this code.
    Pending,
    /// Refused by the host's policy.
    Policy,
    /// Another run holds the lock.
    Locked,
    /// The helper or the gateway does not answer.
    Unreachable,
    /// Time ran out (as timeout(1) says it).
    TimedOut,
    /// Ended by SIGINT.
    Interrupted,
    /// Ended by SIGTERM.
    Terminated,
    /// What a command in a container ended with (`exec`, `shell`).
    Inner(u8),
}

impl Exit {
    /// All codes, in the order of their numbers.
    pub const ALL: [Self; 13] = [
        Self::Done,
        Self::Failed,
        Self::Usage,
        Self::NotHealthy,
        Self::NotFound,
        Self::Config,
        Self::Pending,
        Self::Policy,
        Self::Locked,
        Self::Unreachable,
        Self::TimedOut,
        Self::Interrupted,
        Self::Terminated,
    ];

    /// The number that the shell sees.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotHealthy => 3,
            Self::NotFound => 4,
            Self::Config => 5,
            Self::Pending => 6,
            Self::Policy => 7,
            Self::Locked => 8,
            Self::Unreachable => 9,
            Self::TimedOut => 124,
            Self::Interrupted => 130,
            Self::Terminated => 143,
            Self::Inner(code) => code,
        }
    }

    /// What it means, for `aistack help exit-codes`.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed; it is safe to run the command again",
            Self::Usage => "wrong usage, or input is required and stdin is not a terminal",
            Self::NotHealthy => "the stack or a service is not healthy",
            Self::NotFound => "no such service, or no stack here",
            Self::Config => {
                "the configuration is invalid, or `doctor` found a problem; nothing was changed"
            }
            Self::Pending => "changes are pending (`plan --exit-code`)",
            Self::Policy => "not allowed by the host's policy",
            Self::Locked => "another run holds the lock",
            Self::Unreachable => "the helper or the gateway does not answer",
            Self::TimedOut => "timed out",
            Self::Interrupted => "interrupted (Ctrl-C)",
            Self::Terminated => "terminated (SIGTERM)",
            Self::Inner(_) => "what the command in the container ended with",
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_distinct_and_rise() {
        let codes: Vec<u8> = Exit::ALL.iter().map(|exit| exit.code()).collect();
        assert!(
            codes.windows(2).all(|pair| pair[0] < pair[1]),
            "{codes:?} do not rise"
        );
    }

    #[test]
    fn the_numbers_that_scripts_rely_on() {
        assert_eq!(Exit::NotHealthy.code(), 3);
        assert_eq!(Exit::Pending.code(), 6);
        assert_eq!(Exit::Policy.code(), 7);
        assert_eq!(Exit::TimedOut.code(), 124);
        assert_eq!(Exit::Interrupted.code(), 130);
    }
}
