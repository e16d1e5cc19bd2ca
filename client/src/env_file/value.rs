//! One value: its three notations, and the references in it.

/// References may stand in the default of a reference, this deep.
const MAX_NESTING: usize = 8;

/// A parsed value.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Value {
    raw: String,
    pub(super) segments: Vec<Segment>,
}

/// A piece of a value.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Segment {
    /// Taken as it is.
    Text(String),
    /// `${NAME}` in one of its forms.
    Reference(Reference),
}

/// `${NAME}`, `${NAME:-default}`, `${NAME-default}`, `${NAME:?message}`, `${NAME:+alternative}`, …
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Reference {
    pub(super) name: String,
    /// Column of its `$`, from 1.
    pub(super) column: usize,
    pub(super) form: Form,
    /// With the colon: an empty value counts as unset.
    pub(super) empty_is_unset: bool,
}

/// What happens when the name is set, or is not.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Form {
    /// Unset is an error.
    Plain,
    /// This instead, when it is unset.
    Default(Vec<Segment>),
    /// Unset is an error with this message.
    Required(String),
    /// This when it is set, nothing when it is unset.
    Alternative(Vec<Segment>),
}

/// An error: column from 1, and what it is.
type ParseError = (usize, String);

impl Value {
    /// A value without references.
    pub(super) fn literal(text: &str) -> Self {
        Self {
            raw: text.to_owned(),
            segments: text_segments(text.to_owned()),
        }
    }

    /// The value without its quotes, with its references as they stand.
    pub(super) fn raw(&self) -> &str {
        &self.raw
    }

    /// Adds the name of every reference in it.
    pub(super) fn names<'a>(&'a self, found: &mut Vec<&'a str>) {
        names(&self.segments, found);
    }

    /// True when this is `text` without any reference.
    pub(super) fn same_literal(&self, text: &str) -> bool {
        self.segments == text_segments(text.to_owned())
    }

    /// Parses the value at the start of `text`, which starts at `column`; also returns the bytes it
    /// takes. What follows is blank or a comment.
    pub(super) fn parse(text: &str, column: usize) -> Result<(Self, usize), ParseError> {
        match text.chars().next() {
            Some('\'') => single_quoted(text, column),
            Some('"') => double_quoted(text, column),
            _ => unquoted(text, column),
        }
    }
}

/// Writes a value so that [`Value::parse`] reads the same text, with no reference in it.
pub(super) fn quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@%+,=*~^".contains(c);
    if text.chars().all(plain) {
        return text.to_owned();
    }
    if !text.contains(['\'', '\n', '\r']) {
        return format!("'{text}'");
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '\\' | '"' | '$' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            _ => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn names<'a>(segments: &'a [Segment], found: &mut Vec<&'a str>) {
    for segment in segments {
        if let Segment::Reference(reference) = segment {
            found.push(&reference.name);
            if let Form::Default(inner) | Form::Alternative(inner) = &reference.form {
                names(inner, found);
            }
        }
    }
}

fn text_segments(text: String) -> Vec<Segment> {
    if text.is_empty() {
        Vec::new()
    } else {
        vec![Segment::Text(text)]
    }
}

fn single_quoted(text: &str, column: usize) -> Result<(Value, usize), ParseError> {
    let inner = text.get(1..).unwrap_or_default();
    let Some((literal, rest)) = inner.split_once('\'') else {
        return Err((column, "the single quote is never closed".to_owned()));
    };
    let end = text.len() - rest.len();
    nothing_behind(text, end, column)?;
    Ok((Value::literal(literal), end))
}

fn double_quoted(text: &str, column: usize) -> Result<(Value, usize), ParseError> {
    let mut reader = Reader::new(text, column);
    reader.next();
    let mut raw = String::new();
    let segments = reader.segments(Until::Quote, 0, &mut raw)?;
    if reader.next() != Some('"') {
        return Err((column, "the double quote is never closed".to_owned()));
    }
    let end = reader.offset();
    nothing_behind(text, end, column)?;
    Ok((Value { raw, segments }, end))
}

fn unquoted(text: &str, column: usize) -> Result<(Value, usize), ParseError> {
    let comment = text
        .char_indices()
        .zip(std::iter::once(' ').chain(text.chars()))
        .find(|((_, c), before)| *c == '#' && matches!(before, ' ' | '\t'))
        .map_or(text.len(), |((at, _), _)| at);
    let content = text.get(..comment).unwrap_or_default().trim_end();
    let mut reader = Reader::new(content, column);
    let mut raw = String::new();
    let segments = reader.segments(Until::End, 0, &mut raw)?;
    Ok((Value { raw, segments }, content.len()))
}

/// Behind a quoted value may stand blanks and a comment.
fn nothing_behind(text: &str, end: usize, column: usize) -> Result<(), ParseError> {
    let behind = text.get(end..).unwrap_or_default().trim();
    if behind.is_empty() || behind.starts_with('#') {
        return Ok(());
    }
    let at = column + text.get(..end).map_or(0, |value| value.chars().count());
    Err((at, "unexpected text after the closing quote".to_owned()))
}

