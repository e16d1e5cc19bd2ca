//! From nothing to a manifest, its directories and its network. Every step is done only where it
//! is missing, and nothing is changed before the settings are known to be in the grant.

use std::collections::BTreeSet;

use aistack_proto::v1::VolumeSight;

use crate::desired::Stack;
use crate::env_file::EnvFile;
use crate::error::CliError;
use crate::exit::Exit;
use crate::keys::SERVICES;
use crate::manifest::{self, Manifest, ManifestError, Request};
use crate::run::engine;
use crate::run::guard::{self, Room};
use crate::run::lock::Lock;
use crate::run::{Context, Session, profiles, reserve, store};
use crate::stack::{leftovers, select};
use crate::ui::Progress;

/// A stack that can be deployed.
#[derive(Debug)]
pub struct Ready {
    /// What it should be.
    pub stack: Stack,
    /// The manifest it is made of.
    pub manifest: Manifest,
    /// Keeps other runs out as long as it lives.
    pub lock: Lock,
    /// A sentence when containers do not run under the tenant's AppArmor profiles.
    pub unconfined: Option<String>,
}

/// `KEY`, value; later ones win.
pub type Overrides = [(String, String)];

/// What a deploy would write, and the stack that it describes.
struct Draft {
    /// The `.env` that it was made of.
    existing: Option<EnvFile>,
    manifest: Manifest,
    stack: Stack,
}

impl Draft {
    fn of(
        context: &Context,
        session: &Session,
        existing: Option<EnvFile>,
        overrides: &Overrides,
    ) -> Result<Self, CliError> {
        let manifest = decide(context, session, existing.as_ref(), overrides)?;
        guard::check(context, session, existing.as_ref(), &manifest.file)?;
        let stack = session.stack(context, &manifest.file)?;
        guard::environment(context, session, &stack)?;
        Ok(Self {
            existing,
            manifest,
            stack,
        })
    }
}

/// The stack as it would be with values that are to be set, and its manifest, without changing
/// anything.
///
/// # Errors
/// Everything that keeps the settings from being a stack.
pub fn draft_with(
    context: &Context,
    session: &Session,
    overrides: &Overrides,
) -> Result<(Manifest, Stack), CliError> {
    let draft = Draft::of(context, session, session.manifest()?, overrides)?;
    Ok((draft.manifest, draft.stack))
}

/// Warns of keys of the file that nothing knows.
pub fn tell_unknown(context: &Context, session: &Session, file: &EnvFile) {
    for text in manifest::unknown(&session.catalog, file, !session.invalid.is_empty()) {
        context.printer.warn(&text);
    }
}

/// The same for a manifest that is not on disk yet.
///
/// # Errors
/// Everything that keeps the settings from being a stack.
pub fn complete(
    context: &Context,
    session: &Session,
    file: &EnvFile,
    overrides: &Overrides,
) -> Result<(Manifest, Stack), CliError> {
    let manifest = decide(context, session, Some(file), overrides)?;
    let stack = session.stack(context, &manifest.file)?;
    Ok((manifest, stack))
}

/// Everything that a deploy of the `named` services stands on, of all when none is named; what is
/// missing is made, and reported.
///
/// # Errors
/// When the settings are refused or a name is not known (nothing is changed then), another run holds
/// the lock, or the helper did not do a step.
pub async fn for_deploy(
    context: &Context,
    session: &mut Session,
    named: &[String],
    progress: &Progress,
) -> Result<Ready, CliError> {
    // The .env is on the volume: without that, a new one would be judged in its place.
    let draft = if session.volume_is_mounted() {
        let draft = Draft::of(context, session, session.manifest()?, &[])?;
        select(named, &draft.stack.names())?;
        leftovers::refuse(&session.engine, &draft.stack).await?;
        Some(draft)
    } else {
        None
    };
    session.confinement().check()?;
    prepare_volume(context, session, progress).await?;
    if session.manifest()?.is_none() {
        progress.note("no .env yet: running the steps of `aistack init` first");
    }
    let lock = take_lock(context, session, "aistack deploy").await?;
    // Another run may have written it before this one had the lock.
    let existing = session.manifest()?;
    let draft = match draft {
        Some(draft) if draft.existing == existing => draft,
        _ => Draft::of(context, session, existing, &[])?,
    };
    put_in_place(context, session, draft, lock, progress).await
}

/// Mounts the volume and makes the fixed directories, where they are missing. Nothing is made where the
/// engine is not one that containers can be made on.
///
/// # Errors
/// What the helper answered, and what is wrong with the engine.
pub async fn prepare_volume(
    context: &Context,
    session: &mut Session,
    progress: &Progress,
) -> Result<(), CliError> {
    let sight = engine::check(session).await?;
    let mounted = session.volume_is_mounted();
    if !mounted {
        let volume = session.helper.mount_volume().await?;
        // The .env can be read from here on, and is to be judged.
        session.who = session.helper.who_am_i().await?;
        let made = if volume.formatted {
            ", new file system"
        } else {
            ""
        };
        progress.note(&format!(
            "mounted your volume at {} ({}, {}{made})",
            session.grant.base_dir,
            crate::ui::size(volume.total_bytes),
            volume.fs
        ));
        for warning in &volume.warnings {
            context.printer.warn(warning);
        }
        // They lie on the volume, and were not to be seen before.
        session.load_own(context);
    }
    if store::directories_are_missing(session.base_dir(), &[]) {
        session.helper.prepare_directories(Vec::new()).await?;
    }
    if sight == VolumeSight::Unspecified {
        // There was nothing to see before.
        engine::check(session).await?;
    }
    Ok(())
}

