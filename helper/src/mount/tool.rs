//! Running mkfs, fsck and the like on a volume.

use std::io::{PipeReader, Read};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Result;
use super::wire::{Error, ErrorReason};

/// Where the tools are; nothing else is looked at.
const DIRECTORIES: [&str; 2] = ["/usr/sbin", "/sbin"];
/// As much of a tool's output as is kept, bytes.
const MAX_OUTPUT: usize = 2048;
/// The volume as the tools see it: their standard input, so no name is looked up between the check
/// and the use. The volume's lock is the descriptor's, so it holds as long as an orphaned tool runs.
pub(super) const VOLUME: &str = "/proc/self/fd/0";

/// How a tool ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// Exit code; `None` when a signal ended it.
    pub(super) code: Option<i32>,
    /// The first part of what it wrote, on one line.
    pub(super) output: String,
}

/// Runs `name` with `volume` as standard input and nothing in its environment.
pub(super) fn run(name: &str, args: &[&str], volume: &OwnedFd, limit: Duration) -> Result<Ended> {
    let failed = |error: std::io::Error| internal(format!("cannot run {name}: {error}"));
    let program = DIRECTORIES
        .iter()
        .map(|place| Path::new(place).join(name))
        .find(|path| path.is_file())
        .ok_or_else(|| internal(format!("{name} is not installed on this host")))?;
    let (mut reader, writer) = std::io::pipe().map_err(failed)?;
    let mut child = Command::new(program)
        .args(args)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(volume.try_clone().map_err(failed)?))
        .stdout(writer.try_clone().map_err(failed)?)
        .stderr(writer)
        .spawn()
        .map_err(failed)?;
    let output = read_until(&mut reader, Instant::now() + limit);
    let Some(output) = output else {
        end(&mut child);
        let seconds = limit.as_secs();
        return Err(internal(format!(
            "{name} took more than {seconds} s and was killed"
        )));
    };
    let status = child.wait().map_err(failed)?;
    Ok(Ended {
        code: status.code(),
        output: one_line(&output),
    })
}

/// Reads until the other end is closed; `None` when the time is over first, or reading fails.
fn read_until(reader: &mut PipeReader, deadline: Instant) -> Option<Vec<u8>> {
    let mut kept = Vec::new();
    let mut buffer = [0; 512];
    loop {
        let left = deadline.checked_duration_since(Instant::now())?;
        let wait = Timespec::try_from(left).ok()?;
        match poll(&mut [PollFd::new(&*reader, PollFlags::IN)], Some(&wait)) {
            Ok(0) => return None,
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(_) => return None,
        }
        match reader.read(&mut buffer).ok()? {
            0 => return Some(kept),
            length => {
                let room = MAX_OUTPUT.saturating_sub(kept.len());
                kept.extend(buffer.iter().take(length.min(room)));
            }
        }
    }
}

fn end(child: &mut Child) {
    // Both fail only when it has ended already.
    let _ = child.kill();
    let _ = child.wait();
}

/// Printable text on one line, whatever the tool wrote.
fn one_line(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let words: Vec<String> = text
        .split_whitespace()
        .map(|word| word.chars().filter(|letter| !letter.is_control()).collect())
        .collect();
    words.join(" ")
}

fn internal(message: String) -> Error {
    Error::new(ErrorReason::Internal, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn null() -> OwnedFd {
        std::fs::File::open("/dev/null").unwrap().into()
    }

    #[test]
    fn a_tool_that_is_missing_is_named() {
        let failure = run("no-such-mkfs", &[], &null(), Duration::from_secs(1)).unwrap_err();
        assert!(
            failure.message.contains("no-such-mkfs"),
            "{}",
            failure.message
        );
    }

    #[test]
    fn output_and_code_come_back_and_output_is_one_line() {
        let ended = run("mkfs.ext4", &["-V"], &null(), Duration::from_secs(10)).unwrap();
        assert_eq!(ended.code, Some(0));
        assert!(ended.output.contains("mke2fs"), "{}", ended.output);
        assert!(!ended.output.contains('\n'));
    }

    #[test]
    fn reading_stops_at_the_deadline_and_at_the_bound() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let soon = Instant::now() + Duration::from_millis(30);
        assert_eq!(read_until(&mut reader, soon), None);
        std::thread::spawn(move || {
            use std::io::Write;
            let mut writer = writer;
            writer.write_all(&[b'x'; 10_000]).unwrap();
        });
        let later = Instant::now() + Duration::from_secs(5);
        assert_eq!(
            read_until(&mut reader, later).map(|kept| kept.len()),
            Some(MAX_OUTPUT)
        );
    }
}
