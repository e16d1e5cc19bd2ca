//! Whether a volume is used, formatted or refused: a pure function of what is remembered, what is
//! there, and what is wanted.

use super::Result;
use super::contents::Contents;
use super::record::{Record, State};
use super::signature::Superblock;
use super::wire::{Error, ErrorReason, FileSystem};

/// What is to be done with the volume.
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

/// Everything that the decision follows from.
pub(super) struct Facts<'a> {
    /// What is remembered of the volume.
    pub(super) record: Option<&'a Record>,
    /// Whether the medium is the very one, and was so all the time, that `record` was written for.
    pub(super) same_medium: bool,
    /// What is in it.
    pub(super) contents: &'a Contents,
    /// Whose it is to be.
    pub(super) uid: u32,
    /// The file system that the policy wants.
    pub(super) fs: FileSystem,
    /// The UUID that the policy wants, where it wants one.
    pub(super) pinned: Option<&'a str>,
    /// Whether the policy allows to format a blank volume.
    pub(super) may_format: bool,
}

/// Decides.
///
/// # Errors
/// For everything that is not surely blank, surely a remainder of our own, or surely the volume.
pub(super) fn decide(facts: &Facts<'_>) -> Result<Step> {
    if let Some(record) = facts.record {
        require_owner(record, facts.uid)?;
        if record.state == State::Formatted {
            require_pinned(facts)?;
            return remembered(record, facts);
        }
    }
    require_pinned(facts)?;
    let half_made = facts.record.filter(|_| facts.same_medium);
    let is_half_made = |found: &Superblock| {
        half_made.is_some_and(|record| record.uuid == found.uuid && record.fs == found.fs)
    };
    match facts.contents {
        Contents::Blank => format(false, facts.may_format),
        Contents::Other(_) | Contents::Damaged(_) if half_made.is_some() => {
            format(true, facts.may_format)
        }
        Contents::Other(what) => Err(not_empty(what)),
        Contents::Damaged(fs) => Err(damaged(*fs)),
        Contents::Known(found) if is_half_made(found) => format(true, facts.may_format),
        Contents::Known(found) if found.fs != facts.fs => Err(wrong_kind(found.fs, facts.fs)),
        Contents::Known(found) => Ok(Step::Adopt {
            uuid: found.uuid.clone(),
        }),
    }
}

/// A disk that was one tenant's never becomes another's by a line in the policy alone.
fn require_owner(record: &Record, uid: u32) -> Result<()> {
    if record.uid.is_none_or(|own| own == uid) {
        return Ok(());
    }
    let message = "the volume was another tenant's";
    Err(Error::new(ErrorReason::OtherTenants, message)
        .with_hint("ask the administrator to remove its record, if it is yours now"))
}

/// Where the policy names the file system, nothing but that one is used or made.
fn require_pinned(facts: &Facts<'_>) -> Result<()> {
    let Some(pinned) = facts.pinned else {
        return Ok(());
    };
    match facts.contents {
        Contents::Known(found) if found.fs != facts.fs => Err(wrong_kind(found.fs, facts.fs)),
        Contents::Known(found) if found.uuid == pinned => Ok(()),
        Contents::Known(found) => Err(wrong_contents(&found.uuid, pinned)),
        Contents::Blank => Err(lost(pinned, "the volume reads as empty")),
        Contents::Damaged(fs) => Err(damaged(*fs)),
        Contents::Other(what) => Err(not_empty(what)),
    }
}

/// The volume had a file system, so it has that one or it is refused.
fn remembered(record: &Record, facts: &Facts<'_>) -> Result<Step> {
    if record.fs != facts.fs {
        return Err(wrong_kind(record.fs, facts.fs));
    }
    match facts.contents {
        Contents::Known(found) if found.fs != record.fs => Err(wrong_kind(found.fs, facts.fs)),
        Contents::Known(found) if found.uuid == record.uuid => Ok(Step::Use),
        Contents::Known(found) => Err(wrong_contents(&found.uuid, &record.uuid)),
        Contents::Blank => Err(lost(&record.uuid, "the volume reads as empty now")),
        Contents::Damaged(_) => Err(lost(&record.uuid, "its superblock is damaged")),
        Contents::Other(what) => {
            let what = format!("the volume holds {what} now");
            Err(lost(&record.uuid, &what))
        }
    }
}

fn format(wipe: bool, may_format: bool) -> Result<Step> {
    if may_format {
        return Ok(Step::Format { wipe });
    }
    Err(no_formatting())
}

/// Refuses to make a file system where the policy says never.
pub(super) fn no_formatting() -> Error {
    let message = "the volume is empty, and the policy does not allow formatting it";
    Error::new(ErrorReason::BlankVolume, message)
        .with_hint("ask the administrator to set `format = \"if-blank\"` for the volume")
}

