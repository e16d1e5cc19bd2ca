//! Mutations of sources, the same in every run of the same seed.

use super::sources::{self, Entry};

/// xorshift64: enough to choose with, and the same everywhere.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % bound.max(1)
    }

    fn pick<'t, T>(&mut self, from: &'t [T]) -> &'t T {
        &from[self.below(from.len())]
    }
}

/// Pieces that change what a profile means, for apparmor_parser or for us.
const PIECES: [&str; 62] = [
    "{",
    "}",
    "{,",
    ",}",
    ",",
    ",,",
    "*",
    "**",
    "/**",
    "?",
    "[",
    "]",
    "[^",
    "[^/]",
    "[a-z]",
    "-",
    "/",
    "//",
    "..",
    "/.",
    "#",
    " #",
    "#include ",
    "# ",
    " ",
    "\t",
    "\n",
    "\"",
    "\\",
    "@{X}",
    "$",
    "!",
    "^",
    "=",
    ":",
    "~",
    "+",
    "(",
    ")",
    "->",
    "deny ",
    "owner ",
    "audit ",
    "file ",
    "file,",
    "ix",
    "x",
    "rw",
    "wa",
    "mr",
    "ux",
    "capability ",
    "chown",
    "network ",
    "inet ",
    "raw",
    "priority=1 ",
    "profile ",
    "hat ",
    "all,",
    "\r",
    "ü",
];

/// Sources to change, and what lines may be taken from.
pub(crate) struct Pool {
    hostile: Vec<Entry>,
    benign: Vec<Entry>,
}

impl Pool {
    /// The corpus without its longest sources, of which many take long to compile.
    pub(crate) fn new() -> Self {
        let is_short = |entry: &Entry| entry.source.len() < 2000;
        Self {
            hostile: sources::hostile().into_iter().filter(is_short).collect(),
            benign: sources::benign().into_iter().filter(is_short).collect(),
        }
    }

    /// Mostly a benign one: few hostile sources are a small change away from being accepted.
    fn pick(&self, random: &mut Random, hostile_in: usize) -> &Entry {
        if random.below(hostile_in) == 0 {
            random.pick(&self.hostile)
        } else {
            random.pick(&self.benign)
        }
    }
}

/// A source with a few changes, or one line of it with changes as a source of its own: one wrong line
/// would hide what becomes of the others.
pub(crate) fn mutate(random: &mut Random, pool: &Pool) -> Vec<u8> {
    let entry = pool.pick(random, 8);
    let lines: Vec<&[u8]> = entry.source.split(|b| *b == b'\n').collect();
    if random.below(4) == 0 {
        return change(random, pool, entry.source.clone());
    }
    let names = sources::names();
    let name = names.name(entry.kind).as_bytes();
    let line = random.pick(&lines).to_vec();
    let line = change(random, pool, line);
    [b"profile ", name, b" {\n", line.as_slice(), b"\n}\n"].concat()
}

/// Pieces put in, taken out or moved, and lines of other sources.
fn change(random: &mut Random, pool: &Pool, mut text: Vec<u8>) -> Vec<u8> {
    for _ in 0..=random.below(2) {
        let at = random.below(text.len() + 1);
        match random.below(6) {
            0 | 1 => insert(&mut text, at, random.pick(&PIECES).as_bytes()),
            2 => {
                let end = (at + 1 + random.below(4)).min(text.len());
                text.drain(at..end);
            }
            3 => {
                let piece = random.pick(&PIECES).as_bytes();
                let end = (at + 1 + random.below(3)).min(text.len());
                text.splice(at..end, piece.iter().copied());
            }
            4 => {
                let other = &pool.pick(random, 2).source;
                let lines: Vec<&[u8]> = other.split_inclusive(|b| *b == b'\n').collect();
                if !lines.is_empty() {
                    let line = *random.pick(&lines);
                    let start = start_of_line(&text, at);
                    insert(&mut text, start, line);
                }
            }
            _ => {
                let end = (at + 1 + random.below(12)).min(text.len());
                let piece = text[at..end].to_vec();
                let to = random.below(text.len() + 1);
                insert(&mut text, to, &piece);
            }
        }
    }
    text
}

fn insert(text: &mut Vec<u8>, at: usize, piece: &[u8]) {
    text.splice(at..at, piece.iter().copied());
}

fn start_of_line(text: &[u8], at: usize) -> usize {
    text[..at]
        .iter()
        .rposition(|b| *b == b'\n')
        .map_or(0, |end| end + 1)
}
