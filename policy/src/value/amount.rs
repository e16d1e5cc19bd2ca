//! Sizes in bytes and shares of CPUs.

/// Bytes in a mebibyte.
pub(crate) const MIB: u64 = 1024 * 1024;

/// `"20G"`: digits and one of K, M, G, T, in powers of 1024; plain digits are bytes.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let malformed = || {
        format!(
            "{text:?} is not a size; write digits and K, M, G or T (powers of 1024), like \"20G\""
        )
    };
    let (digits, unit) = match text.char_indices().last() {
        Some((at, 'K')) => (text.get(..at), 1024),
        Some((at, 'M')) => (text.get(..at), MIB),
        Some((at, 'G')) => (text.get(..at), 1024 * MIB),
        Some((at, 'T')) => (text.get(..at), 1024 * 1024 * MIB),
        _ => (Some(text), 1),
    };
    let digits = digits.unwrap_or_default();
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(malformed());
    }
    let number: u64 = digits.parse().map_err(|_| format!("{text} is too large"))?;
    number
        .checked_mul(unit)
        .ok_or_else(|| format!("{text} is too large"))
}

/// `4` or `1.5` CPUs, at most three decimals, as thousandths.
pub(crate) fn cpu_millis(text: &str) -> Result<u64, String> {
    let malformed = || {
        format!("{text} is not a number of CPUs; write it like 4 or 1.5, at most three decimals")
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || whole.len() > 6 || fraction.len() > 3 {
        return Err(malformed());
    }
    let whole: u64 = whole.parse().map_err(|_| malformed())?;
    let millis: u64 = format!("{fraction:0<3}").parse().map_err(|_| malformed())?;
    let total = whole * 1000 + millis;
    if (10..=1_024_000).contains(&total) {
        Ok(total)
    } else {
        Err(format!("{text} CPUs is not between 0.01 and 1024"))
    }
}
