//! What services may use together.

use aistack_proto::v1::Limits;

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

    /// What a policy gives.
    #[must_use]
    pub fn given(limits: &Limits) -> Self {
        Self {
            memory_bytes: limits.memory_bytes,
            cpu_millis: limits.cpu_millis,
            pids: limits.pids,
            containers: limits.containers,
        }
    }

    /// True when no sum is more than what is given.
    #[must_use]
    pub fn is_within(&self, given: Self) -> bool {
        self.memory_bytes <= given.memory_bytes
            && self.cpu_millis <= given.cpu_millis
            && self.pids <= given.pids
            && self.containers <= given.containers
    }
}

/// Bytes as people read them, e.g. `7.7 GiB`.
#[must_use]
pub fn gib(bytes: u64) -> String {
    let tenths = ((bytes >> 20) * 10 + 512) / 1024;
    format!("{}.{} GiB", tenths / 10, tenths % 10)
}

/// Thousandths of a CPU as people read them, e.g. `4.00`.
#[must_use]
pub fn cpus(millis: u64) -> String {
    format!("{}.{:02}", millis / 1000, millis % 1000 / 10)
}