/// What ends a run of segments.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    /// The end of the text.
    End,
    /// A double quote; backslash escapes hold inside.
    Quote,
    /// The `}` of a reference, in an unquoted value.
    Brace,
    /// The `}` of a reference, in a double-quoted value.
    QuotedBrace,
}

impl Until {
    fn escapes(self) -> bool {
        matches!(self, Self::Quote | Self::QuotedBrace)
    }

    fn ends(self, c: char) -> bool {
        match self {
            Self::End => false,
            Self::Quote => c == '"',
            Self::Brace => c == '}',
            Self::QuotedBrace => c == '}' || c == '"',
        }
    }

    fn inner(self) -> Self {
        if self.escapes() {
            Self::QuotedBrace
        } else {
            Self::Brace
        }
    }
}

/// Walks over the characters of a value.
struct Reader<'a> {
    text: &'a str,
    rest: std::str::Chars<'a>,
    column: usize,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str, column: usize) -> Self {
        Self {
            text,
            rest: text.chars(),
            column,
        }
    }

    fn peek(&self) -> Option<char> {
        self.rest.clone().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.rest.next();
        self.column += usize::from(next.is_some());
        next
    }

    /// Bytes read so far.
    fn offset(&self) -> usize {
        self.text.len() - self.rest.as_str().len()
    }

    /// Reads up to (not over) what ends the run. `raw` collects the decoded text.
    fn segments(
        &mut self,
        until: Until,
        depth: usize,
        raw: &mut String,
    ) -> Result<Vec<Segment>, ParseError> {
        let mut segments = Vec::new();
        let mut text = String::new();
        while let Some(c) = self.peek() {
            if until.ends(c) {
                break;
            }
            let column = self.column;
            self.next();
            if c == '$' && self.peek() == Some('{') {
                if !text.is_empty() {
                    segments.push(Segment::Text(std::mem::take(&mut text)));
                }
                let reference = self.reference(until, column, depth, raw)?;
                segments.push(Segment::Reference(reference));
                continue;
            }
            let decoded = if c == '\\' && until.escapes() {
                self.escape(column)?
            } else {
                c
            };
            text.push(decoded);
            raw.push(decoded);
        }
        if !text.is_empty() {
            segments.push(Segment::Text(text));
        }
        Ok(segments)
    }

    fn escape(&mut self, column: usize) -> Result<char, ParseError> {
        match self.next() {
            Some(c @ ('\\' | '"' | '$')) => Ok(c),
            Some('n') => Ok('\n'),
            _ => Err((
                column,
                "in double quotes a backslash may only precede \\, \", $ or n".to_owned(),
            )),
        }
    }

    /// Reads a reference whose `$` has been read.
    fn reference(
        &mut self,
        until: Until,
        column: usize,
        depth: usize,
        raw: &mut String,
    ) -> Result<Reference, ParseError> {
        if depth >= MAX_NESTING {
            return Err((column, "references are nested too deeply".to_owned()));
        }
        self.next();
        let mut name = String::new();
        while let Some(c) = self
            .peek()
            .filter(|c| c.is_ascii_alphanumeric() || *c == '_')
        {
            name.push(c);
            self.next();
        }
        if !super::is_key(&name) {
            return Err((
                column,
                "`${` is not followed by the name of a key".to_owned(),
            ));
        }
        raw.push_str("${");
        raw.push_str(&name);
        let empty_is_unset = self.peek() == Some(':');
        if empty_is_unset {
            raw.push(':');
            self.next();
        }
        let form = self.form(until, depth, raw, empty_is_unset, column)?;
        if self.next() != Some('}') {
            return Err((column, format!("`${{{name}` is never closed by a brace")));
        }
        raw.push('}');
        Ok(Reference {
            name,
            column,
            form,
            empty_is_unset,
        })
    }

    fn form(
        &mut self,
        until: Until,
        depth: usize,
        raw: &mut String,
        colon: bool,
        column: usize,
    ) -> Result<Form, ParseError> {
        let operator = self.peek();
        if matches!(operator, Some('}') | None) && !colon {
            return Ok(Form::Plain);
        }
        let Some(operator @ ('-' | '?' | '+')) = operator else {
            return Err((
                column,
                "a reference is ${KEY}, ${KEY:-default}, ${KEY:?message} or ${KEY:+alternative}"
                    .to_owned(),
            ));
        };
        self.next();
        raw.push(operator);
        let before = raw.len();
        let inner = self.segments(until.inner(), depth + 1, raw)?;
        Ok(match operator {
            '-' => Form::Default(inner),
            '+' => Form::Alternative(inner),
            _ => Form::Required(raw.get(before..).unwrap_or_default().to_owned()),
        })
    }
}
