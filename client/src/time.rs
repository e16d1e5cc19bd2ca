//! Durations and moments as people write and read them.

use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;

/// A duration given on the command line: `90s`, `15m`, `2h`, `500ms`, `1m30s`, `1 m 30 s`; a bare
/// number is seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(seconds) = text.parse() {
            return Ok(Self(Duration::from_secs(seconds)));
        }
        let written = text;
        let text = &*unblank(text);
        let mut total = Duration::ZERO;
        let mut rest = text;
        while !rest.is_empty() {
            let digits = rest
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(rest.len());
            let (number, tail) = rest.split_at(digits);
            let unit_end = tail
                .find(|c: char| c.is_ascii_digit())
                .unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(unit_end);
            let part = part(number, unit)
                .ok_or_else(|| format!("`{written}` is not a duration: write 90s, 15m or 2h"))?;
            total = total
                .checked_add(part)
                .ok_or_else(|| format!("`{written}` is too long"))?;
            rest = tail;
        }
        if text.is_empty() {
            return Err("a duration is missing: write 90s, 15m or 2h".to_owned());
        }
        Ok(Self(total))
    }
}

/// Without the blanks between numbers and units; `1 0s` is no `10s`.
fn unblank(text: &str) -> String {
    let mut plain = String::new();
    let mut words = text.split_ascii_whitespace().peekable();
    while let Some(word) = words.next() {
        plain.push_str(word);
        let ends = |word: &str| word.ends_with(|end: char| end.is_ascii_digit());
        let begins = |word: &&str| word.starts_with(|first: char| first.is_ascii_digit());
        if ends(word) && words.peek().is_some_and(begins) {
            return text.to_owned();
        }
    }
    plain
}

fn part(number: &str, unit: &str) -> Option<Duration> {
    let number: u64 = number.parse().ok()?;
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        "h" => number.checked_mul(3600).map(Duration::from_secs),
        "d" => number.checked_mul(86_400).map(Duration::from_secs),
        _ => None,
    }
}

/// A moment given on the command line as RFC 3339 or as a duration before `now`; Unix seconds.
///
/// # Errors
/// Why the text is neither.
pub fn parse_moment(text: &str, now: Timestamp) -> Result<i32, String> {
    let moment = match text.parse::<Span>() {
        Ok(Span(before)) => now.as_second() - i64::try_from(before.as_secs()).unwrap_or(i64::MAX),
        Err(_) => text
            .parse::<Timestamp>()
            .map_err(|_| {
                format!("`{text}` is not a moment: write 10m (ago) or 2026-01-31T12:00:00Z")
            })?
            .as_second(),
    };
    i32::try_from(moment.max(0)).map_err(|_| format!("`{text}` is out of range"))
}

/// A duration for people: `0.3 s`, `12.0 s`, `2 m 05 s`.
#[must_use]
pub fn seconds(duration: Duration) -> String {
    let whole = duration.as_secs();
    if whole < 120 {
        format!("{:.1} s", duration.as_secs_f64())
    } else {
        format!("{} m {:02} s", whole / 60, whole % 60)
    }
}

/// How long ago, roughly: `5 s`, `3 m`, `2 h`, `4 d`.
#[must_use]
pub fn ago(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} m", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, milliseconds) in [
            ("90", 90_000),
            ("90s", 90_000),
            ("15m", 900_000),
            ("1m30s", 90_000),
            ("500ms", 500),
            ("2h", 7_200_000),
            ("100 s", 100_000),
            (" 1 m 30 s ", 90_000),
        ] {
            let span: Span = text.parse().unwrap();
            assert_eq!(span.0, Duration::from_millis(milliseconds), "{text}");
        }
        for text in [
            "",
            "m",
            "5x",
            "-5s",
            "1.5h",
            "99999999999999999999h",
            "1 0s",
            "5 x",
        ] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    #[test]
    fn moments_are_absolute_or_ago() {
        let now: Timestamp = "2026-01-31T12:00:00Z".parse().unwrap();
        let at = i32::try_from(now.as_second()).unwrap();
        assert_eq!(parse_moment("10m", now), Ok(at - 600));
        assert_eq!(parse_moment("2026-01-31T11:59:00Z", now), Ok(at - 60));
        assert!(parse_moment("yesterday", now).is_err());
    }

    #[test]
    fn durations_are_shown_short() {
        assert_eq!(seconds(Duration::from_millis(340)), "0.3 s");
        assert_eq!(seconds(Duration::from_secs(125)), "2 m 05 s");
        assert_eq!(ago(Duration::from_hours(25)), "25 h");
    }
}
