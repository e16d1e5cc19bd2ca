//! The known name that a mistyped one is closest to.

use strsim::levenshtein;

/// The known name that shares most with a mistyped one.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|other| (levenshtein(name, other), other))
        .filter(|(distance, other)| *distance <= 1 + other.len() / 3)
        .min()
        .map(|(_, other)| other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_close_is_near() {
        let known = ["n8n", "postgres", "prometheus"];
        assert_eq!(nearest("postgre", known), Some("postgres"));
        assert_eq!(nearest("zzzz", known), None);
    }
}
