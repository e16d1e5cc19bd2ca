//! Questions to people, on standard error. Only where people are at both ends.

use dialoguer::{Confirm, Error, Input, Select};

use crate::error::CliError;
use crate::exit::Exit;

/// Prompts for yes or no.
///
/// # Errors
/// [`Exit::Interrupted`] when the user breaks off.
pub async fn confirm(question: &str, default: bool) -> Result<bool, CliError> {
    let question = question.to_owned();
    ask(move || {
        Confirm::new()
            .with_prompt(question)
            .default(default)
            .interact()
    })
    .await
}

/// Prompts for one of `options`; returns its index.
///
/// # Errors
/// [`Exit::Interrupted`] when the user breaks off.
pub async fn choose(
    question: &str,
    options: Vec<String>,
    default: usize,
) -> Result<usize, CliError> {
    let question = question.to_owned();
    ask(move || {
        Select::new()
            .with_prompt(question)
            .items(&options)
            .default(default)
            .interact()
    })
    .await
}

/// Prompts for a line of text.
///
/// # Errors
/// [`Exit::Interrupted`] when the user breaks off.
pub async fn line(question: &str) -> Result<String, CliError> {
    let question = question.to_owned();
    ask(move || {
        Input::<String>::new()
            .with_prompt(question)
            .allow_empty(true)
            .interact_text()
    })
    .await
}

/// On a thread of its own, so that signals are heard while the question stands.
async fn ask<T: Send + 'static>(
    question: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, CliError> {
    let answer = tokio::task::spawn_blocking(question).await;
    match answer {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(Error::IO(error))) if error.kind() == std::io::ErrorKind::Interrupted => {
            Err(CliError::silent(Exit::Interrupted))
        }
        Ok(Err(error)) => Err(CliError::new(
            Exit::Failed,
            "input required, stdin is not a terminal",
        )
        .because(error.to_string())),
        Err(error) => Err(
            CliError::new(Exit::Failed, "input required, stdin is not a terminal")
                .because(error.to_string()),
        ),
    }
}