/// Completes and writes the manifest under the lock, then makes its directories, has the AppArmor
/// profiles loaded and makes the network: all that a container needs before it is made.
///
/// # Errors
/// When the settings are refused, another run holds the lock, or a step failed.
pub async fn prepare(
    context: &Context,
    session: &Session,
    overrides: &Overrides,
    command: &str,
    progress: &Progress,
) -> Result<Ready, CliError> {
    let overrides = || Ok(overrides.to_vec());
    prepare_with(context, session, overrides, command, progress).await
}

/// The same with overrides that are worked out under the lock, from what the manifest says then.
///
/// # Errors
/// As [`prepare`], and what `overrides` says.
pub async fn prepare_with(
    context: &Context,
    session: &Session,
    overrides: impl FnOnce() -> Result<Vec<(String, String)>, CliError>,
    command: &str,
    progress: &Progress,
) -> Result<Ready, CliError> {
    let lock = take_lock(context, session, command).await?;
    // Read again: another run may have written it before this one had the lock.
    let overrides = overrides()?;
    let draft = Draft::of(context, session, session.manifest()?, &overrides)?;
    put_in_place(context, session, draft, lock, progress).await
}

async fn take_lock(context: &Context, session: &Session, command: &str) -> Result<Lock, CliError> {
    let lock = Lock::take(session.base_dir(), command, context.globals.lock_wait()).await?;
    if let Some(warning) = store::manifest_warning(session.base_dir()) {
        context.printer.warn(&warning);
    }
    Ok(lock)
}

/// Writes the manifest, makes its directories, has the AppArmor profiles loaded and makes the network,
/// under the lock.
async fn put_in_place(
    context: &Context,
    session: &Session,
    draft: Draft,
    lock: Lock,
    progress: &Progress,
) -> Result<Ready, CliError> {
    let Draft {
        manifest, stack, ..
    } = draft;
    tell_unknown(context, session, &manifest.file);
    if !manifest.added.is_empty() || !manifest.changed.is_empty() {
        guard::write(context, session, &manifest.file, Room::Free)?;
        let path = store::manifest_path(session.base_dir());
        progress.note(&format!(
            "wrote {}: {} values new, {} changed",
            path.display(),
            manifest.added.len(),
            manifest.changed.len()
        ));
        for port in &manifest.moved {
            context.printer.warn(&port.to_string());
        }
    }
    reserve::make(session.base_dir());
    if store::directories_are_missing(session.base_dir(), &stack.directories) {
        let directories = stack.directories.clone();
        let made = session.helper.prepare_directories(directories).await?;
        progress.note(&format!("created {} directories", made.created));
    }
    let unconfined = profiles::load(session, context.printer, progress).await?;
    // Checked again under the lock: a run that was waited for, or killed, may have removed it.
    let network = session.helper.who_am_i().await?.network;
    if !network.is_some_and(|network| network.exists) {
        let network = session.helper.create_network().await?;
        if network.changed {
            progress.note(&format!(
                "created network {} ({})",
                network.name, network.subnet
            ));
        }
    }
    Ok(Ready {
        stack,
        manifest,
        lock,
        unconfined,
    })
}

fn decide(
    context: &Context,
    session: &Session,
    existing: Option<&EnvFile>,
    overrides: &Overrides,
) -> Result<Manifest, CliError> {
    let set = overrides.iter().rev().find(|(key, _)| key == SERVICES);
    let services = context
        .environment
        .get(SERVICES)
        .or(set.map(|(_, value)| value))
        .map(String::as_str)
        .or_else(|| existing?.get(SERVICES));
    session.refuse_invalid(services.unwrap_or_default())?;
    let occupied: BTreeSet<String> =
        store::services_with_data(session.base_dir(), session.catalog.names())?;
    let request = Request {
        grant: &session.grant,
        catalog: &session.catalog,
        existing,
        overrides,
        environment: &context.environment,
        occupied: &occupied,
    };
    let mut no_random = None;
    let decided = manifest::decide(&request, &mut store::port_is_free, &mut |bytes| {
        if let Err(failure) = store::random(bytes) {
            no_random = Some(failure);
        }
    });
    match no_random {
        Some(failure) => Err(failure),
        None => decided.map_err(|error| refused(&error)),
    }
}

fn refused(error: &ManifestError) -> CliError {
    let failure = CliError::new(Exit::Config, error.to_string());
    match error {
        ManifestError::SecretsLost { .. } => failure.next(
            "set the old value with `aistack init --secret-file KEY=FILE`, or restore the old .env",
        ),
        ManifestError::Selection(_) => {
            failure.next("fix SERVICES in the .env, the environment or on the command line")
        }
        ManifestError::Override { .. } | ManifestError::NoFreePort { .. } => failure,
    }
}
