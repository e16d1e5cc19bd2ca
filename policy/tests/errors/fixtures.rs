//! Files with one error, and what is said of them.

use aistack_policy::Policy;

pub(crate) fn errors(text: &str) -> Vec<String> {
    match Policy::parse(text) {
        Ok(policy) => panic!("accepted, tenants {:?}:\n{text}", policy.tenants()),
        Err(errors) => errors.0.iter().map(ToString::to_string).collect(),
    }
}

pub(crate) fn warnings(text: &str) -> Vec<String> {
    let policy = Policy::parse(text).unwrap_or_else(|errors| panic!("{errors:?}:\n{text}"));
    policy.warnings().iter().map(ToString::to_string).collect()
}

/// A file with ten tenants, an image and one more line in `[tenants]`, which is line 5.
pub(crate) fn with(line: &str) -> String {
    format!(
        "version = 1\n[tenants]\nuids = [\"1001-1010\"]\nimages = [\"docker.io/library/*\"]\n{line}\n"
    )
}

/// The same with a `[[tenant]]` for UID 1001, whose own lines start at 7.
pub(crate) fn named(lines: &str) -> String {
    with("[[tenant]]\nuid = 1001") + lines
}

/// `(value of tenants.KEY, expected errors)`; columns are counted from the value, which starts at 0.
pub(crate) fn table(key: &str, rows: &[(&str, &[&str])]) {
    for (value, expected) in rows {
        let expected: Vec<String> = expected
            .iter()
            .map(|row| {
                let (column, rest) = row.split_once(": ").unwrap();
                let column = column.parse::<usize>().unwrap() + key.len() + 4;
                format!("5:{column}: tenants.{key}{rest}")
            })
            .collect();
        let text = with(&format!("{key} = {value}"));
        assert_eq!(errors(&text), expected, "{key} = {value}");
    }
}
