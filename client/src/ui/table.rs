//! Plain aligned columns.

use super::{Paint, Tone};

/// Rows under a heading; every column as wide as its widest cell.
#[derive(Debug, Clone, Default)]
pub struct Table {
    rows: Vec<Vec<(String, Option<Tone>)>>,
}

impl Table {
    /// A table with these headings.
    #[must_use]
    pub fn new(headings: &[&str]) -> Self {
        let heading = headings
            .iter()
            .map(|text| ((*text).to_owned(), Some(Tone::Strong)))
            .collect();
        Self {
            rows: vec![heading],
        }
    }

    /// A table without headings.
    #[must_use]
    pub fn plain() -> Self {
        Self::default()
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = (String, Option<Tone>)>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Adds a row without colour.
    pub fn text<const N: usize>(&mut self, cells: [&str; N]) {
        self.row(cells.map(|cell| (cell.to_owned(), None)));
    }

    /// The table as text, each line ended.
    #[must_use]
    pub fn render(&self, paint: Paint) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                cells
                    .map(|(text, _)| text.chars().count())
                    .max()
                    .unwrap_or_default()
            })
            .collect();
        let mut out = String::new();
        for row in &self.rows {
            let mut line = String::new();
            let mut pending = 0;
            for ((text, tone), width) in row.iter().zip(&widths) {
                if !text.is_empty() {
                    line.extend(std::iter::repeat_n(' ', pending));
                    pending = 0;
                    match tone {
                        Some(tone) => line.push_str(&paint.paint(*tone, text)),
                        None => line.push_str(text),
                    }
                }
                pending += width - text.chars().count() + 2;
            }
            out.push_str(&line);
            out.push('\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_have_no_trailing_space() {
        let mut table = Table::new(&["SERVICE", "STATE", "URL"]);
        table.text(["n8n", "running", ""]);
        table.text(["prometheus", "", "http://x"]);
        let text = table.render(Paint::new(false));
        assert_eq!(
            text,
            "SERVICE     STATE    URL\nn8n         running\nprometheus           http://x\n"
        );
    }

    #[test]
    fn colour_does_not_count_as_width() {
        let mut table = Table::plain();
        table.row([("bad".to_owned(), Some(Tone::Bad)), ("x".to_owned(), None)]);
        let painted = table.render(Paint::new(true));
        assert!(painted.ends_with("\u{1b}[0m  x\n"), "{painted:?}");
    }
}
