//! The API version before a path.

use aistack_policy::engine::ApiVersion;
use aistack_policy::{Refusal, Rule};

/// The versions that a caller may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offered {
    /// The newest: what is spoken with the engine.
    pub newest: ApiVersion,
    /// What a path without a version means.
    pub unnamed: ApiVersion,
}

impl Offered {
    /// The oldest that is offered. Before it, a start could bring a body.
    pub const OLDEST: ApiVersion = ApiVersion::v1(24);

    /// All that are ever offered.
    pub const ALL: Self = Self {
        newest: ApiVersion::NEWEST_SPOKEN,
        unnamed: ApiVersion::NEWEST_SPOKEN,
    };

    /// What is offered with an engine that is spoken to under `spoken`. Until that is known, what
    /// any engine may have is let through, and no path without a version means more than every
    /// engine has.
    #[must_use]
    pub fn with(spoken: Option<ApiVersion>) -> Self {
        Self {
            newest: spoken.unwrap_or(ApiVersion::NEWEST_SPOKEN),
            unnamed: spoken.unwrap_or(ApiVersion::OLDEST_SPOKEN),
        }
    }

    /// Checks a version that a caller asks for.
    ///
    /// # Errors
    /// `BAD_VERSION`, in Docker's own words: clients tell by them what to do.
    pub fn check(self, requested: ApiVersion) -> Result<(), Refusal> {
        let message = if requested < Self::OLDEST {
            format!(
                "client version {requested} is too old. Minimum supported API version is {}, please \
                 upgrade your client to a newer version",
                Self::OLDEST
            )
        } else if requested > self.newest {
            format!(
                "client version {requested} is too new. Maximum supported API version is {}",
                self.newest
            )
        } else {
            return Ok(());
        };
        let rule = Rule::builtin("api-version");
        Err(Refusal::new("BAD_VERSION", message, rule))
    }
}

/// The version that a path's first segment is, written in one way only: `v1.44`, without leading
/// zeros. What is not a version is judged as a path.
pub(super) fn read(segment: &str) -> Option<ApiVersion> {
    let text = segment.strip_prefix('v')?;
    let version = ApiVersion::parse(text)?;
    (version.to_string() == text).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_versions_in_between_are_offered() {
        for newest in 41..=56 {
            let offered = Offered::with(Some(ApiVersion::v1(newest)));
            for minor in 0..=60 {
                let checked = offered.check(ApiVersion::v1(minor));
                assert_eq!(
                    checked.is_ok(),
                    (24..=newest).contains(&minor),
                    "{newest} {minor}"
                );
            }
        }
    }

    #[test]
    fn other_versions_are_refused_in_dockers_words() {
        let offered = Offered::with(Some(ApiVersion::v1(41)));
        for (version, words) in [
            (
                "1.44",
                "client version 1.44 is too new. Maximum supported API version is 1.41",
            ),
            (
                "2.0",
                "client version 2.0 is too new. Maximum supported API version is 1.41",
            ),
            (
                "1.23",
                "client version 1.23 is too old. Minimum supported API version is 1.24, please \
                 upgrade your client to a newer version",
            ),
            (
                "0.99",
                "client version 0.99 is too old. Minimum supported API version is 1.24, please \
                 upgrade your client to a newer version",
            ),
        ] {
            let refusal = offered.check(ApiVersion::parse(version).unwrap());
            let refusal = refusal.unwrap_err();
            assert_eq!(refusal.reason, "BAD_VERSION", "{version}");
            assert_eq!(refusal.message, words, "{version}");
        }
    }

    #[test]
    fn an_engine_that_was_not_queried_yet_is_not_taken_for_a_new_one() {
        let offered = Offered::with(None);
        assert_eq!(offered.unnamed, ApiVersion::OLDEST_SPOKEN);
        assert!(offered.check(ApiVersion::NEWEST_SPOKEN).is_ok());
        assert!(offered.check(ApiVersion::v1(57)).is_err());
    }

    #[test]
    fn what_is_spelled_otherwise_is_no_version() {
        assert_eq!(read("v1.41"), Some(ApiVersion::v1(41)));
        for segment in [
            "v1", "v1.", "v.41", "v", "1.41", "V1.41", "v1.041", "v01.41", "v1.41.0", "v1.4a",
            "v1.-41", "v1.+41", "v1.99999", "v1.41-", "version",
        ] {
            assert_eq!(read(segment), None, "{segment}");
        }
    }
}
