//! One rule of a tenant, and how it is written again.

use std::fmt;

use super::lines::{NO_VARIABLES, split_words};
use super::names::Kind;
use super::path::RulePath;
use super::perms::Perms;
use super::refusal::{Code, LineError, reject};
use super::sockets::Sockets;
use super::words::{ALLOWED_CAPABILITIES, CAPABILITIES, NO_BLOCKS, refused};

/// A rule that a tenant wrote. Nothing but the path is text of the tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rule {
    /// `include <abstractions/base>`, which stands for [`BASE`].
    Base,
    /// `file,`: all files, narrowed by the baseline.
    AllFiles,
    File {
        deny: bool,
        owner: bool,
        path: RulePath,
        perms: Perms,
    },
    Capability {
        deny: bool,
        name: &'static str,
    },
    Network {
        deny: bool,
        sockets: Sockets,
    },
}

/// What every dynamically linked program reads, in place of Debian's abstractions/base, which would
/// bring variables and further includes. All of it may be written by an openclaw profile too.
pub(super) const BASE: [&str; 9] = [
    "/dev/{null,zero,full} rw",
    "/dev/{random,urandom} r",
    "/etc/{ld.so.cache,ld.so.preload,localtime,locale.alias} r",
    "/{,usr/}{lib,lib32,lib64}/** rm",
    "/usr/share/{locale,locale-langpack,zoneinfo}/** r",
    "/proc/[1-9]*/{auxv,maps,status} r",
    "/proc/{cpuinfo,meminfo,stat} r",
    "/proc/sys/kernel/{cap_last_cap,ngroups_max,version} r",
    "/sys/devices/system/cpu/{online,possible} r",
];

impl Rule {
    pub(super) fn parse(text: &str, kind: Kind) -> Result<Self, LineError> {
        if is_include(text, "<abstractions/base>") {
            return Ok(Self::Base);
        }
        check_shape(text)?;
        let Some(body) = text.strip_suffix(',') else {
            return reject(
                Code::Syntax,
                "a rule ends with a comma, and is alone on its line",
            );
        };
        let mut words = split_words(body).peekable();
        let deny = words.next_if_eq(&"deny").is_some();
        if let Some(why) = words.peek().and_then(|word| refused(word)) {
            return Err(why);
        }
        match words.peek() {
            Some(&"capability") => capability(&words.skip(1).collect::<Vec<_>>(), deny, kind),
            Some(&"network") => Ok(Self::Network {
                deny,
                sockets: Sockets::parse(words.skip(1))?,
            }),
            Some(_) => file(words.collect(), deny, kind),
            None => reject(Code::Syntax, NO_RULE),
        }
    }

    /// As a tenant writes it, in the one canonical form.
    pub(super) fn source(&self) -> String {
        let end = if matches!(self, Self::Base) { "" } else { "," };
        format!("{self}{end}")
    }

    /// The rules of the profile that it stands for, each without its comma.
    pub(super) fn expand(&self) -> Vec<String> {
        match self {
            Self::Base => BASE.map(str::to_owned).to_vec(),
            Self::Network { deny, sockets } => sockets
                .sockets
                .iter()
                .map(|socket| format!("{}network {socket}", word("deny ", *deny)))
                .collect(),
            _ => vec![self.to_string()],
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Base => out.write_str("include <abstractions/base>"),
            Self::AllFiles => out.write_str("file"),
            Self::File {
                deny,
                owner,
                path,
                perms,
            } => {
                let (deny, owner) = (word("deny ", *deny), word("owner ", *owner));
                write!(out, "{deny}{owner}{path} {perms}")
            }
            Self::Capability { deny, name } => {
                write!(out, "{}capability {name}", word("deny ", *deny))
            }
            Self::Network { deny, sockets } => {
                let blank = word(" ", !sockets.form.is_empty());
                let deny = word("deny ", *deny);
                write!(out, "{deny}network{blank}{}", sockets.form)
            }
        }
    }
}

