//! The Markdown of this repository's documents as man(7): headings, paragraphs, lists, fenced text and
//! tables, which become lists of terms, since a terminal is narrow.

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};
use roff::{Inline, Roff, bold, italic, line_break, roman};

/// The page's text without the document's title.
pub(crate) fn as_roff(markdown: &str) -> Roff {
    let mut page = Page::default();
    for event in Parser::new_ext(markdown, Options::ENABLE_TABLES) {
        page.take(event);
    }
    page.out
}

#[derive(Default)]
struct Page {
    out: Roff,
    /// What the current paragraph, heading or cell consists of so far.
    text: Vec<Inline>,
    font: Font,
    /// The next paragraph is the first one of a list item.
    begins_item: bool,
    fenced: bool,
    table: Table,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Font {
    #[default]
    Roman,
    Bold,
    Italic,
}

#[derive(Default)]
struct Table {
    heads: Vec<String>,
    /// The cells of the current row.
    cells: Vec<Vec<Inline>>,
}

impl Page {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(&tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) if self.fenced => self.lines(&text),
            // Markdown takes `<uid>` for HTML, and these documents have none.
            Event::Text(text) | Event::Html(text) | Event::InlineHtml(text) => self.write(&text),
            Event::Code(code) => self.text.push(bold(code.as_ref())),
            Event::SoftBreak => self.write(" "),
            Event::HardBreak => self.text.push(line_break()),
            _ => {}
        }
    }

    fn start(&mut self, tag: &Tag<'_>) {
        match tag {
            Tag::Item => {
                self.begins_item = true;
            }
            Tag::CodeBlock(_) => {
                self.fenced = true;
                self.out.control("PP", []).control("RS", ["4"]);
                self.out.control("EX", []);
            }
            // A list below an item's text, which ends nowhere else.
            Tag::List(_) => self.paragraph(),
            Tag::Strong => self.font = Font::Bold,
            Tag::Emphasis => self.font = Font::Italic,
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Heading(level) => self.heading(level),
            TagEnd::Paragraph | TagEnd::Item | TagEnd::HtmlBlock => self.paragraph(),
            TagEnd::CodeBlock => {
                self.fenced = false;
                self.out.control("EE", []).control("RE", []);
            }
            TagEnd::Strong | TagEnd::Emphasis => self.font = Font::Roman,
            TagEnd::TableCell => self.table.cells.push(std::mem::take(&mut self.text)),
            TagEnd::TableHead => {
                let cells = std::mem::take(&mut self.table.cells);
                self.table.heads = cells.iter().map(|cell| plain(cell)).collect();
            }
            TagEnd::TableRow => self.row(),
            _ => {}
        }
    }

    fn write(&mut self, text: &str) {
        self.text.push(match self.font {
            Font::Roman => roman(text),
            Font::Bold => bold(text),
            Font::Italic => italic(text),
        });
    }

    fn heading(&mut self, level: HeadingLevel) {
        let text = plain(&std::mem::take(&mut self.text));
        match level {
            HeadingLevel::H1 => {}
            HeadingLevel::H2 => {
                self.out
                    .control("SH", [argument(&text.to_uppercase()).as_str()]);
            }
            _ => {
                self.out.control("SS", [argument(&text).as_str()]);
            }
        }
    }

    fn paragraph(&mut self) {
        if self.text.is_empty() {
            return;
        }
        if std::mem::take(&mut self.begins_item) {
            self.out.control("IP", ["\\(bu", "2"]);
        } else {
            self.out.control("PP", []);
        }
        self.out.text(std::mem::take(&mut self.text));
    }

    fn lines(&mut self, text: &str) {
        for line in text.lines() {
            self.out.text([roman(line)]);
        }
    }

    /// A table's first column is the term; the others are shown with their head, the second without.
    fn row(&mut self) {
        let mut cells = std::mem::take(&mut self.table.cells).into_iter();
        let Some(term) = cells.next() else {
            return;
        };
        self.out.control("TP", []).text([bold(plain(&term))]);
        for (place, mut cell) in cells.enumerate().filter(|(_, cell)| !cell.is_empty()) {
            if place > 0 {
                let head = self.table.heads.get(place + 1);
                let head = head.map_or(String::new(), |head| capital(head));
                cell.insert(0, roman(format!("{head}: ")));
            }
            if !plain(&cell).ends_with('.') {
                cell.push(roman("."));
            }
            self.out.text(cell);
        }
    }
}

/// The words without their fonts.
fn plain(text: &[Inline]) -> String {
    let words = text.iter().map(|inline| match inline {
        Inline::Roman(text) | Inline::Bold(text) | Inline::Italic(text) => text.as_str(),
        Inline::LineBreak => " ",
    });
    words.collect()
}

/// An argument of a macro, which the crate takes as it is.
fn argument(text: &str) -> String {
    text.replace('\\', "\\e")
        .replace('-', "\\-")
        .replace('"', "\\(dq")
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::as_roff;

    #[test]
    fn what_the_documents_use_becomes_macros() {
        let page = as_roff(
            "# Title\n\nOne `--flag`\nand [a link](x.md).\n\n## The \"keys\"\n\n- **first.** one\n  more\n- second\n\n```sh\n.run 'it'\n```\n",
        );
        assert_eq!(
            page.to_roff(),
            ".PP\nOne \\fB\\-\\-flag\\fR and a link.\n.SH \"THE \\(dqKEYS\\(dq\"\n.IP \\(bu 2\n\
             \\fBfirst.\\fR one more\n.IP \\(bu 2\nsecond\n.PP\n.RS 4\n.EX\n\\&.run 'it'\n.EE\n.RE\n"
        );
    }

    #[test]
    fn a_table_becomes_terms() {
        let page = as_roff(
            "| key | means | default |\n|---|---|---|\n| `uids` | a list | `[]` |\n| `x` | y | |\n",
        );
        assert_eq!(
            page.to_roff(),
            ".TP\n\\fBuids\\fR\na list.\nDefault: \\fB[]\\fR.\n.TP\n\\fBx\\fR\ny.\n"
        );
    }

    #[test]
    fn a_list_in_brackets_is_no_link_and_a_name_in_angle_brackets_stays() {
        assert_eq!(
            as_roff("`uids = [\"1\"]` [tenants] a\\b 2 * 3 <uid>").to_roff(),
            ".PP\n\\fBuids = [\"1\"]\\fR [tenants] a\\\\b 2 * 3 <uid>\n"
        );
    }

    #[test]
    fn a_list_in_a_list_keeps_its_items() {
        assert_eq!(
            as_roff("- one\n  - two\n- three\n").to_roff(),
            ".IP \\(bu 2\none\n.IP \\(bu 2\ntwo\n.IP \\(bu 2\nthree\n"
        );
    }
}