/// A file system was there and is gone; it is never formatted.
pub(super) fn lost(uuid: &str, what: &str) -> Error {
    let message = format!("the volume's file system {uuid} is lost: {what}; nothing was written");
    Error::new(ErrorReason::LostFilesystem, message).with_hint(
        "ask the administrator to restore the volume, or to remove its record to start over",
    )
}

/// Another file system of the right kind: a swapped volume, or one that was formatted elsewhere.
fn wrong_contents(found: &str, wanted: &str) -> Error {
    let message = format!("the volume has the file system {found}, but must have {wanted}");
    Error::new(ErrorReason::WrongContents, message)
        .with_hint("ask the administrator to attach the right volume")
}

/// A copy of a volume is not that volume.
pub(super) fn a_copy(uuid: &str) -> Error {
    let message = format!(
        "the volume has the file system {uuid}, as another volume of this host does: one of \
         them is a copy"
    );
    Error::new(ErrorReason::WrongContents, message)
        .with_hint("ask the administrator to give the copy a new UUID, or to detach it")
}

fn wrong_kind(actual: FileSystem, wanted: FileSystem) -> Error {
    let (actual, wanted) = (actual.name(), wanted.name());
    let message = format!("the volume has {actual}, but the policy says {wanted}");
    Error::new(ErrorReason::WrongFilesystem, message)
        .with_hint("ask the administrator to correct the volume's `fs` in the policy")
}

fn damaged(fs: FileSystem) -> Error {
    let message = format!("the superblock of the volume's {} is damaged", fs.name());
    Error::new(ErrorReason::FilesystemDamaged, message)
        .with_hint("ask the administrator to repair the file system, or to restore the volume")
}

fn not_empty(what: &str) -> Error {
    let message = format!("the volume holds {what}; a volume with data is never formatted");
    Error::new(ErrorReason::NotEmpty, message)
        .with_hint("ask the administrator for an empty volume, or to empty this one")
}

#[cfg(test)]
mod tests {
    use super::super::record::{FileId, Seen, VERSION};
    use super::*;
    use FileSystem::{Ext4, Xfs};
    use proptest::prelude::*;

    fn record(state: State, fs: FileSystem) -> Record {
        Record {
            version: VERSION,
            state,
            fs,
            uuid: "own".to_owned(),
            size: 1,
            uid: Some(1001),
            seen: Seen::Image(FileId {
                inode: 1,
                born_seconds: 1,
                born_nanoseconds: 1,
            }),
        }
    }

    fn holds(fs: FileSystem, uuid: &str) -> Contents {
        Contents::Known(Superblock {
            fs,
            uuid: uuid.to_owned(),
            block: 4096,
            blocks: 1,
        })
    }

    fn other() -> Contents {
        Contents::Other("LVM2 (at 512)".to_owned())
    }

    /// What an ext4 volume of UID 1001 leads to when it may be formatted.
    fn facts<'a>(record: Option<&'a Record>, contents: &'a Contents) -> Facts<'a> {
        Facts {
            record,
            same_medium: false,
            contents,
            uid: 1001,
            fs: Ext4,
            pinned: None,
            may_format: true,
        }
    }

    fn reason(facts: &Facts<'_>) -> ErrorReason {
        decide(facts).unwrap_err().reason
    }

    #[test]
    fn a_formatted_volume_is_used_or_refused_and_never_formatted() {
        let own = record(State::Formatted, Ext4);
        let cases = [
            (holds(Ext4, "own"), Ok(Step::Use)),
            (holds(Ext4, "other"), Err(ErrorReason::WrongContents)),
            (holds(Xfs, "own"), Err(ErrorReason::WrongFilesystem)),
            (Contents::Blank, Err(ErrorReason::LostFilesystem)),
            (Contents::Damaged(Ext4), Err(ErrorReason::LostFilesystem)),
            (other(), Err(ErrorReason::LostFilesystem)),
        ];
        for (contents, expected) in cases {
            for same_medium in [true, false] {
                let answer = decide(&Facts {
                    same_medium,
                    ..facts(Some(&own), &contents)
                });
                let answer = answer.map_err(|failure| failure.reason);
                assert_eq!(answer, expected, "{contents:?}");
            }
        }
        let contents = holds(Ext4, "own");
        let changed_policy = Facts {
            fs: Xfs,
            ..facts(Some(&own), &contents)
        };
        assert_eq!(reason(&changed_policy), ErrorReason::WrongFilesystem);
    }

