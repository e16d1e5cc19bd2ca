//! The two profile sources. Each is written once, from the default that this client brings, and is
//! the tenant's from then on: what is there is never overwritten. Beside each lies a hidden file
//! with the digest of the default it was written from, so that a newer default is noticed.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use aistack_policy::apparmor::{self as language, Kind, Names};
use aistack_proto::v1::Grant;
use sha2::{Digest, Sha256};

use super::RejectedSource;
use crate::error::CliError;
use crate::exit::Exit;
use crate::fs::atomic;

/// No source is longer, bytes; what is longer is refused by its size alone.
const MAX_SOURCE: u64 = 64 * 1024;

/// One profile source.
#[derive(Debug, Clone)]
pub struct Source {
    /// Which of the two.
    pub kind: Kind,
    /// Name of the profile and of the file.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// The default that this client brings.
    pub default: String,
    names: Names,
}

/// Where the text of a source comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edition {
    /// There is no file: the helper takes the default.
    Missing,
    /// It is the default.
    Default,
    /// The tenant's own, made from the default of this client or from nothing.
    Own,
    /// An older default, as it was written.
    OldDefault,
    /// The tenant's own, made from an older default.
    OwnOfOld,
}

impl Edition {
    /// For people.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Missing => "is missing; the helper uses the default",
            Self::Default => "is the default",
            Self::Own => "is edited by you",
            Self::OldDefault => "is the default of an earlier version",
            Self::OwnOfOld => "is edited by you, and the default has changed since",
        }
    }

    /// For programs.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Default => "default",
            Self::Own => "own",
            Self::OldDefault => "old-default",
            Self::OwnOfOld => "own-of-old-default",
        }
    }

    /// Whether there is a newer default to look at.
    #[must_use]
    pub fn is_old(self) -> bool {
        matches!(self, Self::OldDefault | Self::OwnOfOld)
    }
}

/// Both sources of the caller.
///
/// # Errors
/// When the grant names other profiles than this client knows of.
pub fn sources(grant: &Grant) -> Result<[Source; 2], CliError> {
    let names = names(grant).ok_or_else(|| {
        CliError::new(
            Exit::Failed,
            format!(
                "the helper calls your profiles {} and {}, which this client does not understand",
                grant.platform_profile, grant.openclaw_profile
            ),
        )
        .next("the client and the helper are incompatible: ask the administrator to upgrade them")
    })?;
    let base_dir = Path::new(&grant.base_dir);
    Ok(Kind::ALL.map(|kind| Source::new(base_dir, kind, &names)))
}

/// The sources in a directory that the caller names, where no helper tells the grant: the services'
/// is named after the caller, OpenClaw's after its own UID, which only its file tells.
///
/// # Errors
/// When the directory cannot be read.
pub fn sources_in(base_dir: &Path) -> Result<Vec<Source>, CliError> {
    let directory = base_dir.join("apparmor");
    let entries =
        std::fs::read_dir(&directory).map_err(|error| CliError::io("read", &directory, &error))?;
    let openclaw_uid = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .find_map(|name| name.strip_prefix("ai-platform-openclaw-")?.parse().ok());
    let uid = rustix::process::getuid().as_raw();
    let names = Names::new(
        uid,
        openclaw_uid.unwrap_or(uid),
        &base_dir.to_string_lossy(),
    );
    let known = |kind: &Kind| *kind == Kind::Platform || openclaw_uid.is_some();
    Ok(Kind::ALL
        .into_iter()
        .filter(known)
        .map(|kind| Source::new(base_dir, kind, &names))
        .collect())
}

/// The names as the pure language derives them, where they are those of the grant.
fn names(grant: &Grant) -> Option<Names> {
    let openclaw_uid = grant.openclaw_profile.rsplit('-').next()?.parse().ok()?;
    let names = Names::new(grant.uid, openclaw_uid, &grant.base_dir);
    let same = names.name(Kind::Platform) == grant.platform_profile
        && names.name(Kind::Openclaw) == grant.openclaw_profile;
    same.then_some(names)
}

