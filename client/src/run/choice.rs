//! The choice of services: the manifest's values as the selection reads them, before and after a change.

use crate::env_file::Settings;
use crate::error::CliError;
use crate::exit::Exit;
use crate::run::{Context, Session};
use crate::selection::{SelectionError, Value};

/// The values in force: the manifest's under the process environment.
///
/// # Errors
/// When the manifest cannot be read or has errors.
pub fn values<'a>(context: &Context, session: &Session) -> Result<Box<Value<'a>>, CliError> {
    let file = session.manifest()?.unwrap_or_default();
    let known = |key: &str| session.catalog.is_key(key);
    let settings = Settings::resolve(&file, &context.environment, known)
        .map_err(|errors| CliError::manifest(&errors))?;
    Ok(Box::new(move |key: &str| {
        settings.get(key).map(str::to_owned)
    }))
}

/// The values after a change.
pub fn over<'a>(
    before: &'a Value<'_>,
    overrides: &'a [(String, String)],
) -> impl Fn(&str) -> Option<String> + 'a {
    move |key| {
        let changed = overrides.iter().rev().find(|(name, _)| name == key);
        changed
            .map(|(_, value)| value.clone())
            .or_else(|| before(key))
    }
}

/// Names that cannot be chosen.
#[must_use]
pub fn refused(errors: &[SelectionError]) -> CliError {
    let unknown = errors
        .iter()
        .any(|error| matches!(error, SelectionError::Unknown { .. }));
    let exit = if unknown {
        Exit::NotFound
    } else {
        Exit::Config
    };
    errors
        .iter()
        .fold(
            CliError::new(exit, "these services cannot be chosen; nothing was changed"),
            |failure, error| failure.because(error.to_string()),
        )
        .next("aistack catalog")
}

/// A change as it may be shown.
#[must_use]
pub fn shown(session: &Session, overrides: &[(String, String)]) -> serde_json::Value {
    overrides
        .iter()
        .map(|(key, value)| {
            let secret = session.catalog.is_secret(key);
            let value = if secret { "(secret)" } else { value };
            (key.clone(), value.into())
        })
        .collect::<serde_json::Map<_, _>>()
        .into()
}