    #[test]
    fn a_half_made_file_system_goes_only_from_the_very_same_medium() {
        let own = record(State::Intended, Ext4);
        for contents in [other(), Contents::Damaged(Ext4), holds(Ext4, "own")] {
            let same = |may_format| Facts {
                same_medium: true,
                may_format,
                ..facts(Some(&own), &contents)
            };
            assert_eq!(decide(&same(true)), Ok(Step::Format { wipe: true }));
            assert_eq!(reason(&same(false)), ErrorReason::BlankVolume);
        }
        let contents = other();
        assert_eq!(reason(&facts(Some(&own), &contents)), ErrorReason::NotEmpty);
        let contents = holds(Ext4, "other");
        let foreign = Facts {
            same_medium: true,
            ..facts(Some(&own), &contents)
        };
        let uuid = "other".to_owned();
        assert_eq!(decide(&foreign), Ok(Step::Adopt { uuid }));
    }

    #[test]
    fn without_memory_only_zeros_are_formatted() {
        let blank = Contents::Blank;
        assert_eq!(
            decide(&facts(None, &blank)),
            Ok(Step::Format { wipe: false })
        );
        let never = |contents| Facts {
            may_format: false,
            ..facts(None, contents)
        };
        assert_eq!(reason(&never(&blank)), ErrorReason::BlankVolume);
        let contents = other();
        assert_eq!(reason(&facts(None, &contents)), ErrorReason::NotEmpty);
        let contents = Contents::Damaged(Xfs);
        assert_eq!(
            reason(&facts(None, &contents)),
            ErrorReason::FilesystemDamaged
        );
        let contents = holds(Xfs, "a");
        assert_eq!(
            reason(&facts(None, &contents)),
            ErrorReason::WrongFilesystem
        );
        let contents = holds(Ext4, "a");
        let uuid = "a".to_owned();
        assert_eq!(decide(&never(&contents)), Ok(Step::Adopt { uuid }));
    }

    #[test]
    fn a_pinned_file_system_is_used_and_nothing_else() {
        let own = record(State::Formatted, Ext4);
        for record in [None, Some(&own)] {
            let of = |contents| Facts {
                pinned: Some("own"),
                ..facts(record, contents)
            };
            let (blank, foreign) = (Contents::Blank, holds(Ext4, "other"));
            let (right, junk) = (holds(Ext4, "own"), other());
            assert_eq!(reason(&of(&blank)), ErrorReason::LostFilesystem);
            assert_eq!(reason(&of(&foreign)), ErrorReason::WrongContents);
            assert_eq!(reason(&of(&junk)), ErrorReason::NotEmpty);
            assert!(decide(&of(&right)).is_ok());
        }
    }

    #[test]
    fn a_file_system_of_another_kind_is_no_remainder_of_ours() {
        let intended = record(State::Intended, Ext4);
        let contents = holds(Xfs, "own");
        for pinned in [None, Some("own")] {
            let same_name = Facts {
                same_medium: true,
                pinned,
                ..facts(Some(&intended), &contents)
            };
            assert_eq!(reason(&same_name), ErrorReason::WrongFilesystem);
        }
    }

    #[test]
    fn a_volume_of_another_tenant_stays_so() {
        let own = record(State::Formatted, Ext4);
        let contents = holds(Ext4, "own");
        let anothers = Facts {
            uid: 1002,
            ..facts(Some(&own), &contents)
        };
        assert_eq!(reason(&anothers), ErrorReason::OtherTenants);
    }

    fn any_contents() -> impl Strategy<Value = Contents> {
        let fs = prop_oneof![Just(Ext4), Just(Xfs)];
        let uuid = prop_oneof![Just("own"), Just("other")];
        prop_oneof![
            Just(Contents::Blank),
            Just(other()),
            fs.clone().prop_map(Contents::Damaged),
            (fs, uuid).prop_map(|(fs, uuid)| holds(fs, uuid)),
        ]
    }

    proptest! {
        /// Whatever is true, a file system is made only on zeros or on what is left of our own.
        #[test]
        fn nothing_but_zeros_and_own_remains_is_ever_formatted(
            contents in any_contents(),
            remembered in prop::option::of(prop_oneof![Just(State::Intended), Just(State::Formatted)]),
            same_medium: bool, may_format: bool, pinned: bool, uid in 1001_u32..1003,
        ) {
            let own = remembered.map(|state| record(state, Ext4));
            let step = decide(&Facts {
                record: own.as_ref(),
                same_medium,
                contents: &contents,
                uid,
                fs: Ext4,
                pinned: pinned.then_some("own"),
                may_format,
            });
            if let Ok(Step::Format { wipe }) = step {
                prop_assert!(may_format && remembered != Some(State::Formatted));
                prop_assert!(!pinned || contents == holds(Ext4, "own"));
                let remains = remembered == Some(State::Intended) && same_medium;
                prop_assert!(contents == Contents::Blank || (wipe && remains));
                prop_assert!(contents != holds(Ext4, "other") && contents != holds(Xfs, "other"));
            }
        }
    }
}
