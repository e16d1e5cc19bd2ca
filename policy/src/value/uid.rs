//! UIDs: which may be given to anybody, and ranges of them.

/// The highest UID or GID that a container can run as: Docker refuses what is above ("uids and gids
/// must be in range 0-2147483647").
pub(crate) const MAX_UID: u64 = 2_147_483_647;

/// UIDs that nobody may have, with the reason.
const RESERVED: [(u64, u64, &str); 4] = [
    (0, 999, "belongs to the system (below 1000)"),
    (65_534, 65_534, "is nobody, the overflow UID"),
    (65_535, 65_535, "is -1 to 16-bit programs"),
    (
        MAX_UID + 1,
        u64::MAX,
        "is too large: Docker runs nothing above 2147483647",
    ),
];

/// The first reserved UID in an interval, and why it is reserved.
pub(crate) fn reserved_in(low: u64, high: u64) -> Option<(u64, &'static str)> {
    RESERVED
        .iter()
        .find(|(first, last, _)| low <= *last && *first <= high)
        .map(|(first, _, why)| (low.max(*first), *why))
}

/// UIDs from `first` to `last`, both included and neither reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UidRange {
    pub(crate) first: u32,
    pub(crate) last: u32,
}

impl UidRange {
    /// `"1001-1999"` or `"1001"`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (Some(first), Some(last)) = (decimal(first), decimal(last)) else {
            return Err(format!(
                "{text:?} is not a UID range; write \"1001-1999\" or \"1001\""
            ));
        };
        if first > last {
            return Err(format!("the range ends before it starts: {first} > {last}"));
        }
        if let Some((uid, why)) = reserved_in(first, last) {
            return Err(format!("UID {uid} {why}"));
        }
        match (u32::try_from(first), u32::try_from(last)) {
            (Ok(first), Ok(last)) => Ok(Self { first, last }),
            _ => Err(format!("{text:?} reaches past UID {MAX_UID}")),
        }
    }

    /// How many UIDs.
    pub(crate) fn len(self) -> u64 {
        u64::from(self.last) - u64::from(self.first) + 1
    }

    pub(crate) fn contains(self, uid: u32) -> bool {
        (self.first..=self.last).contains(&uid)
    }
}

/// A number without sign, spaces or leading zeros, which some readers would take for octal.
fn decimal(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let canonical = text == "0" || !text.starts_with('0');
    (plain && canonical && text.len() <= 19)
        .then(|| text.parse().ok())
        .flatten()
}
