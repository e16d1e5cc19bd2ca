//! Permissions of a file rule.

use std::fmt;

use super::refusal::{Code, LineError, reject};

/// Single permissions in the order in which they are written, with their bits.
const LETTERS: [(char, u8); 7] = [
    ('r', 1),
    ('w', 1 << 1),
    ('a', 1 << 2),
    ('k', 1 << 3),
    ('l', 1 << 4),
    ('m', 1 << 5),
    ('x', 1 << 6),
];
const WRITE: u8 = 1 << 1;
const APPEND: u8 = 1 << 2;
const LINK: u8 = 1 << 4;
const MAP: u8 = 1 << 5;
const EXECUTE: u8 = 1 << 6;

/// A non-empty set. Execute is written `ix` where it is allowed (the program stays in the profile)
/// and `x` where it is denied, as apparmor.d(5) asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Perms {
    bits: u8,
    deny: bool,
}

impl Perms {
    pub(super) fn parse(text: &str, deny: bool) -> Result<Self, LineError> {
        let mut bits = 0;
        let mut rest = text;
        while let Some(letter) = rest.chars().next() {
            let (name, length) = match (letter, deny) {
                ('i', false) if rest.starts_with("ix") => ('x', 2),
                ('x', false) | ('i' | 'p' | 'P' | 'c' | 'C' | 'u' | 'U', _) => {
                    return reject(Code::Exec, if deny { DENY_EXEC } else { ONLY_IX });
                }
                _ => (letter, letter.len_utf8()),
            };
            let Some((_, bit)) = LETTERS.iter().find(|(known, _)| *known == name) else {
                return reject(
                    Code::Perm,
                    "file permissions are made of r, w, a, k, l, m and ix",
                );
            };
            if bits & bit != 0 {
                return reject(Code::Perm, "a permission is given twice");
            }
            bits |= bit;
            rest = rest.get(length..).unwrap_or_default();
        }
        if bits == 0 {
            return reject(Code::Perm, "the rule has no permission");
        }
        if bits & WRITE != 0 && bits & APPEND != 0 {
            return reject(Code::Perm, "w and a exclude each other; w contains a");
        }
        Ok(Self { bits, deny })
    }

    /// True for permissions that change the file system.
    pub(super) fn write(self) -> bool {
        self.bits & (WRITE | APPEND | LINK) != 0
    }

    /// True for permissions that bring code into a process.
    pub(super) fn execute(self) -> bool {
        self.bits & (MAP | EXECUTE) != 0
    }
}

const ONLY_IX: &str = "ix is the only execute permission: a program stays in the profile";
const DENY_EXEC: &str = "a deny rule writes execute as x alone";

impl fmt::Display for Perms {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (letter, bit) in LETTERS {
            match (self.bits & bit != 0, letter) {
                (false, _) => {}
                (true, 'x') if !self.deny => out.write_str("ix")?,
                (true, letter) => write!(out, "{letter}")?,
            }
        }
        Ok(())
    }
}
