//! The AppArmor profiles of a tenant: what the tenant may write, and what is loaded in its place.
//!
//! The tenant's text is never loaded. [`vet`] reads a small line-oriented subset of apparmor.d(5)
//! into closed types, or refuses with a [`Code`], a line and a fixed sentence; [`Vetted::render`]
//! writes the profile from those types: a fixed header, the tenant's rules in their canonical
//! form, and the mandatory baseline, whose denies nothing in the subset can override.
//!
//! The way of a source: `lines` bounds it and takes the comments away, `source` knows its shape,
//! `rule` and `path` parse one rule each, `baseline` and `render` write. The grammar in words,
//! with the reason of each limit, is docs/apparmor.md.

mod abi;
mod baseline;
mod lines;
mod names;
mod path;
mod perms;
mod refusal;
mod render;
mod rule;
mod sockets;
mod source;
mod template;
mod words;

#[cfg(test)]
mod tests;

pub use abi::Abi;
pub use lines::{MAX_LINE_BYTES, MAX_LINES, MAX_SOURCE_BYTES};
pub use names::{Kind, Names};
pub use refusal::{Code, Refusal};
pub use render::{Vetted, render_base};
pub use source::{MAX_RULES, vet};
pub use template::template;

/// Name of the source file in `BASE_DIR/apparmor`: the name of the profile itself.
#[must_use]
pub fn file_name(kind: Kind, names: &Names) -> &str {
    names.name(kind)
}

/// True when the kernel enforces the profile `name`, by the text of
/// `/sys/kernel/security/apparmor/profiles`: one `NAME (MODE)` a line. Only a whole line counts,
/// because a name may hold blanks and brackets itself.
#[must_use]
pub fn is_loaded(profiles_text: &str, name: &str) -> bool {
    profiles_text
        .lines()
        .any(|line| line.strip_suffix(" (enforce)") == Some(name))
}