fn word(text: &'static str, is_written: bool) -> &'static str {
    if is_written { text } else { "" }
}

/// True for `include TARGET` and `#include TARGET`.
pub(super) fn is_include(text: &str, target: &str) -> bool {
    let text = text.strip_prefix('#').unwrap_or(text);
    split_words(text).eq(["include", target])
}

/// What is not a rule at all, whatever its words are.
fn check_shape(text: &str) -> Result<(), LineError> {
    if let Some(why) = text.split(super::lines::is_blank).next().and_then(refused) {
        return Err(why);
    }
    if text.contains("#include") {
        return reject(
            Code::Include,
            "#include is a directive wherever it stands, even where a comment could begin",
        );
    }
    if text.contains("@{") {
        return reject(Code::Var, NO_VARIABLES);
    }
    if text.ends_with('{') {
        return reject(Code::Block, NO_BLOCKS);
    }
    if text.contains('#') {
        return reject(
            Code::Syntax,
            "a comment begins at the start of a line or after a blank",
        );
    }
    Ok(())
}

const NO_RULE: &str = "this is not a rule; a rule is deny, owner, file, a path and permissions, capability or network";

fn capability(names: &[&str], deny: bool, kind: Kind) -> Result<Rule, LineError> {
    let [name] = names else {
        return reject(Code::Cap, "a capability rule has exactly one capability");
    };
    let Some(known) = CAPABILITIES.iter().find(|known| *known == name) else {
        return reject(
            Code::Cap,
            "this is not a capability; the names are lower case, without cap_",
        );
    };
    if !deny && kind == Kind::Openclaw {
        return reject(Code::Cap, "openclaw has no capabilities");
    }
    if !deny && !ALLOWED_CAPABILITIES.contains(known) {
        return reject(Code::Cap, "this capability is denied to every tenant");
    }
    Ok(Rule::Capability { deny, name: known })
}

fn file(mut words: Vec<&str>, deny: bool, kind: Kind) -> Result<Rule, LineError> {
    if words == ["file"] {
        return match (deny, kind) {
            (true, _) => reject(
                Code::Rule,
                "deny file would deny every program; name the paths",
            ),
            (_, Kind::Openclaw) => reject(
                Code::Rule,
                "openclaw has no rule for all files; name the paths",
            ),
            (false, Kind::Platform) => Ok(Rule::AllFiles),
        };
    }
    let owner = take_first(&mut words, "owner");
    take_first(&mut words, "file");
    let (path, perms) = path_and_perms(&words)?;
    let path = RulePath::parse(path)?;
    let perms = Perms::parse(perms, deny)?;
    if !deny && kind == Kind::Openclaw {
        check_openclaw(&path, perms)?;
    }
    Ok(Rule::File {
        deny,
        owner,
        path,
        perms,
    })
}

fn take_first(words: &mut Vec<&str>, wanted: &str) -> bool {
    let is_first = words.first() == Some(&wanted);
    if is_first {
        words.remove(0);
    }
    is_first
}

/// The two words of a file rule; which comes first, a reader sees by the slash.
fn path_and_perms<'t>(words: &[&'t str]) -> Result<(&'t str, &'t str), LineError> {
    for word in words {
        match *word {
            "deny" | "owner" | "file" => {
                return reject(
                    Code::Qualifier,
                    "qualifiers stand as deny, owner, file, each once",
                );
            }
            "capability" | "network" => {
                return reject(Code::Qualifier, "owner is for file rules alone");
            }
            word if word.contains("->") => {
                return reject(
                    Code::Exec,
                    "a program stays in the profile: there is no target",
                );
            }
            word => refused(word).map_or(Ok(()), Err)?,
        }
    }
    match words {
        [path, perms] if path.starts_with('/') => Ok((path, perms)),
        [perms, path] if path.starts_with('/') => Ok((path, perms)),
        [path, perms] if Perms::parse(perms, false).is_ok() => {
            RulePath::parse(path).map(|_| (*path, *perms))
        }
        [path] if path.starts_with('/') => reject(Code::Perm, "the rule has no permission"),
        [first, ..] if first.starts_with('/') => reject(
            Code::Syntax,
            "a file rule is one path and its permissions; one rule a line",
        ),
        _ => reject(Code::Syntax, NO_RULE),
    }
}

/// Where openclaw may write: its data, memory-backed directories, terminals and its own process.
const OPENCLAW_WRITES: [&str; 10] = [
    "/app/data/",
    "/tmp/",
    "/dev/shm/",
    "/dev/pts/",
    "/dev/{",
    "/dev/null",
    "/dev/tty",
    "/dev/ptmx",
    "/dev/console",
    "/proc/[1-9]*/",
];
/// Where its programs and libraries are: in the image.
const OPENCLAW_RUNS: [&str; 8] = [
    "/usr/", "/bin/", "/sbin/", "/lib/", "/lib64/", "/opt/", "/app/", "/{",
];

fn check_openclaw(path: &RulePath, perms: Perms) -> Result<(), LineError> {
    if perms.write() && perms.execute() {
        return reject(
            Code::Perm,
            "openclaw never writes what it runs: w, a, l exclude m and ix",
        );
    }
    if perms.write() && !path.starts_with_any(&OPENCLAW_WRITES) {
        return reject(
            Code::Path,
            "openclaw writes only below /app/data, /tmp, /dev/shm and /dev/pts, to terminals and /proc/[1-9]*/",
        );
    }
    if perms.execute() && !path.starts_with_any(&OPENCLAW_RUNS) {
        return reject(
            Code::Path,
            "openclaw runs only what is below /usr, /bin, /sbin, /lib, /lib64, /opt and /app",
        );
    }
    Ok(())
}
