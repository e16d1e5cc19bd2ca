//! Text with at most one `{uid}`, and how a family of such texts relates to a fixed one.

const PLACEHOLDER: &str = "{uid}";

/// `/mnt/data-tenant-{uid}`, `tenant-{uid}.example.com`, …
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template(String);

/// How the texts of a template meet a fixed text, compared part by part: directories by component,
/// domains by label from the right, names as one part. To meet is to be equal or to lie inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relation {
    /// No UID's text meets it.
    Apart,
    /// The text of this UID does.
    One(u32),
    /// The text of every UID does.
    All,
}

impl Template {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let rest = text.replacen(PLACEHOLDER, "", 1);
        if rest.contains(PLACEHOLDER) {
            return Err("{uid} may appear only once".to_owned());
        }
        if rest.contains(['{', '}']) {
            return Err(format!("{text:?} has a brace that is not part of {{uid}}"));
        }
        Ok(Self(text.to_owned()))
    }

    /// A template of this program itself.
    pub(crate) fn known(text: &'static str) -> Self {
        Self(text.to_owned())
    }

    pub(crate) fn has_uid(&self) -> bool {
        self.0.contains(PLACEHOLDER)
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn fill(&self, uid: u32) -> String {
        self.0.replacen(PLACEHOLDER, &uid.to_string(), 1)
    }
}

impl Relation {
    /// Compares a template with a fixed text, both in parts.
    pub(crate) fn of<'p>(
        template: impl Iterator<Item = &'p str>,
        fixed: impl Iterator<Item = &'p str>,
    ) -> Self {
        let mut relation = Self::All;
        for (pattern, part) in template.zip(fixed) {
            match pattern.split_once(PLACEHOLDER) {
                None if pattern == part => {}
                None => return Self::Apart,
                Some((before, after)) => match uid_between(part, before, after) {
                    Some(uid) => relation = Self::One(uid),
                    None => return Self::Apart,
                },
            }
        }
        relation
    }
}

/// The UID that makes `part` of `before{uid}after`.
fn uid_between(part: &str, before: &str, after: &str) -> Option<u32> {
    let digits = part.strip_prefix(before)?.strip_suffix(after)?;
    let uid: u32 = digits.parse().ok()?;
    (uid.to_string() == digits).then_some(uid)
}
