//! What is said to a running HAProxy by its admin socket (its management.txt, "Unix Socket commands").

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use super::IngressError;
use super::admin_socket::{AdminSocketError, connect};
use super::files::IngressFiles;

/// HAProxy answers from the loop that serves its visitors.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest answer: as many domains as there can be, each with its number and address.
const MAX_ANSWER: usize = 64 << 20;
/// A command must fit into HAProxy's buffer of 16 KiB (tune.bufsize).
const CHUNK: usize = 8 << 10;

/// The HAProxy behind an admin socket.
#[derive(Debug)]
pub struct HaProxy {
    files: IngressFiles,
}

impl HaProxy {
    /// The one that runs with these files.
    #[must_use]
    pub fn of(files: &IngressFiles) -> Self {
        Self {
            files: files.clone(),
        }
    }

    /// True when one runs.
    ///
    /// # Errors
    /// When something else has the place of its admin socket.
    pub fn answers(&self) -> Result<bool, IngressError> {
        match self.ask("show info\n") {
            Ok(_) => Ok(true),
            Err(IngressError::Socket { source, .. }) if source.is_absence() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The routes that are in force.
    ///
    /// # Errors
    /// When it does not answer, or not with a map.
    pub fn routes(&self) -> Result<BTreeMap<String, Ipv4Addr>, IngressError> {
        let command = format!("show map {}\n", self.files.map().display());
        let answer = self.ask(&command)?;
        let mut routes = BTreeMap::new();
        for line in answer.lines().filter(|line| !line.is_empty()) {
            // The first field is where the entry is in memory.
            let mut fields = line.split(' ').skip(1);
            let route = fields.next().zip(fields.next());
            let Some((domain, Ok(address))) = route.map(|(name, to)| (name, to.parse())) else {
                return Err(unexpected(&command, &answer));
            };
            routes.insert(domain.to_owned(), address);
        }
        Ok(routes)
    }

    /// Puts these routes in the place of those in force, all at one moment; then looks.
    ///
    /// # Errors
    /// When it does not answer, or has other routes afterwards. Up to the last step the old ones are in
    /// force.
    pub fn replace(&self, wanted: &BTreeMap<String, Ipv4Addr>) -> Result<(), IngressError> {
        let path = self.files.map();
        let map = path.display();
        let prepare = format!("prepare map {map}\n");
        let answer = self.ask(&prepare)?;
        let version = answer
            .trim()
            .strip_prefix("New version created: ")
            .and_then(|version| version.parse::<u32>().ok())
            .ok_or_else(|| unexpected(&prepare, &answer))?;
        let head = format!("add map @{version} {map} <<\n");
        let mut lines = String::new();
        for (domain, address) in wanted {
            let _ = writeln!(lines, "{domain} {address}");
            if lines.len() > CHUNK {
                self.must_be_silent(&format!("{head}{lines}\n"))?;
                lines.clear();
            }
        }
        if !lines.is_empty() {
            self.must_be_silent(&format!("{head}{lines}\n"))?;
        }
        self.must_be_silent(&format!("commit map @{version} {map}\n"))?;
        let routes = self.routes()?;
        if routes == *wanted {
            return Ok(());
        }
        let right = |(domain, address): &(&String, &Ipv4Addr)| wanted.get(*domain) == Some(address);
        Err(IngressError::NotTaken {
            has: routes.iter().filter(right).count(),
            wanted: wanted.len(),
        })
    }

    /// One command whose answer is empty when it was done.
    fn must_be_silent(&self, command: &str) -> Result<(), IngressError> {
        let answer = self.ask(command)?;
        if answer.trim().is_empty() {
            return Ok(());
        }
        Err(unexpected(command, &answer))
    }

    /// One command a connection; the answer ends with it.
    fn ask(&self, command: &str) -> Result<String, IngressError> {
        exchange(&self.files, command).map_err(|source| IngressError::Socket {
            socket: self.files.admin_socket(),
            source,
        })
    }
}

/// The whole of it takes `PATIENCE` at most: HAProxy's user may send a byte at a time.
fn exchange(files: &IngressFiles, command: &str) -> Result<String, AdminSocketError> {
    let end = Instant::now() + PATIENCE;
    let mut stream = connect(files.dir(), PATIENCE)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(command.as_bytes())?;
    let mut answer = Vec::new();
    let mut part = [0; 16 << 10];
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() || answer.len() > MAX_ANSWER {
            return Err(io::Error::from(io::ErrorKind::TimedOut).into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut part)? {
            0 => break,
            count => answer.extend_from_slice(part.get(..count).unwrap_or_default()),
        }
    }
    String::from_utf8(answer)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error).into())
}

fn unexpected(command: &str, answer: &str) -> IngressError {
    let first = |text: &str| {
        text.lines()
            .next()
            .unwrap_or_default()
            .chars()
            .take(200)
            .collect()
    };
    IngressError::Answer {
        command: first(command),
        answer: first(answer),
    }
}
