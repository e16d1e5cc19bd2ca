//! Running apparmor_parser(8), which compiles profiles and gives them to the kernel.
//!
//! The text goes to its standard input, so it opens no file that anyone could name. Its run time
//! and memory can grow exponentially with a profile's text, so it runs under limits, alone in a
//! process group of its own that is killed as a whole.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Resource, Rlimit, Signal};

/// Processor time, seconds. What is loaded here is compiled again at each boot, with no limit: one
/// tenant's profile may not hold up the host. An ordinary one takes hundredths of a second.
const MAX_CPU: u64 = 3;
/// Address space, bytes.
const MAX_MEMORY: u64 = 512 << 20;
/// Time from start to end.
const MAX_TIME: Duration = Duration::from_secs(20);
/// As much of each output as is kept, bytes.
const MAX_OUTPUT: usize = 8 << 10;

/// Why a profile was not compiled, loaded or unloaded. None of the parser's text is in it: that
/// text may quote files of root's.
#[derive(Debug, thiserror::Error)]
pub enum ParserError {
    /// It is not there, or the kernel refused a step of running it.
    #[error("apparmor_parser cannot be run")]
    Run(#[source] io::Error),
    /// It did not end in time, or went over a limit.
    #[error("apparmor_parser used too much time or memory")]
    Limits,
    /// It says that it failed; its text is in the daemon's log.
    #[error("apparmor_parser refused the profile")]
    Rejected,
    /// The text defines something else than the one profile.
    #[error("apparmor_parser found an unexpected profile")]
    Names,
}

/// Verifies that `text` defines the profile `name` and nothing else, and that it compiles.
pub(super) fn check(parser: &Path, name: &str, text: &str) -> Result<(), ParserError> {
    let names = run(parser, &["-j0", "-K", "-N"], text)?;
    if names.trim_end_matches('\n') != name {
        tracing::error!(
            profile = name,
            ?names,
            "apparmor_parser names other profiles"
        );
        return Err(ParserError::Names);
    }
    run(parser, &["-j0", "-K", "-Q"], text).map(drop)
}

/// Gives the profile to the kernel, which puts it in the place of one of the same name.
pub(super) fn load(parser: &Path, text: &str) -> Result<(), ParserError> {
    run(parser, &["-j0", "-K", "-r"], text).map(drop)
}

/// Takes the profile out of the kernel.
pub(super) fn unload(parser: &Path, text: &str) -> Result<(), ParserError> {
    run(parser, &["-j0", "-K", "-R"], text).map(drop)
}

/// Runs the parser with `text` as its input; its standard output.
fn run(parser: &Path, args: &[&str], text: &str) -> Result<String, ParserError> {
    let ended = Running::start(parser, args)
        .and_then(|running| running.feed(text.as_bytes()))
        .map_err(ParserError::Run)?;
    let Some(status) = ended.status else {
        tracing::error!(?args, "apparmor_parser did not end in time");
        return Err(ParserError::Limits);
    };
    let (said, complained) = (lossy(&ended.output), lossy(&ended.errors));
    // Some versions exit with 0 after an error (snapd's sandbox/apparmor/profile.go).
    let failed = |text: &str| text.to_ascii_lowercase().contains("parser error");
    if status.success() && !failed(&said) && !failed(&complained) {
        return Ok(said);
    }
    tracing::error!(?args, %status, ?said, ?complained, "apparmor_parser failed");
    if status.code().is_none() {
        return Err(ParserError::Limits);
    }
    Err(ParserError::Rejected)
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A parser that waits for its input.
struct Running {
    child: Group,
    ended: OwnedFd,
    input: PipeWriter,
    output: PipeReader,
    errors: PipeReader,
}

struct Ended {
    /// `None` when it was killed because its time was over.
    status: Option<ExitStatus>,
    output: Vec<u8>,
    errors: Vec<u8>,
}

impl Running {
    fn start(parser: &Path, args: &[&str]) -> io::Result<Self> {
        let (stdin, input) = io::pipe()?;
        let (output, stdout) = io::pipe()?;
        let (errors, stderr) = io::pipe()?;
        let child = Command::new(parser)
            .args(args)
            .env_clear()
            .env("LC_ALL", "C")
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .current_dir("/")
            .process_group(0)
            .stdin(stdin)
            .stdout(stdout)
            .stderr(stderr)
            .spawn()?;
        let child = Group {
            child,
            waited: false,
        };
        // Before a byte of the text is there to be worked on.
        limit(child.pid())?;
        rustix::io::ioctl_fionbio(&input, true)?;
        let ended = rustix::process::pidfd_open(child.pid(), PidfdFlags::empty())?;
        Ok(Self {
            child,
            ended,
            input,
            output,
            errors,
        })
    }

    /// Writes `text`, reads what comes, until the parser ends or its time is over.
    fn feed(mut self, text: &[u8]) -> io::Result<Ended> {
        let deadline = Instant::now() + MAX_TIME;
        let (mut output, mut errors) = (CapturedOutput::default(), CapturedOutput::default());
        let mut input = Some((self.input, text));
        loop {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else {
                return Ok(Ended::of(None, output, errors));
            };
            let mut watched = vec![PollFd::new(&self.ended, PollFlags::IN)];
            watched.extend(
                output
                    .open
                    .then(|| PollFd::new(&self.output, PollFlags::IN)),
            );
            watched.extend(
                errors
                    .open
                    .then(|| PollFd::new(&self.errors, PollFlags::IN)),
            );
            watched.extend(
                input
                    .iter()
                    .map(|(pipe, _)| PollFd::new(pipe, PollFlags::OUT)),
            );
            let wait = Timespec::try_from(left).map_err(io::Error::other)?;
            match poll(&mut watched, Some(&wait)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            drop(watched);
            // Checked before the outputs are read: what it wrote before its end is then there.
            let over = is_ready(&self.ended, PollFlags::IN)?;
            input = match input {
                Some((pipe, rest)) => write_some(pipe, rest)?,
                None => None,
            };
            output.read_from(&mut self.output)?;
            errors.read_from(&mut self.errors)?;
            if over {
                let status = self.child.end()?;
                return Ok(Ended::of(Some(status), output, errors));
            }
        }
    }
}

impl Ended {
    fn of(status: Option<ExitStatus>, output: CapturedOutput, errors: CapturedOutput) -> Self {
        Self {
            status,
            output: output.bytes,
            errors: errors.bytes,
        }
    }
}

/// A child that leads a process group of its own. Whatever happens, the group is killed and the
/// child is waited for.
struct Group {
    child: Child,
    waited: bool,
}

impl Group {
    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Until the child is waited for, its number is nobody else's.
    fn end(&mut self) -> io::Result<ExitStatus> {
        // Fails when nobody of the group is left.
        let _ = rustix::process::kill_process_group(self.pid(), Signal::KILL);
        self.waited = true;
        self.child.wait()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.waited {
            // Nobody is left to report it to.
            let _ = self.end();
        }
    }
}

/// The first part of an output; the rest is read and dropped, so that the child is not held up.
struct CapturedOutput {
    bytes: Vec<u8>,
    open: bool,
}

impl Default for CapturedOutput {
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            open: true,
        }
    }
}

impl CapturedOutput {
    /// Reads what is there now, at most some rounds of it: the deadline is looked at in between.
    fn read_from(&mut self, pipe: &mut PipeReader) -> io::Result<()> {
        let mut buffer = [0; 4096];
        for _ in 0..16 {
            if !self.open || !is_ready(&*pipe, PollFlags::IN)? {
                return Ok(());
            }
            let length = pipe.read(&mut buffer)?;
            self.open = length > 0;
            let room = MAX_OUTPUT.saturating_sub(self.bytes.len());
            self.bytes.extend(buffer.iter().take(length.min(room)));
        }
        Ok(())
    }
}

/// Writes as much as the pipe takes; the pipe is closed when all is written or nobody reads.
fn write_some(mut pipe: PipeWriter, text: &[u8]) -> io::Result<Option<(PipeWriter, &[u8])>> {
    let written = match pipe.write(text) {
        Ok(written) => written,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
        Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(None),
        Err(error) => return Err(error),
    };
    let rest = text.get(written..).unwrap_or_default();
    Ok((!rest.is_empty()).then_some((pipe, rest)))
}

fn is_ready(fd: impl AsFd, flags: PollFlags) -> io::Result<bool> {
    let now = Timespec::default();
    let ready = poll(&mut [PollFd::new(&fd, flags)], Some(&now));
    match ready {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Limits the child from outside: it has no text yet, so it has done nothing that matters.
fn limit(child: Pid) -> io::Result<()> {
    for (resource, most) in [
        (Resource::Cpu, MAX_CPU),
        (Resource::As, MAX_MEMORY),
        (Resource::Core, 0),
    ] {
        let limit = Rlimit {
            current: Some(most),
            maximum: Some(most),
        };
        rustix::process::prlimit(Some(child), resource, limit)?;
    }
    Ok(())
}
