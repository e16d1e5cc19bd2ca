//! From byte offsets, which the parser gives, to lines and columns, which people read.

/// A value and the byte offset where it stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) at: usize,
}

/// Where each line of a text starts.
#[derive(Debug, Clone)]
pub(crate) struct Lines(Vec<usize>);

impl Lines {
    pub(crate) fn new(text: &str) -> Self {
        let after_breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        Self(std::iter::once(0).chain(after_breaks).collect())
    }

    /// The line, from 1, that holds the byte.
    pub(crate) fn line(&self, at: usize) -> usize {
        self.0.partition_point(|start| *start <= at).max(1)
    }

    fn start(&self, line: usize) -> usize {
        self.0
            .get(line.saturating_sub(1))
            .copied()
            .unwrap_or_default()
    }
}

/// Turns offsets that only grow into lines and columns, in one pass over the text: a file with a
/// thousand errors in one long line is still linear.
pub(crate) struct Cursor<'t> {
    text: &'t str,
    lines: Lines,
    at: usize,
    line: usize,
    column: usize,
}

impl<'t> Cursor<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Self {
            text,
            lines: Lines::new(text),
            at: 0,
            line: 1,
            column: 1,
        }
    }

    /// Line and column of a byte at or after the last one requested, both from 1, the column in
    /// characters.
    pub(crate) fn advance(&mut self, at: usize) -> (usize, usize) {
        let at = at.min(self.text.len());
        let line = self.lines.line(at);
        if line != self.line {
            (self.line, self.at, self.column) = (line, self.lines.start(line), 1);
        }
        if let Some(between) = self.text.as_bytes().get(self.at..at) {
            // Every character has exactly one byte that is not UTF-8 continuation.
            self.column += between.iter().filter(|b| **b & 0xC0 != 0x80).count();
            self.at = at;
        }
        (self.line, self.column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_from_one() {
        let text = "ab\näöx = 1\n\nlast";
        let mut cursor = Cursor::new(text);
        assert_eq!(cursor.advance(0), (1, 1));
        assert_eq!(cursor.advance(1), (1, 2));
        assert_eq!(cursor.advance(2), (1, 3));
        assert_eq!(cursor.advance(3), (2, 1));
        assert_eq!(cursor.advance(7), (2, 3));
        assert_eq!(cursor.advance(text.find("last").unwrap()), (4, 1));
        assert_eq!(cursor.advance(text.len()), (4, 5));
        assert_eq!(cursor.advance(usize::MAX), (4, 5));
    }

    #[test]
    fn every_byte_has_its_line() {
        let lines = Lines::new("a\nb\n");
        assert_eq!([0, 1, 2, 3, 4].map(|at| lines.line(at)), [1, 1, 2, 2, 3]);
    }
}
