//! What services may use together.

use crate::catalog::Entry;

/// Sums over services of what each may use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Sums {
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Thousandths of a CPU.
    pub cpu_millis: u64,
    /// Processes and threads.
    pub pids: u64,
    /// Containers.
    pub containers: u64,
}

impl Sums {
    /// The sums over some entries.
    #[must_use]
    pub fn of<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Self {
        entries.into_iter().fold(Self::default(), |sums, entry| {
            let limits = &entry.limits;
            Self {
                memory_bytes: sums.memory_bytes.saturating_add(limits.memory.0),
                cpu_millis: sums.cpu_millis + u64::from(limits.cpus.millis),
                pids: sums.pids + u64::from(limits.pids),
                containers: sums.containers + 1,
            }
        })
    }
}
