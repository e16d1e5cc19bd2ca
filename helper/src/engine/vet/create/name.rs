//! Names of containers: what stands in them says whose they are.

use aistack_policy::{Grant, Refusal, Rule};

use super::super::json::shown;

/// The longest name that a caller chooses, bytes.
pub(super) const MAX_NAME: usize = 128;

/// Digits of an id before the underscore, in the name that docker compose gives a container's successor.
const ID_DIGITS: usize = 12;

/// The longest name that a container can have: one of a caller's choice, and what compose puts before it.
pub(in crate::engine) const MAX_NAME_AND_ID: usize = MAX_NAME + ID_DIGITS + 1;

/// True for a name of this tenant: `tenant-<uid>-` and `[a-zA-Z0-9_.-]`, at most 128 bytes. The
/// prefix starts with `tenant-`, so that none is shaped like an id.
///
/// docker compose replaces a container by making `<12 hex of the old id>_<name>`, removing the old
/// one and renaming. Such a name is the tenant's whose name is in it: the place of the prefix is
/// fixed, so none belongs to two, and the underscore keeps it from being an id.
#[must_use]
pub fn is_own_name(grant: &Grant, name: &str) -> bool {
    let successor_of = name.split_at_checked(ID_DIGITS).and_then(|(id, rest)| {
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        rest.strip_prefix('_').filter(|_| id.bytes().all(hex))
    });
    let name = successor_of.unwrap_or(name);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    name.len() <= MAX_NAME
        && name
            .strip_prefix(grant.container_prefix.as_str())
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(plain))
}

/// Checks a container name from a query: see [`is_own_name`].
///
/// # Errors
/// `CONTAINER_NAME_REFUSED`.
pub fn container_name<'a>(grant: &Grant, name: &'a str) -> Result<&'a str, Refusal> {
    if is_own_name(grant, name) {
        return Ok(name);
    }
    let message = if name.is_empty() {
        "the container has no name".to_owned()
    } else {
        format!(
            "the container name \"{}\" is not this tenant's",
            shown(name)
        )
    };
    let prefix = &grant.container_prefix;
    let rule = Rule::builtin("container-name");
    Err(
        Refusal::new("CONTAINER_NAME_REFUSED", message, rule).with_hint(format!(
            "choose a name of at most {MAX_NAME} letters, digits and _.- that starts with {prefix}, by --name \
             or, with docker compose, by container_name or by -p {prefix}x (COMPOSE_PROJECT_NAME)"
        )),
    )
}
