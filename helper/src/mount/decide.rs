//! Whether an image is used, made anew or refused: a pure function of what is remembered, what is
//! there, and what is wanted.

use super::Result;
use super::contents::Contents;
use super::record::{Record, State};
use super::wire::{Failure, FailureReason, FileSystem};

/// What is to be done with the image.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It holds the file system that is remembered.
    Use,
    /// It holds a file system of the wanted kind that nobody remembers, say from a backup: from
    /// now on it is remembered.
    Adopt {
        /// UUID of that file system.
        uuid: String,
    },
    /// A file system is made.
    Format {
        /// The remains of an interrupted attempt go first.
        wipe: bool,
    },
}

/// Decides. `same_file` tells whether the image is the very file that `record` was written for.
///
/// # Errors
/// For everything that is not surely blank, surely a remainder of our own, or surely the volume.
pub(super) fn decide(
    record: Option<&Record>,
    same_file: bool,
    contents: &Contents,
    wanted: FileSystem,
    may_format: bool,
) -> Result<Step> {
    let record = match record {
        Some(record) if record.state == State::Formatted => {
            return remembered(record, contents, wanted);
        }
        other => other,
    };
    let half_made = |uuid: Option<&str>| {
        record.is_some_and(|own| same_file && uuid.is_none_or(|uuid| own.uuid == uuid))
    };
    match contents {
        Contents::Blank => format(false, may_format),
        Contents::Other if half_made(None) => format(true, may_format),
        Contents::Other => Err(not_empty()),
        Contents::Known { uuid, .. } if half_made(Some(uuid)) => format(true, may_format),
        Contents::Known { fs, .. } if *fs != wanted => Err(wrong_kind(*fs, wanted)),
        Contents::Known { uuid, .. } => Ok(Step::Adopt { uuid: uuid.clone() }),
    }
}

/// The volume had a file system, so it has that one or it is refused.
fn remembered(record: &Record, contents: &Contents, wanted: FileSystem) -> Result<Step> {
    if record.fs != wanted {
        return Err(wrong_kind(record.fs, wanted));
    }
    match contents {
        Contents::Known { fs, uuid } if *fs == record.fs && *uuid == record.uuid => Ok(Step::Use),
        Contents::Known { fs, .. } if *fs != record.fs => Err(wrong_kind(*fs, wanted)),
        Contents::Known { uuid, .. } => {
            let message = format!(
                "the volume holds the file system {uuid}, it must hold {}",
                record.uuid
            );
            Err(Failure::new(FailureReason::WrongFilesystem, message)
                .with_hint("ask the administrator to put the right image back"))
        }
        Contents::Blank => Err(lost(&record.uuid, "the image reads as empty now")),
        Contents::Other => Err(lost(&record.uuid, "the image holds none that is known now")),
    }
}

fn format(wipe: bool, may_format: bool) -> Result<Step> {
    if may_format {
        return Ok(Step::Format { wipe });
    }
    Err(no_formatting())
}

/// Refuses to make a file system where the policy says never.
pub(super) fn no_formatting() -> Failure {
    let message = "the volume is empty and the policy does not allow to format it";
    Failure::new(FailureReason::BadImage, message)
        .with_hint("ask the administrator to set `format = \"if-blank\"` for the volume")
}

/// A file system was there and is gone; it is never made anew.
pub(super) fn lost(uuid: &str, what: &str) -> Failure {
    let message = format!("the volume's file system {uuid} is lost: {what}; nothing was written");
    Failure::new(FailureReason::LostFilesystem, message).with_hint(
        "ask the administrator to restore the image, or to remove its record to start anew",
    )
}

fn wrong_kind(actual: FileSystem, wanted: FileSystem) -> Failure {
    let (actual, wanted) = (actual.name(), wanted.name());
    let message = format!("the volume holds {actual}, the policy says {wanted}");
    Failure::new(FailureReason::WrongFilesystem, message)
        .with_hint("ask the administrator to set the volume's `fs` to what it holds")
}

fn not_empty() -> Failure {
    let message = "the volume's image holds data that is no ext4 or XFS file system";
    Failure::new(FailureReason::BadImage, message)
        .with_hint("ask the administrator to move the image away")
}

#[cfg(test)]
mod tests {
    use super::super::record::{FileId, VERSION};
    use super::*;
    use FileSystem::{Ext4, Xfs};

    fn record(state: State, fs: FileSystem) -> Record {
        Record {
            version: VERSION,
            state,
            fs,
            uuid: "own".to_owned(),
            size: 1,
            image: FileId {
                inode: 1,
                born_seconds: 1,
                born_nanoseconds: 1,
            },
        }
    }

    fn holds(fs: FileSystem, uuid: &str) -> Contents {
        Contents::Known {
            fs,
            uuid: uuid.to_owned(),
        }
    }

    #[test]
    fn a_formatted_volume_is_used_or_refused_and_never_formatted() {
        let own = record(State::Formatted, Ext4);
        let cases = [
            (holds(Ext4, "own"), Ok(())),
            (holds(Ext4, "other"), Err(FailureReason::WrongFilesystem)),
            (holds(Xfs, "own"), Err(FailureReason::WrongFilesystem)),
            (Contents::Blank, Err(FailureReason::LostFilesystem)),
            (Contents::Other, Err(FailureReason::LostFilesystem)),
        ];
        for (contents, expected) in cases {
            for same_file in [true, false] {
                let step = decide(Some(&own), same_file, &contents, Ext4, true);
                let answer = step.map(|step| assert_eq!(step, Step::Use));
                assert_eq!(
                    answer.map_err(|failure| failure.reason),
                    expected,
                    "{contents:?}"
                );
            }
        }
        let changed_policy = decide(Some(&own), true, &holds(Ext4, "own"), Xfs, true);
        assert_eq!(
            changed_policy.unwrap_err().reason,
            FailureReason::WrongFilesystem
        );
    }

    #[test]
    fn a_half_made_file_system_goes_only_from_the_very_same_file() {
        let own = record(State::Intended, Ext4);
        let remains = [Contents::Other, holds(Ext4, "own")];
        for contents in remains {
            let step = decide(Some(&own), true, &contents, Ext4, true).unwrap();
            assert_eq!(step, Step::Format { wipe: true });
            assert!(decide(Some(&own), true, &contents, Ext4, false).is_err());
        }
        let replaced = decide(Some(&own), false, &Contents::Other, Ext4, true);
        assert_eq!(replaced.unwrap_err().reason, FailureReason::BadImage);
        let foreign = decide(Some(&own), true, &holds(Ext4, "other"), Ext4, true).unwrap();
        assert_eq!(
            foreign,
            Step::Adopt {
                uuid: "other".to_owned()
            }
        );
    }

    #[test]
    fn without_memory_only_zeros_are_formatted() {
        let format = |contents: &Contents, may| decide(None, false, contents, Ext4, may);
        assert_eq!(
            format(&Contents::Blank, true).unwrap(),
            Step::Format { wipe: false }
        );
        assert_eq!(
            format(&Contents::Blank, false).unwrap_err().reason,
            FailureReason::BadImage
        );
        assert_eq!(
            format(&Contents::Other, true).unwrap_err().reason,
            FailureReason::BadImage
        );
        let xfs = format(&holds(Xfs, "a"), true).unwrap_err();
        assert_eq!(xfs.reason, FailureReason::WrongFilesystem);
        let adopted = format(&holds(Ext4, "a"), false).unwrap();
        assert_eq!(
            adopted,
            Step::Adopt {
                uuid: "a".to_owned()
            }
        );
    }
}
