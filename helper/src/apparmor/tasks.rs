//! Which tasks run under a profile. Taking a profile out of the kernel leaves its tasks unconfined,
//! for good.

use std::fs;
use std::path::Path;

/// How many tasks of this host carry the profile, alone or in a stack. A task that ends meanwhile
/// does not count; one that cannot be looked at does.
pub(super) fn count(proc: &Path, profile: &str) -> std::io::Result<usize> {
    let mut carrying = 0;
    for process in numbered(proc)? {
        // The process may have ended.
        let Ok(threads) = numbered(&process.join("task")) else {
            continue;
        };
        for thread in threads {
            match label(&thread) {
                Ok(label) if !carries(&label, profile) => {}
                Err(error) if is_gone(&error) => {}
                Ok(_) | Err(_) => carrying += 1,
            }
        }
    }
    Ok(carrying)
}

/// The label of the task at `/proc/<pid>` or `/proc/<pid>/task/<tid>`, with its mode as the kernel
/// writes it: `name (enforce)`, `unconfined`.
///
/// # Errors
/// When the task is gone, or its label cannot be read.
pub(crate) fn label(task: &Path) -> std::io::Result<String> {
    // Beside other security modules AppArmor has a directory of its own (Linux 5.1 and later).
    let own = task.join("attr/apparmor/current");
    let read = match fs::read(&own) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            fs::read(task.join("attr/current"))
        }
        other => other,
    };
    let text = String::from_utf8_lossy(&read?).into_owned();
    Ok(text.trim_end_matches(['\n', '\0']).to_owned())
}

/// A stack is `a//&b`, with one mode behind it.
fn carries(label: &str, profile: &str) -> bool {
    let names = label.rsplit_once(" (").map_or(label, |(names, _)| names);
    names.split("//&").any(|name| name == profile)
}

fn numbered(dir: &Path) -> std::io::Result<Vec<std::path::PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.as_encoded_bytes().iter().all(u8::is_ascii_digit) {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// What procfs answers about a task that has ended.
fn is_gone(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_in_use_alone_or_anywhere_in_a_stack() {
        for (label, expected) in [
            ("ai-platform-1001 (enforce)", true),
            ("ai-base-1001//&ai-platform-1001 (enforce)", true),
            ("ai-platform-1001//&z (mixed)", true),
            ("ai-base-1001//&ai-platform-1001", true),
            ("ai-platform-10011 (enforce)", false),
            ("ai-base-1001//&ai-platform-10011 (enforce)", false),
            ("unconfined", false),
            ("", false),
        ] {
            assert_eq!(carries(label, "ai-platform-1001"), expected, "{label}");
        }
    }

    #[test]
    fn every_thread_counts_and_what_has_ended_does_not() {
        let proc = tempfile::tempdir().unwrap();
        let task = |path: &str, attr: &str, label: &str| {
            let dir = proc.path().join(path).join(attr);
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join("current"), label).unwrap();
        };
        task("1/task/1", "attr/apparmor", "unconfined\n");
        task("7/task/7", "attr/apparmor", "unconfined\n");
        task("7/task/8", "attr/apparmor", "a//&p (enforce)\n");
        task("9/task/9", "attr", "p (enforce)\0");
        task("self/task/9", "attr", "p (enforce)\n");
        fs::create_dir_all(proc.path().join("10/task/10")).unwrap();
        fs::create_dir_all(proc.path().join("11")).unwrap();
        assert_eq!(count(proc.path(), "p").unwrap(), 2);
        assert_eq!(count(proc.path(), "q").unwrap(), 0);
        // What cannot be read may be anything.
        let unreadable = proc.path().join("12/task/12/attr/apparmor/current");
        fs::create_dir_all(unreadable).unwrap();
        assert_eq!(count(proc.path(), "q").unwrap(), 1);
    }
}
