//! The Markdown of this repository's documents as man(7): headings, paragraphs, lists, fenced text and
//! tables, which become lists of terms, since a terminal is narrow.

use std::fmt::Write as _;

/// The page's text, from the first second-level heading or paragraph on; the title is left out.
pub(crate) fn from_markdown(markdown: &str) -> String {
    let mut page = Page::default();
    for line in markdown.lines() {
        page.take(line);
    }
    page.end_block();
    page.out
}

#[derive(Default)]
struct Page {
    out: String,
    block: Block,
    /// Text of a paragraph or list item that may go on with the next line.
    text: String,
}

#[derive(Default, PartialEq, Eq)]
enum Block {
    #[default]
    None,
    Paragraph,
    Item,
    Fenced,
    /// The column heads, once they are read.
    Table(Vec<String>),
}

impl Page {
    fn take(&mut self, line: &str) {
        if self.block == Block::Fenced {
            return self.fenced(line);
        }
        let trimmed = line.trim_start();
        if trimmed.starts_with("```") {
            self.end_block();
            self.out.push_str(".PP\n.RS 4\n.EX\n");
            self.block = Block::Fenced;
        } else if let Some(heading) = trimmed.strip_prefix("### ") {
            self.heading(".SS", heading);
        } else if let Some(heading) = trimmed.strip_prefix("## ") {
            self.heading(".SH", &heading.to_uppercase());
        } else if trimmed.is_empty() || trimmed.starts_with("# ") {
            self.end_block();
        } else if trimmed.starts_with('|') {
            self.row(trimmed);
        } else if let Some(item) = trimmed.strip_prefix("- ") {
            self.end_block();
            self.block = Block::Item;
            item.clone_into(&mut self.text);
        } else {
            if self.block == Block::None {
                self.block = Block::Paragraph;
            } else {
                self.text.push(' ');
            }
            self.text.push_str(trimmed);
        }
    }

    fn fenced(&mut self, line: &str) {
        if line.trim_start().starts_with("```") {
            self.out.push_str(".EE\n.RE\n");
            self.block = Block::None;
        } else {
            self.line(&escaped(line));
        }
    }

    fn heading(&mut self, macro_name: &str, heading: &str) {
        self.end_block();
        let heading = inline(heading).replace('"', "\\(dq");
        self.line_of(&format!("{macro_name} \"{heading}\""));
    }

    /// A table's first column is the term; the others are told with their head, the second without.
    fn row(&mut self, row: &str) {
        let cells = cells(row);
        if row.chars().all(|c| matches!(c, '|' | '-' | ':' | ' ')) && row.contains('-') {
            return;
        }
        let Block::Table(heads) = &self.block else {
            self.end_block();
            self.block = Block::Table(cells);
            return;
        };
        let Some((term, rest)) = cells.split_first() else {
            return;
        };
        let mut text = format!(".TP\n\\fB{}\\fR\n", inline(&term.replace('`', "")));
        for (place, cell) in rest.iter().enumerate() {
            let head = heads.get(place + 1).map_or("", String::as_str);
            match (place, cell.as_str()) {
                (_, "") => {}
                (0, cell) => {
                    text.push_str(&start(&format!("{}.", inline(cell).trim_end_matches('.'))));
                }
                (_, cell) => {
                    // Writing to a String cannot fail.
                    let _ = write!(text, "\n{}: {}.", capital(head), inline(cell));
                }
            }
        }
        self.line_of(&text);
    }

    fn end_block(&mut self) {
        let text = inline(&std::mem::take(&mut self.text));
        match std::mem::take(&mut self.block) {
            Block::Paragraph => {
                self.out.push_str(".PP\n");
                self.line(&text);
            }
            Block::Item => {
                self.out.push_str(".IP \\(bu 2\n");
                self.line(&text);
            }
            Block::None | Block::Fenced | Block::Table(_) => {}
        }
    }

    fn line(&mut self, text: &str) {
        let text = start(text);
        self.line_of(&text);
    }

    fn line_of(&mut self, text: &str) {
        self.out.push_str(text);
        self.out.push('\n');
    }
}

fn cells(row: &str) -> Vec<String> {
    let inner = row.trim().trim_start_matches('|').trim_end_matches('|');
    inner
        .split('|')
        .map(|cell| cell.trim().to_owned())
        .collect()
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

/// A line that begins with a dot or an apostrophe would be a request.
fn start(text: &str) -> String {
    if text.starts_with(['.', '\'']) {
        format!("\\&{text}")
    } else {
        text.to_owned()
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}

/// `code` and **strong** words bold, *words* in italics, links as their text.
fn inline(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['`', '*', '[']) {
        out.push_str(&escaped(&rest[..at]));
        rest = &rest[at..];
        let taken = span(rest, "`", "`", "\\fB")
            .or_else(|| span(rest, "**", "**", "\\fB"))
            .or_else(|| span(rest, "*", "*", "\\fI"))
            .or_else(|| link(rest));
        let (piece, length) = taken.unwrap_or_else(|| (escaped(&rest[..1]), 1));
        out.push_str(&piece);
        rest = &rest[length..];
    }
    out.push_str(&escaped(rest));
    out
}

fn span(text: &str, open: &str, close: &str, font: &str) -> Option<(String, usize)> {
    let inner = text.strip_prefix(open)?;
    let end = inner.find(close).filter(|end| *end > 0)?;
    let length = open.len() + end + close.len();
    Some((format!("{font}{}\\fR", escaped(&inner[..end])), length))
}

fn link(text: &str) -> Option<(String, usize)> {
    let (label, after) = text.strip_prefix('[')?.split_once("](")?;
    let (target, _) = after.split_once(')')?;
    let plain = !label.contains(['[', '\n']) && !target.contains(char::is_whitespace);
    plain.then(|| (inline(label), label.len() + target.len() + 4))
}

#[cfg(test)]
mod tests {
    use super::from_markdown;

    #[test]
    fn what_the_documents_use_becomes_macros() {
        let page = from_markdown(
            "# Title\n\nOne `--flag`\nand [a link](x.md).\n\n## Keys\n\n- **first.** one\n  more\n- second\n\n```sh\n.run 'it'\n```\n",
        );
        assert_eq!(
            page,
            ".PP\nOne \\fB\\-\\-flag\\fR and a link.\n.SH \"KEYS\"\n.IP \\(bu 2\n\\fBfirst.\\fR one more\n\
             .IP \\(bu 2\nsecond\n.PP\n.RS 4\n.EX\n\\&.run 'it'\n.EE\n.RE\n"
        );
    }

    #[test]
    fn a_table_becomes_terms() {
        let page = from_markdown(
            "| key | means | default |\n|---|---|---|\n| `uids` | a list | `[]` |\n| `x` | y | |\n",
        );
        assert_eq!(
            page,
            ".TP\n\\fBuids\\fR\na list.\nDefault: \\fB[]\\fR.\n.TP\n\\fBx\\fR\ny.\n"
        );
    }

    #[test]
    fn a_list_in_brackets_is_no_link_and_a_backslash_no_escape() {
        assert_eq!(
            from_markdown("`uids = [\"1\"]` [tenants] a\\b 2 * 3"),
            ".PP\n\\fBuids = [\"1\"]\\fR [tenants] a\\eb 2 * 3\n"
        );
    }
}
