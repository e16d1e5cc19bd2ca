//! JSON as the gateway reads it: one value, exact keys, no duplicates under Go's case folding.

use aistack_policy::{Refusal, Rule};
use serde::de::DeserializeOwned;

/// The largest body, bytes; the docker command sends less than 2 KiB.
pub const MAX_BODY: usize = 256 << 10;

/// Reads one JSON value into a closed type (`deny_unknown_fields`).
///
/// # Errors
/// `BAD_JSON` for anything that Go's decoder and ours could read differently: duplicate keys
/// (exact, ASCII case, U+017F, U+212A), trailing bytes, depth over 32, size over [`MAX_BODY`].
pub fn strict<T: DeserializeOwned>(_body: &[u8]) -> Result<T, Refusal> {
    Err(Refusal::new(
        "BAD_JSON",
        "not written yet",
        Rule::builtin("strict-json"),
    ))
}
