//! Running nft(8): a fixed program, fixed arguments, an empty environment, the table on its standard
//! input.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use aistack_policy::guard::TABLE;

/// Where Debian's package `nftables` has it.
const PROGRAM: &str = "/usr/sbin/nft";
/// Numbers instead of names (a new line in /etc/passwd changes nothing), no counters.
const LIST: [&str; 6] = ["-n", "-s", "list", "table", "inet", TABLE];
/// As much of a message as is shown, bytes.
const MAX_MESSAGE: usize = 1024;

/// nft(8) of this host.
#[derive(Debug, Clone)]
pub struct Nft {
    program: PathBuf,
}

/// Why nft did not do it.
#[derive(Debug, thiserror::Error)]
pub enum NftError {
    /// It is not there.
    #[error("{PROGRAM} is not installed; apt install nftables")]
    NotInstalled,
    /// The kernel refused to run it.
    #[error("cannot run {PROGRAM}")]
    Run(#[source] io::Error),
    /// It says why.
    #[error("nft cannot {step}: {message}")]
    Rejected {
        /// Verb phrase.
        step: &'static str,
        /// The first lines that it wrote.
        message: String,
    },
}

impl Default for Nft {
    fn default() -> Self {
        Self {
            program: PROGRAM.into(),
        }
    }
}

impl Nft {
    /// Another program in its place, for tests.
    #[must_use]
    pub fn at(program: &Path) -> Self {
        Self {
            program: program.to_owned(),
        }
    }

    /// Gives the text to the kernel: all of it or nothing.
    ///
    /// # Errors
    /// When it cannot be run, or refuses.
    pub fn load(&self, text: &str) -> Result<(), NftError> {
        let done = self.run(&["-f", "-"], text)?;
        succeeded("load the table", &done)
    }

    /// What the kernel has, as nft writes it; `None` without the table.
    ///
    /// # Errors
    /// When it cannot be run, or fails for another reason.
    pub fn list(&self) -> Result<Option<String>, NftError> {
        let done = self.run(&LIST, "")?;
        if done.status.success() {
            return Ok(Some(String::from_utf8_lossy(&done.stdout).into_owned()));
        }
        if String::from_utf8_lossy(&done.stderr).contains("No such file or directory") {
            return Ok(None);
        }
        succeeded("list the table", &done).map(|()| None)
    }

    /// Removes the table; false when there was none.
    ///
    /// # Errors
    /// When it cannot be run, or refuses.
    pub fn remove(&self) -> Result<bool, NftError> {
        let there = match self.list() {
            // What cannot have made a table need not remove one.
            Err(NftError::NotInstalled) => false,
            other => other?.is_some(),
        };
        if there {
            // Removed by somebody else meanwhile is removed: the first line makes it where it is missing.
            let text = format!("table inet {TABLE}\ndelete table inet {TABLE}\n");
            let done = self.run(&["-f", "-"], &text)?;
            succeeded("remove the table", &done)?;
        }
        Ok(there)
    }

    fn run(&self, args: &[&str], input: &str) -> Result<Output, NftError> {
        let mut child = Command::new(&self.program)
            .args(args)
            .env_clear()
            .env("LC_ALL", "C")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => NftError::NotInstalled,
                _ => NftError::Run(error),
            })?;
        // nft reads all of its input before it writes anything. A nft that has ended says why itself.
        let stdin = child.stdin.take();
        let fed = stdin.map_or(Ok(()), |mut stdin| stdin.write_all(input.as_bytes()));
        let done = child.wait_with_output().map_err(NftError::Run)?;
        match fed {
            Err(error) if done.status.success() => Err(NftError::Run(error)),
            _ => Ok(done),
        }
    }
}

fn succeeded(step: &'static str, done: &Output) -> Result<(), NftError> {
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    let mut message: String = said.trim().chars().take(MAX_MESSAGE).collect();
    if message.is_empty() {
        message = done.status.to_string();
    }
    Err(NftError::Rejected { step, message })
}