impl Source {
    fn new(base_dir: &Path, kind: Kind, names: &Names) -> Self {
        let name = language::file_name(kind, names).to_owned();
        Self {
            kind,
            path: base_dir.join("apparmor").join(&name),
            default: language::template(kind, names),
            names: names.clone(),
            name,
        }
    }

    /// Writes the default where there is no file; true when it was written.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn write_missing(&self) -> Result<bool, CliError> {
        let failed = |error: io::Error| CliError::io("write", &self.path, &error);
        let written =
            atomic::write_new(&self.path, self.default.as_bytes(), 0o600).map_err(failed)?;
        if written {
            self.remember_default().map_err(failed)?;
        }
        Ok(written)
    }

    /// Puts the default in place of what is there, which is kept beside it as `NAME.bak`.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn reset(&self) -> Result<(), CliError> {
        let failed = |error: io::Error| CliError::io("write", &self.path, &error);
        if let Some(text) = self.read()? {
            atomic::write(&self.backup(), &text, 0o600).map_err(failed)?;
        }
        atomic::write(&self.path, self.default.as_bytes(), 0o600).map_err(failed)?;
        self.remember_default().map_err(failed)
    }

    /// Takes the text that is there as made from the default of this client.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn keep(&self) -> Result<(), CliError> {
        self.remember_default()
            .map_err(|error| CliError::io("write", &self.record(), &error))
    }

    /// The text; `None` when there is no file. Of a file that is too long only so much is read that
    /// its vetting tells.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn read(&self) -> Result<Option<Vec<u8>>, CliError> {
        let mut text = Vec::new();
        let read = File::open(&self.path)
            .and_then(|file| file.take(MAX_SOURCE + 1).read_to_end(&mut text));
        match read {
            Ok(_) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(CliError::io("read", &self.path, &error)),
        }
    }

    /// Where the text comes from.
    #[must_use]
    pub fn edition(&self, text: Option<&[u8]>) -> Edition {
        let Some(text) = text else {
            return Edition::Missing;
        };
        if text == self.default.as_bytes() {
            return Edition::Default;
        }
        let made_from = std::fs::read_to_string(self.record()).ok();
        match made_from.as_deref().map(str::trim) {
            Some(old) if old == digest(text) => Edition::OldDefault,
            Some(old) if old != digest(self.default.as_bytes()) => Edition::OwnOfOld,
            Some(_) | None => Edition::Own,
        }
    }

    /// Vets a text as the helper will; the line is quoted where it is refused.
    ///
    /// # Errors
    /// Why the helper will refuse it.
    pub fn vet(&self, text: &[u8]) -> Result<(), RejectedSource> {
        match language::vet(text, self.kind, &self.names) {
            Ok(_) => Ok(()),
            Err(refusal) => Err(RejectedSource {
                path: self.path.clone(),
                line: refusal.line,
                code: refusal.code.to_string(),
                sentence: refusal.sentence.to_owned(),
                quoted: None,
            }
            .quoting(text)),
        }
    }

    /// The label that containers of this kind get.
    #[must_use]
    pub fn label(&self) -> String {
        self.names.label(self.kind)
    }

    /// Where [`Source::reset`] keeps what was there.
    #[must_use]
    pub fn backup(&self) -> PathBuf {
        self.path.with_file_name(format!("{}.bak", self.name))
    }

    fn record(&self) -> PathBuf {
        self.path.with_file_name(format!(".{}.default", self.name))
    }

    fn remember_default(&self) -> io::Result<()> {
        let digest = digest(self.default.as_bytes());
        atomic::write(&self.record(), format!("{digest}\n").as_bytes(), 0o600)
    }
}

