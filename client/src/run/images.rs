//! Images first: everything that a deploy needs is on the host before anything is changed.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};

use crate::engine::{Engine, EngineError};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::Progress;
use crate::verbs::args::Pull;

/// Pulls at once; a registry answers no faster with more.
const AT_ONCE: usize = 3;
/// Shortest time between two steps of one pull's progress.
const STEP: Duration = Duration::from_millis(200);

/// Makes sure that every image is here.
///
/// # Errors
/// The first image that cannot be had, by its reference; [`Exit::Policy`] when the gateway does
/// not allow it.
pub async fn ensure(
    engine: &Engine,
    images: BTreeSet<String>,
    pull: Pull,
    progress: &Progress,
) -> Result<(), Failure> {
    stream::iter(images)
        .map(|image| ensure_one(engine, image, pull, progress))
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await
}

async fn ensure_one(
    engine: &Engine,
    image: String,
    pull: Pull,
    progress: &Progress,
) -> Result<(), Failure> {
    let here = match engine.has_image(&image).await {
        Ok(here) => here,
        Err(error) => return Err(not_to_be_had(&image, error)),
    };
    match pull {
        Pull::Missing | Pull::Never if here => return Ok(()),
        Pull::Never => {
            return Err(
                Failure::new(Exit::Failed, format!("image {image} is not on this host"))
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

fn not_to_be_had(image: &str, error: EngineError) -> Failure {
    let exit = error.exit();
    let cause = error.to_string();
    let mut failure = Failure::from(error);
    if exit == Exit::Unreachable {
        return failure;
    }
    failure.what = format!("image {image} cannot be had; no service was changed");
    failure.because(cause).next(if exit == Exit::Policy {
        "compare with the images in `aistack whoami`, or show the rule to the administrator"
    } else {
        "check the reference in the .env and this host's way to the registry, or ask the \
         administrator to load the image; then run the command again"
    })
}
