//! The filters `before`, `since` and `until` of the image list. Docker never sees them: to the first two it
//! answers 404 for an image that is nowhere on the host, so that they tell of other tenants' images.

use aistack_policy::Refusal;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

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
    /// What the clock of this host shows.
    Local(DateTime),
}

/// A date, with a time to the hour, minute or second: how many of these characters it may have.
const LOCAL: (&str, [usize; 4]) = ("dddd-dd-ddTdd:dd:dd", [10, 13, 16, 19]);

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
    /// A Unix time, a time of RFC 3339, a date or a time without a zone, which is this host's, or a duration as
    /// Docker writes it: `90s`, `1h30m`.
    fn parse(text: &str) -> Result<Self, Refusal> {
        let bad = || {
            let refusal = bad_query(&format!("until=\"{}\" is not a time", shown(text)));
            refusal.with_hint(
                "use a duration (24h, 1h30m), a Unix time, a date (2026-01-31), or a time like \
                 2026-01-31T12:00:00Z",
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
        if is_local(text) {
            return text.parse().map(Self::Local).map_err(|_| bad());
        }
        let time = text.parse::<Timestamp>().map_err(|_| bad())?;
        Ok(Self::At(time.as_second()))
    }

    /// In Unix time, where it is `now`. A time without a zone is read in this host's, which is Docker's, too.
    #[must_use]
    pub fn from(self, now: i64) -> i64 {
        self.unix_time(now, TimeZone::system)
    }

    fn unix_time(self, now: i64, zone: impl FnOnce() -> TimeZone) -> i64 {
        match self {
            Self::At(seconds) => seconds,
            Self::Ago(seconds) => now.saturating_sub(seconds),
            Self::Local(time) => {
                // As Docker: the offset is that of now, also for a time on the other side of a change of the
                // clocks (moby, `GetTimestamp`).
                let offset = zone().to_offset(Timestamp::from_second(now).unwrap_or_default());
                let time = offset.to_timestamp(time).unwrap_or(Timestamp::MAX);
                time.as_second()
            }
        }
    }
}

/// Whether a text has one of the forms of a time without a zone.
fn is_local(text: &str) -> bool {
    let (form, lengths) = LOCAL;
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (text, None),
    };
    let fits = |(byte, expected): (u8, u8)| match expected {
        b'd' => byte.is_ascii_digit(),
        _ => byte == expected,
    };
    let digits = |text: &str| {
        (1..=9).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    lengths.contains(&whole.len())
        && whole.bytes().zip(form.bytes()).all(fits)
        && fraction.is_none_or(|fraction| whole.len() == form.len() && digits(fraction))
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
        ] {
            assert!(Moment::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_without_a_zone_is_this_hosts() {
        let winter = 1_769_817_600; // 2026-01-31T00:00:00Z
        let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        for (text, utc) in [
            ("2026-01-31", winter),
            ("2026-01-31T12", winter + 12 * 3600),
            ("2026-01-31T12:30", winter + 12 * 3600 + 1800),
            ("2026-01-31T12:30:05", winter + 12 * 3600 + 1805),
            ("2026-01-31T12:30:05.25", winter + 12 * 3600 + 1805),
            ("2026-07-31", winter + 181 * 86400),
            ("0001-01-01T00:00:00", -62_135_596_800),
        ] {
            let read = Moment::parse(text).unwrap_or_else(|refusal| panic!("{text}: {refusal}"));
            let summer = winter + 150 * 86400;
            for (now, zone, offset) in [
                (winter, TimeZone::UTC, 0),
                (winter, berlin.clone(), 3600),
                // By the offset of now, whatever the text's is.
                (summer, berlin.clone(), 7200),
            ] {
                assert_eq!(
                    read.unix_time(now, || zone),
                    utc - offset,
                    "{text} {offset}"
                );
            }
        }
        let last = Moment::parse("9999-12-31T23:59:59").unwrap();
        assert_eq!(
            last.unix_time(winter, || TimeZone::UTC),
            Timestamp::MAX.as_second()
        );
        for text in [
            "2026-01",
            "2026-1-31",
            "2026-02-30",
            "2026-01-31T",
            "2026-01-31T1",
            "2026-01-31T25",
            "2026-01-31T24:00:00",
            "2026-01-31T12:60",
            "2026-01-31T12:00:",
            "2026-01-31T12.5",
            "2026-01-31T12:00:00.",
            "2026-01-31T12:00:00.1234567890",
            "2026-01-31 12:00:00",
            "2026-01-31t12:00:00",
            "20260131T120000",
            "2026-01-31T120000",
            "2026-01-31T12:00:00[Europe/Berlin]",
            "-002026-01-31",
            "12026-01-31",
            "2026-01-31-01",
            "2026-W05-6",
        ] {
            assert!(Moment::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_zone_of_this_host_is_known() {
        // Where it is not, `TimeZone::system` silently takes UTC.
        let unknown = !std::path::Path::new("/etc/localtime").exists();
        let otherwise = std::env::var_os("TZ").is_some();
        assert!(TimeZone::try_system().is_ok() || unknown || otherwise);
    }
}
