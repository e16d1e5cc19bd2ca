//! How slow the machine is: what the times of the catalog are multiplied by.

use std::fmt;
use std::time::Duration;

use super::{DesiredError, invalid};
use crate::env_file::Settings;
use crate::keys::TIME_SCALE;

/// The longest time that the gateway takes for a health check (`helper/src/engine/vet/create/lifetime.rs`).
const DAY: Duration = Duration::from_hours(24);

/// How many times as long everything may take as the catalog says, whose times are for a machine
/// that is not slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeScale(u32);

impl Default for TimeScale {
    fn default() -> Self {
        Self(Self::LEAST)
    }
}

impl fmt::Display for TimeScale {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

impl TimeScale {
    /// The times as the catalog has them.
    pub const LEAST: u32 = 1;
    /// Enough for a guest whose processor is emulated.
    pub const MOST: u32 = 20;

    /// How many times as long.
    #[must_use]
    pub fn times(self) -> u32 {
        self.0
    }

    /// A whole number from [`Self::LEAST`] to [`Self::MOST`], in digits and nothing else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        // `parse` would take a sign as well.
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|_| digits)?;
        (Self::LEAST..=Self::MOST)
            .contains(&number)
            .then_some(Self(number))
    }

    /// What the manifest says; the times of the catalog where it says nothing.
    pub(super) fn of(settings: &Settings) -> Result<Self, DesiredError> {
        let Some(setting) = settings.setting(TIME_SCALE) else {
            return Ok(Self::default());
        };
        Self::parse(&setting.value).ok_or_else(|| {
            let (least, most) = (Self::LEAST, Self::MOST);
            let place = setting.source;
            let message = format!("is not a whole number from {least} to {most} ({place})");
            invalid(TIME_SCALE, message)
        })
    }

    /// True when no manifest can give more time.
    #[must_use]
    pub fn is_most(self) -> bool {
        self.0 >= Self::MOST
    }

    /// A time on this machine.
    #[must_use]
    pub fn stretch(self, time: Duration) -> Duration {
        time.saturating_mul(self.0)
    }

    /// A time of a health check on this machine: at most what the gateway takes, unless it was more
    /// before, which the gateway then refuses as it did.
    pub(super) fn stretch_probe(self, time: Duration) -> Duration {
        self.stretch(time).min(time.max(DAY))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_whole_numbers_of_the_range_are_taken() {
        for text in ["1", "2", "20", "07"] {
            assert!(TimeScale::parse(text).is_some(), "{text}");
        }
        for text in [
            "",
            "0",
            "21",
            "-1",
            "+2",
            "1.5",
            " 2",
            "2 ",
            "2x",
            "two",
            "٣",
            "99999999999",
        ] {
            assert_eq!(TimeScale::parse(text), None, "{text:?}");
        }
        assert_eq!(TimeScale::default().to_string(), "1");
    }

    proptest! {
        #[test]
        fn times_are_multiplied_and_the_gateway_takes_those_of_probes(
            scale in TimeScale::LEAST..=TimeScale::MOST,
            seconds in 1_u64..1_000_000_000,
        ) {
            let time = Duration::from_secs(seconds);
            let scale = TimeScale::parse(&scale.to_string()).unwrap();
            prop_assert_eq!(TimeScale::default().stretch(time), time);
            prop_assert_eq!(TimeScale::default().stretch_probe(time), time);
            prop_assert_eq!(scale.stretch(time).as_secs(), seconds * u64::from(scale.0));
            let probe = scale.stretch_probe(time);
            prop_assert!(probe >= time && probe <= scale.stretch(time));
            prop_assert_eq!(probe <= DAY, time <= DAY);
            prop_assert!(probe == scale.stretch(time) || probe == time.max(DAY));
        }
    }
}
