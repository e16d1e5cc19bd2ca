//! The known name that a mistyped one is closest to.

/// The known name that shares most with a mistyped one.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|other| (edit_distance(name, other), other))
        .filter(|(distance, other)| *distance <= 1 + other.len() / 3)
        .min()
        .map(|(_, other)| other)
}

/// Levenshtein's distance.
fn edit_distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (above, a) in left.chars().enumerate() {
        let mut diagonal = above;
        let mut last = above + 1;
        let mut next = vec![last];
        for (b, up) in right.iter().zip(row.iter().skip(1)) {
            let cost = usize::from(a != *b);
            last = (diagonal + cost).min(*up + 1).min(last + 1);
            diagonal = *up;
            next.push(last);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (left, right, expected) in [("", "abc", 3), ("kitten", "sitting", 3), ("n8n", "n8n", 0)]
        {
            assert_eq!(edit_distance(left, right), expected, "{left} {right}");
        }
    }

    #[test]
    fn only_what_is_close_is_near() {
        let known = ["n8n", "postgres", "prometheus"];
        assert_eq!(nearest("postgre", known), Some("postgres"));
        assert_eq!(nearest("zzzz", known), None);
    }
}
