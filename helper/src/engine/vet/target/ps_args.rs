//! What `docker top` may ask of `ps`. Docker runs it on the host, as root, with `-q` and the container's
//! processes, and over all processes where `ps` refuses that. Then it picks the rows whose process id is one of
//! the container's: from the words of a row, by the position of `PID` in the heading (moby,
//! `daemon/top_unix.go`). Where text of another process stands before that, its words are taken for the id, and
//! its command line is shown. So the id comes first or after single words only, and nothing of the caller's own
//! reaches `ps`.

use aistack_policy::Refusal;

use super::super::json::shown;
use super::bad_query;

/// Whole sets of options: as clients write them, and as `ps` gets them. In each the process id stands before
/// any text.
const FORMS: &[(&str, &str)] = &[
    ("", "-ef"),
    ("-ef", "-ef"),
    ("ef", "-ef"),
    ("-f", "-ef"),
    ("-e", "-e"),
    ("-A", "-e"),
    ("ax", "ax"),
    ("-ax", "ax"),
    ("aux", "aux"),
    ("-aux", "aux"),
    ("auxw", "auxww"),
    ("auxww", "auxww"),
    ("-eF", "-eF"),
    ("-el", "-el"),
    ("-elf", "-elf"),
];

/// Columns whose value is one word (ps(1), "Standard format specifiers").
const WORDS: &[&str] = &[
    "pid",
    "ppid",
    "pgid",
    "pgrp",
    "sid",
    "sess",
    "tpgid",
    "uid",
    "euid",
    "ruid",
    "user",
    "euser",
    "ruser",
    "gid",
    "egid",
    "rgid",
    "group",
    "egroup",
    "rgroup",
    "%cpu",
    "pcpu",
    "c",
    "cp",
    "%mem",
    "pmem",
    "rss",
    "rssize",
    "rsz",
    "vsz",
    "vsize",
    "sz",
    "trs",
    "min_flt",
    "maj_flt",
    "s",
    "stat",
    "state",
    "tty",
    "tt",
    "tname",
    "time",
    "cputime",
    "etime",
    "etimes",
    "stime",
    "start_time",
    "ni",
    "nice",
    "pri",
    "rtprio",
    "cls",
    "psr",
    "nlwp",
    "thcount",
    "flags",
    "wchan",
];

/// Columns whose value is text of the process's own.
const TEXT: &[&str] = &["args", "cmd", "command", "comm", "ucmd", "ucomm", "fname"];

/// What `ps` gets: one of the forms, or columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PsArgs {
    /// As [`FORMS`] has it.
    Form(&'static str),
    /// Of all processes, these; the process id is one of them, and text the last if there is any.
    Columns(Vec<&'static str>),
}

impl PsArgs {
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        let words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
        let together = words.join(" ");
        if let Some((_, form)) = FORMS.iter().find(|(written, _)| *written == together) {
            return Ok(Self::Form(form));
        }
        let columns = columns(&words).ok_or_else(|| not_known(text))?;
        let known = columns.iter().map(|name| known(name));
        let known: Vec<&'static str> = known
            .collect::<Option<_>>()
            .ok_or_else(|| not_known(text))?;
        let twice = known
            .iter()
            .enumerate()
            .any(|(at, name)| known.iter().skip(at + 1).any(|other| other == name));
        let text_before_the_end = known.iter().rev().skip(1).any(|name| TEXT.contains(name));
        if twice || text_before_the_end || !known.contains(&"pid") {
            return Err(not_known(text));
        }
        Ok(Self::Columns(known))
    }

    /// As Docker gets it.
    pub(super) fn render(&self) -> String {
        match self {
            Self::Form(form) => (*form).to_owned(),
            Self::Columns(columns) => format!("-eo {}", columns.join(",")),
        }
    }
}

/// The names in `-o pid,args`, `-eo pid,args`, `-e -o pid -o args` and the like.
fn columns<'t>(words: &[&'t str]) -> Option<Vec<&'t str>> {
    let mut columns = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let names = match *word {
            "-e" | "-A" => continue,
            "-o" | "o" | "-eo" | "-Ao" | "axo" | "-axo" => words.next()?,
            attached => attached.strip_prefix("-o")?,
        };
        columns.extend(names.split(','));
    }
    (!columns.is_empty()).then_some(columns)
}

fn known(name: &str) -> Option<&'static str> {
    let mut all = WORDS.iter().chain(TEXT);
    all.find(|known| **known == name).copied()
}

fn not_known(text: &str) -> Refusal {
    let refusal = bad_query(&format!("ps_args=\"{}\" is not supported", shown(text)));
    refusal.with_hint(
        "use -ef, aux or -o with columns, e.g. -o pid,ppid,user,stat,etime,rss,args: each once, pid among them, and a \
         command only as the last",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_rendered_in_a_closed_form() {
        for (written, rendered) in [
            ("", "-ef"),
            ("aux", "aux"),
            ("-aux", "aux"),
            (" -ef ", "-ef"),
            ("-o pid", "-eo pid"),
            ("-o pid,cmd", "-eo pid,cmd"),
            ("-opid,ppid,args", "-eo pid,ppid,args"),
            ("-eo user,pid,%cpu,rss,comm", "-eo user,pid,%cpu,rss,comm"),
            ("-e -o pid -o etime -o command", "-eo pid,etime,command"),
            ("axo pid,stat", "-eo pid,stat"),
        ] {
            let read = PsArgs::parse(written).unwrap();
            assert_eq!(read.render(), rendered, "{written}");
            assert_eq!(PsArgs::parse(rendered).unwrap(), read, "{rendered}");
        }
    }

    /// With text before it, the id of a row is a word that any process of the host has in its command line.
    #[test]
    fn text_of_a_process_is_never_taken_for_its_id() {
        for written in [
            "-o args,pid",
            "-o comm,pid",
            "-o pid,args,user",
            "-o cmd -o pid",
            "-o pid,args,pid",
            "-o ppid,args",
            "-o lstart,pid",
            "-o start,pid",
            "-o args=PID,pid",
            "-o pid=,args",
            "-o pid:20,args",
            "-o ppid=PID,args",
        ] {
            let refusal = PsArgs::parse(written).unwrap_err();
            assert_eq!(refusal.reason, "BAD_QUERY", "{written}");
            assert!(
                refusal.hint.unwrap_or_default().contains("-o pid"),
                "{written}"
            );
        }
        for (_, form) in FORMS {
            assert!(!form.contains('o'), "{form} has a heading of its own");
        }
    }

    #[test]
    fn nothing_else_reaches_ps() {
        for written in [
            "-ef e",
            "e",
            "auxe",
            "-ef --sort=x",
            "--version",
            "-p 1",
            "1",
            "-C init",
            "-U root",
            "-ef -o",
            "-o",
            "-o ,",
            "-o pid,",
            "-o pid,label",
            "-o pid,environ",
            "-o pid,unit",
            "-o pid,cgroup",
            "-M",
            "-Z",
            "-L",
            "-m",
            "-T",
            "--ppid 1",
            "-q1",
            "-ef;id",
            "$(id)",
            "-ef\u{a0}",
            "-ef -ef",
            "--pid 1 -o pid",
            "-o pid -p 1",
        ] {
            assert!(PsArgs::parse(written).is_err(), "{written}");
        }
    }
}
