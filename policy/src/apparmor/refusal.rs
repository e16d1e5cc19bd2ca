//! Why a source is refused: a stable word, the line, and a sentence that holds nothing of the
//! source itself.

use std::fmt;

/// Why a profile source is refused. The words are stable; docs/apparmor.md tells each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// The profile has another name than the one expected.
    Name,
    /// The header has an attachment: a path or extended attributes.
    Attach,
    /// A profile flag beside the two that are always written.
    Flag,
    /// Something after the closing brace.
    Multi,
    /// An include that is not one of the two known ones in its place.
    Include,
    /// An `abi` line that is unknown, or stands in the body.
    Abi,
    /// A variable.
    Var,
    /// An `alias`.
    Alias,
    /// A quotation mark.
    Quote,
    /// A backslash.
    Escape,
    /// A byte that the language does not have.
    Byte,
    /// A `priority`.
    Priority,
    /// `audit`, `allow` and their like, or a qualifier in the wrong place.
    Qualifier,
    /// A nested profile, hat or block.
    Block,
    /// A condition.
    Cond,
    /// A class of rule that tenants do not write.
    Rule,
    /// An execute permission that leaves the profile, or is not allowed here.
    Exec,
    /// File permissions that cannot be allowed so.
    Perm,
    /// A path that is not a plain absolute path.
    Path,
    /// A pattern outside the limits.
    Glob,
    /// A capability that is unknown or not in the grant.
    Cap,
    /// A socket family or type that is unknown or not in the grant.
    Net,
    /// Too much: bytes, lines or rules.
    Size,
    /// Anything else.
    Syntax,
}

impl Code {
    /// Every code, in the order of docs/apparmor.md.
    pub const ALL: [Self; 24] = [
        Self::Name,
        Self::Attach,
        Self::Flag,
        Self::Multi,
        Self::Include,
        Self::Abi,
        Self::Var,
        Self::Alias,
        Self::Quote,
        Self::Escape,
        Self::Byte,
        Self::Priority,
        Self::Qualifier,
        Self::Block,
        Self::Cond,
        Self::Rule,
        Self::Exec,
        Self::Perm,
        Self::Path,
        Self::Glob,
        Self::Cap,
        Self::Net,
        Self::Size,
        Self::Syntax,
    ];

    /// The stable word, e.g. `E_NAME`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Name => "E_NAME",
            Self::Attach => "E_ATTACH",
            Self::Flag => "E_FLAG",
            Self::Multi => "E_MULTI",
            Self::Include => "E_INCLUDE",
            Self::Abi => "E_ABI",
            Self::Var => "E_VAR",
            Self::Alias => "E_ALIAS",
            Self::Quote => "E_QUOTE",
            Self::Escape => "E_ESCAPE",
            Self::Byte => "E_BYTE",
            Self::Priority => "E_PRIORITY",
            Self::Qualifier => "E_QUALIFIER",
            Self::Block => "E_BLOCK",
            Self::Cond => "E_COND",
            Self::Rule => "E_RULE",
            Self::Exec => "E_EXEC",
            Self::Perm => "E_PERM",
            Self::Path => "E_PATH",
            Self::Glob => "E_GLOB",
            Self::Cap => "E_CAP",
            Self::Net => "E_NET",
            Self::Size => "E_SIZE",
            Self::Syntax => "E_SYNTAX",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// A source that is not accepted. Nothing of the source stands in it, so that it can go into logs
/// and to anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{code} at line {line}: {sentence}")]
pub struct Refusal {
    /// Why, as a stable word.
    pub code: Code,
    /// Line of the source, from 1.
    pub line: u32,
    /// Why, for people; fixed text without a full stop.
    pub sentence: &'static str,
}

/// A refusal whose line is not known yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LineError {
    pub(super) code: Code,
    pub(super) sentence: &'static str,
}

impl LineError {
    pub(super) const fn at(self, line: u32) -> Refusal {
        Refusal {
            code: self.code,
            line,
            sentence: self.sentence,
        }
    }
}

/// `Err` of a [`LineError`].
pub(super) const fn reject<T>(code: Code, sentence: &'static str) -> Result<T, LineError> {
    Err(LineError { code, sentence })
}
