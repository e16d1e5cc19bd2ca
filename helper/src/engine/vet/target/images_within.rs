//! The filters `before`, `since` and `until` of the image list. Docker never sees them: to the first two it
//! answers 404 for an image that is nowhere on the host, so that they tell of other tenants' images.

use aistack_policy::Refusal;

use super::super::image::ImageRef;
use super::super::json::shown;
use super::filters::Filters;
use super::{bad_query, start_of_id};

/// An image as callers name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageReference {
    /// By name.
    Name(ImageRef),
    /// By hexadecimal digits that its id starts with, without `sha256:`.
    Id(String),
}

/// A point in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Unix time, seconds.
    At(i64),
    /// So many seconds ago.
    Ago(i64),
}

/// When the images of a list were made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImagesWithin {
    /// Before this image.
    pub before: Option<ImageReference>,
    /// After this image.
    pub since: Option<ImageReference>,
    /// Before this moment.
    pub until: Option<Moment>,
}

impl ImageReference {
    pub(super) fn parse(name: &str) -> Result<Self, Refusal> {
        if let Some(start) = start_of_id(name) {
            return Ok(Self::Id(start.to_owned()));
        }
        Ok(Self::Name(ImageRef::parse(name)?))
    }
}

impl ImagesWithin {
    /// Takes these filters out of the others.
    pub(super) fn take(filters: &mut Filters) -> Result<Self, Refusal> {
        let image =
            |name: Option<String>| name.map(|name| ImageReference::parse(&name)).transpose();
        Ok(Self {
            before: image(filters.take_one("before")?)?,
            since: image(filters.take_one("since")?)?,
            until: filters
                .take_one("until")?
                .map(|text| Moment::parse(&text))
                .transpose()?,
        })
    }
}

impl Moment {
    /// A Unix time, a time of RFC 3339, or a duration as Docker writes it: `90s`, `1h30m`.
    fn parse(text: &str) -> Result<Self, Refusal> {
        let bad = || {
            let refusal = bad_query(&format!("until=\"{}\" is not a time", shown(text)));
            refusal.with_hint(
                "use a duration (24h, 1h30m), a Unix time, or one like 2026-01-31T12:00:00Z",
            )
        };
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits =
            |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if digits(whole) && digits(fraction) {
            return whole
                .parse::<u32>()
                .map(|seconds| Self::At(seconds.into()))
                .map_err(|_| bad());
        }
        if let Some(seconds) = duration(text) {
            return Ok(Self::Ago(seconds));
        }
        let time = text.parse::<jiff::Timestamp>().map_err(|_| bad())?;
        Ok(Self::At(time.as_second()))
    }

    /// In Unix time, where it is `now`.
    #[must_use]
    pub fn from(self, now: i64) -> i64 {
        match self {
            Self::At(seconds) => seconds,
            Self::Ago(seconds) => now.saturating_sub(seconds),
        }
    }
}

/// Seconds of `1h30m10s`.
fn duration(text: &str) -> Option<i64> {
    let mut seconds = 0_i64;
    let mut number = String::new();
    for character in text.chars() {
        let unit = match character {
            '0'..='9' if number.len() < 9 => {
                number.push(character);
                continue;
            }
            'h' => 3600,
            'm' => 60,
            's' => 1,
            _ => return None,
        };
        let amount: i64 = std::mem::take(&mut number).parse().ok()?;
        seconds = seconds.checked_add(amount.checked_mul(unit)?)?;
    }
    (number.is_empty() && !text.is_empty()).then_some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_or_a_duration() {
        for (text, expected) in [
            ("1700000000", 1_700_000_000),
            ("1700000000.5", 1_700_000_000),
            ("2023-11-14T22:13:20Z", 1_700_000_000),
            ("2023-11-14T23:13:20+01:00", 1_700_000_000),
            ("10", 10),
            ("90s", 910),
            ("10m", 400),
            ("15m10s", 90),
        ] {
            let read = Moment::parse(text).unwrap_or_else(|refusal| panic!("{text}: {refusal}"));
            assert_eq!(read.from(1000), expected, "{text}");
        }
        for text in [
            "",
            "h",
            "-1h",
            "1d",
            "1h3",
            "yesterday",
            "1.x",
            "1.",
            "1.2.3",
            "+1",
            "4294967296",
            "99999999999999h",
            "now",
            "1700000000x",
            "24H",
            "1h ",
            "2026-01-31",
            "2026-01-31T12:00:00",
        ] {
            assert!(Moment::parse(text).is_err(), "{text}");
        }
    }
}
