//! Images first: everything that a deploy needs is on the host before anything is changed.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};

use crate::args::Pull;
use crate::engine::{Engine, EngineError};
use crate::error::CliError;
use crate::exit::Exit;
use crate::ui::Progress;

/// Pulls at once; a registry answers no faster with more.
const AT_ONCE: usize = 3;
/// Shortest time between two steps of one pull's progress.
const STEP: Duration = Duration::from_millis(200);

/// What every failure here says besides.
const UNCHANGED: &str = "; no service was changed";

/// Makes sure that every image is here.
///
/// # Errors
/// Every image that cannot be pulled, by its reference; [`Exit::Policy`] when the gateway does not
/// allow one.
pub async fn ensure(
    engine: &Engine,
    images: BTreeSet<String>,
    pull: Pull,
    progress: &Progress,
) -> Result<(), CliError> {
    let ended: Vec<Result<(), CliError>> = stream::iter(images)
        .map(|image| ensure_one(engine, image, pull, progress))
        .buffered(AT_ONCE)
        .collect()
        .await;
    all_of(ended.into_iter().filter_map(Result::err).collect())
}

/// One failure for all: a user who fixes one reference wants to know of the next one now.
fn all_of(mut failures: Vec<CliError>) -> Result<(), CliError> {
    if failures.len() < 2 {
        return failures.pop().map_or(Ok(()), Err);
    }
    let decisive = |exit: Exit| failures.iter().position(|failure| failure.exit == exit);
    let first = decisive(Exit::Policy).unwrap_or_default();
    let mut whole = CliError::new(
        failures
            .get(first)
            .map_or(Exit::Failed, |failure| failure.exit),
        format!("{} images cannot be pulled{UNCHANGED}", failures.len()),
    );
    whole.next = failures.get(first).and_then(|failure| failure.next.clone());
    for failure in failures {
        let rule = failure.causes.iter().find_map(|cause| cause.rule.clone());
        let last = failure.causes.last().map(|cause| cause.text.as_str());
        let why = last.map(|why| format!(": {why}")).unwrap_or_default();
        let what = failure.what.trim_end_matches(UNCHANGED);
        whole = whole.by_rule(format!("{what}{why}"), rule);
    }
    Err(whole)
}

async fn ensure_one(
    engine: &Engine,
    image: String,
    pull: Pull,
    progress: &Progress,
) -> Result<(), CliError> {
    let here = match engine.has_image(&image).await {
        Ok(here) => here,
        Err(error) => return Err(not_to_be_had(&image, error)),
    };
    match pull {
        Pull::Missing | Pull::Never if here => return Ok(()),
        Pull::Never => {
            return Err(
                CliError::new(Exit::Failed, format!("image {image} is not on this host"))
                    .next("run again without --pull=never"),
            );
        }
        Pull::Missing | Pull::Always => {}
    }
    progress.note(&format!("pulling {image}"));
    let began = Instant::now();
    let mut last = began.checked_sub(STEP).unwrap_or(began);
    let pulled = engine
        .pull(&image, |step| {
            if last.elapsed() >= STEP {
                last = Instant::now();
                progress.pull(&image, step);
            }
        })
        .await;
    progress.pull_ended(&image);
    pulled.map_err(|error| not_to_be_had(&image, error))?;
    let took = crate::ui::seconds(began.elapsed());
    progress.note(&format!("pulled {image} in {took}"));
    Ok(())
}

fn not_to_be_had(image: &str, error: EngineError) -> CliError {
    let exit = error.exit();
    let cause = error.to_string();
    let mut failure = CliError::from(error);
    if exit == Exit::Unreachable {
        return failure;
    }
    failure.what = format!("image {image} cannot be pulled{UNCHANGED}");
    failure.because(cause).next(if exit == Exit::Policy {
        "see the images in `aistack whoami -v`, or show the rule to the administrator"
    } else if image.contains('@') {
        "if it was locked, run `aistack images unlock SERVICE` to follow its tag again, or ask \
         the administrator to load that image; then run the command again"
    } else {
        "check the reference in the .env and this host's connection to the registry, or \
         ask the administrator to load the image and add it to local_images in the policy; then run the command again"
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(image: &str) -> EngineError {
        EngineError::Denied {
            message: format!("{image} is not allowed"),
            rule: Some("tenants.images (policy.toml:12)".to_owned()),
        }
    }

    fn missing() -> EngineError {
        EngineError::Failed {
            message: "manifest unknown".to_owned(),
        }
    }

    /// A registry need not have what was locked: it may have been loaded.
    #[test]
    fn an_image_that_was_locked_and_is_gone_is_reported_with_the_way_out() {
        let failure = not_to_be_had("a@sha256:00", missing());
        assert!(failure.next.unwrap().contains("aistack images unlock"));
        let failure = not_to_be_had("a:1", missing());
        assert!(failure.next.unwrap().contains(".env"));
    }

    #[test]
    fn every_image_that_cannot_be_had_is_named_and_a_rule_decides_the_code() {
        assert!(all_of(Vec::new()).is_ok());
        let one = all_of(vec![not_to_be_had("a:1", missing())]).unwrap_err();
        assert_eq!(
            one.what,
            "image a:1 cannot be pulled; no service was changed"
        );
        let failures = vec![
            not_to_be_had("a:1", missing()),
            not_to_be_had("b:2", refused("b:2")),
        ];
        let both = all_of(failures).unwrap_err();
        assert_eq!(both.exit, Exit::Policy);
        assert_eq!(
            both.what,
            "2 images cannot be pulled; no service was changed"
        );
        assert!(both.causes[0].text.contains("a:1"), "{:?}", both.causes);
        assert!(both.causes[0].text.contains("manifest unknown"));
        assert!(both.causes[1].text.contains("b:2"));
        assert!(both.causes[1].rule.is_some());
        assert!(both.next.unwrap().contains("whoami"));
    }
}
