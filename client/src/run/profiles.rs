//! The step of a deploy that confines its containers: the profile sources are there, and the helper
//! has vetted and loaded them.

use crate::apparmor::{Edition, RejectedSource, Source, sources};
use crate::error::CliError;
use crate::run::Session;
use crate::ui::{Printer, Progress};

/// Writes the sources that are missing and has them loaded. Returns a sentence when containers do
/// not run under them all the same.
///
/// # Errors
/// When a source cannot be written, or the helper refuses or does not load it.
pub async fn load(
    session: &Session,
    printer: Printer,
    progress: &Progress,
) -> Result<Option<String>, CliError> {
    let sources = sources(&session.grant)?;
    for source in &sources {
        if source.write_missing()? {
            let path = source.path.display();
            progress.note(&format!(
                "wrote {path}, an AppArmor profile that you may edit"
            ));
        } else if let Some(warning) = of_old(source)? {
            printer.warn(&warning);
        }
    }
    let confinement = session.confinement();
    if confinement.check().is_err() {
        // The helper would say the same; a deploy has ended before.
        return Ok(confinement.warning());
    }
    let answer = ask(session, &sources).await?;
    if answer.changed {
        let profiles = answer.profiles.join(", ");
        progress.note(&format!("loaded AppArmor profiles {profiles}"));
    }
    let loaded = !answer.profiles.is_empty();
    Ok(confinement.warning().filter(|_| !loaded))
}

/// Has the helper vet and load the sources.
///
/// # Errors
/// What the helper answered; a refused line is quoted.
pub async fn ask(
    session: &Session,
    sources: &[Source],
) -> Result<aistack_proto::v1::LoadAppArmorResponse, CliError> {
    session.helper.load_apparmor().await.map_err(|error| {
        match RejectedSource::by_helper(&error, sources) {
            Some(refused) => refused.to_error(),
            None => CliError::from(error),
        }
    })
}

/// A sentence when the default has changed since a source was written.
fn of_old(source: &Source) -> Result<Option<String>, CliError> {
    let text = source.read()?;
    let edition: Edition = source.edition(text.as_deref());
    let path = source.path.display();
    Ok(edition.is_old().then(|| {
        format!(
            "{path} {}: run `aistack apparmor diff`, then reset or keep it",
            edition.sentence()
        )
    }))
}
