//! The hash chain, and reading it back line by line with bounded memory.

use std::fmt;
use std::io::{self, BufRead, Read};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::hex::hex;

/// The longest line of a log, bytes. Records are bounded well below it.
pub(super) const MAX_LINE: u64 = 64 * 1024;

/// Where the chain stands: the last record's number and the digest of its line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Number of the last record, 0 before the first.
    pub seq: u64,
    /// SHA-256 of the last line without its newline, hexadecimal; 64 zeros before the first.
    pub digest: String,
}

impl Default for Head {
    fn default() -> Self {
        Self {
            seq: 0,
            digest: "0".repeat(64),
        }
    }
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Break {
    /// It is not a JSON object with `seq` and `prev`.
    NotARecord,
    /// Its number does not follow the one before.
    Sequence {
        /// What should stand there.
        expected: u64,
        /// What stands there.
        found: u64,
    },
    /// It does not hold the digest of the line before: that line, or this one, was changed.
    Previous,
}

impl fmt::Display for Break {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotARecord => out.write_str("is not an audit record"),
            Self::Sequence { expected, found } => {
                write!(out, "has number {found}, expected {expected}")
            }
            Self::Previous => {
                out.write_str("does not hold the digest of the line before it; one was changed")
            }
        }
    }
}

#[derive(Deserialize)]
struct Link {
    seq: u64,
    prev: String,
}

impl Head {
    /// The digest of one line.
    pub(super) fn digest_of(line: &[u8]) -> String {
        hex(&Sha256::digest(line))
    }

    /// Where the chain stood before this line, by its own word.
    pub(super) fn before(line: &[u8]) -> Option<Self> {
        let link: Link = serde_json::from_slice(line).ok()?;
        Some(Self {
            seq: link.seq.checked_sub(1)?,
            digest: link.prev,
        })
    }

    /// Goes on to the next line. After a break the chain is taken up again at that line, so that
    /// the next break can be found.
    pub(super) fn advance(&mut self, line: &[u8]) -> Result<(), Break> {
        let expected = self.seq + 1;
        let previous = std::mem::replace(&mut self.digest, Self::digest_of(line));
        self.seq = expected;
        let link: Link = serde_json::from_slice(line).map_err(|_| Break::NotARecord)?;
        self.seq = link.seq;
        if link.prev != previous {
            return Err(Break::Previous);
        }
        if link.seq != expected {
            return Err(Break::Sequence {
                expected,
                found: link.seq,
            });
        }
        Ok(())
    }
}

/// The next line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A whole line; its newline is not in the buffer.
    Whole,
    /// The file ends without a newline.
    Torn,
    /// The file ends.
    End,
}

/// Reads one line into `buffer`.
pub(super) fn next_line(reader: &mut impl BufRead, buffer: &mut Vec<u8>) -> io::Result<Line> {
    buffer.clear();
    let read = reader.take(MAX_LINE + 1).read_until(b'\n', buffer)?;
    if buffer.last() == Some(&b'\n') {
        buffer.pop();
        return Ok(Line::Whole);
    }
    if read as u64 > MAX_LINE {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a line is longer than {MAX_LINE} bytes"),
        ));
    }
    Ok(if read == 0 { Line::End } else { Line::Torn })
}
