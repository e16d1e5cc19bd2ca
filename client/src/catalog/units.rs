//! Numbers with units, as an entry writes them.

use std::time::Duration;

use serde::Deserialize;

/// Bytes, written `64M` or `2G` (powers of 1024).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Bytes(pub u64);

impl TryFrom<String> for Bytes {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let unit = match text.chars().last() {
            Some('M') => 1 << 20,
            Some('G') => 1 << 30,
            _ => 0,
        };
        let digits = text.get(..text.len().saturating_sub(1)).unwrap_or_default();
        number(digits)
            .filter(|_| unit > 0)
            .and_then(|count| count.checked_mul(unit))
            .map(Self)
            .ok_or_else(|| format!("{text:?} is not a size; write e.g. \"64M\" or \"2G\""))
    }
}

/// A time, written `90s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Span(pub Duration);

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.strip_suffix('s')
            .and_then(number)
            .map(|seconds| Self(Duration::from_secs(seconds)))
            .ok_or_else(|| format!("{text:?} is not a time; write e.g. \"90s\""))
    }
}

/// A number of days, written `90d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Days(pub Duration);

impl TryFrom<String> for Days {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.strip_suffix('d')
            .and_then(number)
            .map(|days| Self(Duration::from_secs(days * 24 * 60 * 60)))
            .ok_or_else(|| format!("{text:?} is not a number of days; write e.g. \"90d\""))
    }
}

/// Thousandths of a CPU, written `0.5`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "f64")]
pub struct Cpus {
    /// Thousandths, 10 to 64000.
    pub millis: u32,
}

impl TryFrom<f64> for Cpus {
    type Error = String;

    fn try_from(cpus: f64) -> Result<Self, String> {
        if !(0.01..=64.0).contains(&cpus) {
            return Err(format!("{cpus} CPUs are not between 0.01 and 64"));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 10 and 64000 after the check above"
        )]
        let millis = (cpus * 1000.0).round() as u32;
        Ok(Self { millis })
    }
}

/// Plain digits, at least 1, at most 9 of them so that no unit can overflow.
fn number(digits: &str) -> Option<u64> {
    let plain =
        !digits.is_empty() && digits.len() < 10 && digits.bytes().all(|b| b.is_ascii_digit());
    plain
        .then(|| digits.parse().ok())
        .flatten()
        .filter(|number| *number > 0)
}
