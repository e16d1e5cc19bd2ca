//! The API version before a path.

use aistack_policy::{Refusal, Rule};

/// The API versions that a caller may put before a path; all mean the same here.
const MINOR_VERSIONS: std::ops::RangeInclusive<u32> = 24..=41;

/// Digits of a part of a version, at most.
const MAX_DIGITS: usize = 4;

/// Whether a path's first segment is a version that is offered, written in one way only. What is no
/// version is judged as a path.
///
/// # Errors
/// `BAD_VERSION` for any other version, in Docker's own words: clients tell by them what to do.
pub(super) fn check(segment: &str) -> Result<bool, Refusal> {
    let Some((major, minor)) = parts(segment) else {
        return Ok(false);
    };
    let (least, most) = (*MINOR_VERSIONS.start(), *MINOR_VERSIONS.end());
    let message = if (major, minor) < (1, least) {
        format!(
            "client version {major}.{minor} is too old. Minimum supported API version is 1.{least}, \
             please upgrade your client to a newer version"
        )
    } else if (major, minor) > (1, most) {
        format!(
            "client version {major}.{minor} is too new. Maximum supported API version is 1.{most}"
        )
    } else {
        return Ok(true);
    };
    Err(Refusal::new(
        "BAD_VERSION",
        message,
        Rule::builtin("api-version"),
    ))
}

/// `v1.44`, without leading zeros.
fn parts(segment: &str) -> Option<(u32, u32)> {
    let (major, minor) = segment.strip_prefix('v')?.split_once('.')?;
    let number = |digits: &str| {
        let plain = (1..=MAX_DIGITS).contains(&digits.len())
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && (digits == "0" || !digits.starts_with('0'));
        digits.parse().ok().filter(|_| plain)
    };
    Some((number(major)?, number(minor)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_versions_in_between_are_offered() {
        for segment in ["v1.24", "v1.40", "v1.41"] {
            assert!(check(segment).unwrap(), "{segment}");
        }
    }

    #[test]
    fn other_versions_are_refused_in_dockers_words() {
        for (segment, words) in [
            (
                "v1.44",
                "client version 1.44 is too new. Maximum supported API version is 1.41",
            ),
            (
                "v2.0",
                "client version 2.0 is too new. Maximum supported API version is 1.41",
            ),
            (
                "v1.23",
                "client version 1.23 is too old. Minimum supported API version is 1.24, please \
                 upgrade your client to a newer version",
            ),
            (
                "v0.99",
                "client version 0.99 is too old. Minimum supported API version is 1.24, please \
                 upgrade your client to a newer version",
            ),
        ] {
            let refusal = check(segment).unwrap_err();
            assert_eq!(refusal.reason, "BAD_VERSION", "{segment}");
            assert_eq!(refusal.message, words, "{segment}");
        }
    }

    #[test]
    fn what_is_spelled_otherwise_is_no_version() {
        for segment in [
            "v1", "v1.", "v.41", "v", "1.41", "V1.41", "v1.041", "v01.41", "v1.41.0", "v1.4a",
            "v1.-41", "v1.+41", "v1.99999", "v1.41-", "version",
        ] {
            assert!(!check(segment).unwrap(), "{segment}");
        }
    }
}
