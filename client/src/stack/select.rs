//! Which services a command line means.

use std::collections::BTreeSet;

use crate::error::CliError;
use crate::exit::Exit;
use crate::nearest::nearest;

/// The chosen services, all when none is named.
///
/// # Errors
/// [`Exit::NotFound`] with the nearest name.
pub fn select(named: &[String], known: &BTreeSet<String>) -> Result<BTreeSet<String>, CliError> {
    if named.is_empty() {
        return Ok(known.clone());
    }
    for name in named {
        if !known.contains(name) {
            let list = known.iter().map(String::as_str).collect::<Vec<_>>();
            let mut failure =
                CliError::new(Exit::NotFound, format!("there is no service `{name}`"))
                    .because(format!("your services: {}", list.join(", ")));
            if let Some(near) = nearest(name, list.iter().copied()) {
                failure = failure.next(format!("did you mean `{near}`?"));
            }
            return Err(failure);
        }
    }
    Ok(named.iter().cloned().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> BTreeSet<String> {
        ["n8n", "postgres", "prometheus"].map(str::to_owned).into()
    }

    #[test]
    fn none_named_means_all_and_a_mistyped_name_is_answered_with_the_nearest() {
        assert_eq!(select(&[], &known()).unwrap(), known());
        let chosen = select(&["n8n".to_owned()], &known()).unwrap();
        assert_eq!(chosen.len(), 1);
        let failure = select(&["postgre".to_owned()], &known()).unwrap_err();
        assert_eq!(failure.exit, Exit::NotFound);
        assert_eq!(failure.next.as_deref(), Some("did you mean `postgres`?"));
        let failure = select(&["zzzz".to_owned()], &known()).unwrap_err();
        assert_eq!(failure.next, None);
    }
}