fn digest(text: &[u8]) -> String {
    Sha256::digest(text)
        .iter()
        .fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::confinement::tests::who;
    use super::*;

    fn in_directory(directory: &Path) -> [Source; 2] {
        let who = who(aistack_proto::v1::AppArmorMode::IfAvailable, true, false);
        let mut grant = who.grant.unwrap();
        grant.base_dir = directory.to_str().unwrap().to_owned();
        std::fs::create_dir_all(directory.join("apparmor")).unwrap();
        sources(&grant).unwrap()
    }

    #[test]
    fn the_default_is_written_once_and_never_over_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        for source in in_directory(dir.path()) {
            assert!(source.write_missing().unwrap());
            let found = std::fs::metadata(&source.path).unwrap();
            assert_eq!(found.permissions().mode() & 0o7777, 0o600);
            let text = source.read().unwrap();
            assert_eq!(source.edition(text.as_deref()), Edition::Default);
            std::fs::write(&source.path, "mine").unwrap();
            assert!(!source.write_missing().unwrap());
            assert_eq!(source.read().unwrap().unwrap(), b"mine");
            assert_eq!(source.edition(Some(b"mine")), Edition::Own);
        }
    }

    #[test]
    fn a_link_in_its_place_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let [source, _] = in_directory(dir.path());
        std::os::unix::fs::symlink("/nonexistent/file", &source.path).unwrap();
        assert!(!source.write_missing().unwrap());
    }

    #[test]
    fn a_newer_default_is_reported_whether_the_file_was_edited_or_not() {
        let dir = tempfile::tempdir().unwrap();
        let [mut source, _] = in_directory(dir.path());
        source.write_missing().unwrap();
        let old = source.default.clone();
        source.default = format!("# newer\n{old}");
        assert_eq!(source.edition(Some(old.as_bytes())), Edition::OldDefault);
        let edited = format!("{old}# mine\n");
        assert_eq!(source.edition(Some(edited.as_bytes())), Edition::OwnOfOld);
        assert_eq!(source.edition(None), Edition::Missing);
        source.keep().unwrap();
        assert_eq!(source.edition(Some(edited.as_bytes())), Edition::Own);
        // Without a record nobody knows what it was made from.
        std::fs::remove_file(source.record()).unwrap();
        assert_eq!(source.edition(Some(old.as_bytes())), Edition::Own);
    }

    #[test]
    fn a_reset_keeps_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let [source, _] = in_directory(dir.path());
        std::fs::write(&source.path, "mine").unwrap();
        source.reset().unwrap();
        let text = source.read().unwrap().unwrap();
        assert_eq!(source.edition(Some(&text)), Edition::Default);
        assert_eq!(std::fs::read(source.backup()).unwrap(), b"mine");
    }

    #[test]
    fn the_defaults_are_accepted() {
        let dir = tempfile::tempdir().unwrap();
        for source in in_directory(dir.path()) {
            assert_eq!(source.vet(source.default.as_bytes()), Ok(()));
        }
    }

    #[test]
    fn a_refused_line_is_quoted() {
        let dir = tempfile::tempdir().unwrap();
        let [source, _] = in_directory(dir.path());
        let text = format!("profile {} {{\n  file,\n  mount,\n}}\n", source.name);
        let refused = source.vet(text.as_bytes()).unwrap_err();
        assert_eq!((refused.line, refused.code.as_str()), (3, "E_RULE"));
        assert_eq!(refused.quoted.as_deref(), Some("  mount,"));
    }

    #[test]
    fn without_a_helper_the_files_tell_the_names() {
        let dir = tempfile::tempdir().unwrap();
        assert!(sources_in(dir.path()).is_err());
        let uid = rustix::process::getuid().as_raw();
        let directory = dir.path().join("apparmor");
        std::fs::create_dir(&directory).unwrap();
        let names = |sources: &[Source]| {
            let names = sources.iter().map(|source| source.name.clone());
            names.collect::<Vec<_>>()
        };
        let alone = sources_in(dir.path()).unwrap();
        assert_eq!(names(&alone), [format!("ai-platform-{uid}")]);
        std::fs::write(directory.join("ai-platform-openclaw-2001"), "").unwrap();
        let both = sources_in(dir.path()).unwrap();
        assert_eq!(names(&both)[1], "ai-platform-openclaw-2001");
    }

    #[test]
    fn a_grant_with_other_names_is_not_understood() {
        let mut grant = Grant {
            uid: 1001,
            platform_profile: "ai-platform-1001".to_owned(),
            openclaw_profile: "ai-platform-openclaw-2001".to_owned(),
            ..Grant::default()
        };
        assert!(sources(&grant).is_ok());
        grant.platform_profile = "docker-default".to_owned();
        assert!(sources(&grant).is_err());
    }
}
