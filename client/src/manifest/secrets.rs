//! Making secrets, and refusing to make those that existing data was made with.

use super::{Draft, LostSecret, ManifestError, Request};
use crate::catalog::{Entry, SecretFormat};

const LETTERS_AND_DIGITS: &[u8; 62] =
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// Refuses when a secret is missing that data in the volume was made with.
pub(super) fn refuse_lost(
    request: &Request<'_>,
    entries: &[&Entry],
    draft: &Draft,
) -> Result<(), ManifestError> {
    let mut lost = Vec::new();
    for entry in entries {
        if !request.occupied.contains(&entry.name) {
            continue;
        }
        let missing = entry
            .secrets
            .iter()
            .filter(|secret| secret.change.bound_to_data() && draft.lacks_value(&secret.key));
        lost.extend(missing.map(|secret| LostSecret {
            service: entry.name.clone(),
            key: secret.key.clone(),
        }));
    }
    if lost.is_empty() {
        Ok(())
    } else {
        Err(ManifestError::SecretsLost { lost })
    }
}

/// A new secret: plain letters and digits, so that it needs no quoting anywhere.
pub(super) fn make(format: SecretFormat, random: &mut dyn FnMut(&mut [u8])) -> String {
    match format {
        SecretFormat::Alnum32 => alnum(32, random),
        SecretFormat::Alnum24 => alnum(24, random),
        SecretFormat::Password => format!("{}-Aa1", alnum(32, random)),
        SecretFormat::SkAlnum32 => format!("sk-{}", alnum(32, random)),
        SecretFormat::Hex64 => {
            let mut bytes = [0; 32];
            random(&mut bytes);
            bytes
                .iter()
                .fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
        }
    }
}

/// Letters and digits. Each takes 8 random bytes, which makes the bias of the remainder 2^-58.
fn alnum(length: usize, random: &mut dyn FnMut(&mut [u8])) -> String {
    let symbol = |_| {
        let mut bytes = [0; 8];
        random(&mut bytes);
        let at = u64::from_le_bytes(bytes) % 62;
        let index = usize::try_from(at).unwrap_or(0);
        LETTERS_AND_DIGITS
            .get(index)
            .map_or('A', |byte| char::from(*byte))
    };
    (0..length).map(symbol).collect()
}
