//! The sums over all services stay within the grant; where they do not: by how much, what each service
//! takes, and what would fit.

use super::{DesiredError, Inputs};
use crate::catalog::Preset;
use crate::keys::SERVICES;
use crate::selection::{self, Lighter, Selection, Sums, cpus, gib};

/// A part of the grant that is given for all services together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Bytes of memory.
    Memory,
    /// CPUs.
    Cpus,
    /// Processes and threads.
    Processes,
    /// Containers.
    Containers,
}

impl Limit {
    const ALL: [Self; 4] = [Self::Memory, Self::Cpus, Self::Processes, Self::Containers];

    /// What the sums say about it: bytes, thousandths of a CPU, or a number.
    #[must_use]
    pub fn of(self, sums: &Sums) -> u64 {
        match self {
            Self::Memory => sums.memory_bytes,
            Self::Cpus => sums.cpu_millis,
            Self::Processes => sums.pids,
            Self::Containers => sums.containers,
        }
    }

    /// The same as people read it, without its noun, e.g. `7.8 GiB`.
    #[must_use]
    pub fn amount(self, sums: &Sums) -> String {
        match self {
            Self::Memory => gib(self.of(sums)),
            Self::Cpus => cpus(self.of(sums)),
            Self::Processes | Self::Containers => self.of(sums).to_string(),
        }
    }
}

/// Services that take more together than the policy gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excess {
    /// Which limits are exceeded.
    pub limits: Vec<Limit>,
    /// What each service takes, the greediest first.
    pub services: Vec<(String, Sums)>,
    /// What they take together.
    pub needed: Sums,
    /// What the policy gives.
    pub given: Sums,
    /// The stack without a few services, where that is within them.
    pub lighter: Option<Lighter>,
    /// Bytes of memory that the smallest preset takes, where that is within them.
    pub smallest_preset: Option<u64>,
}

/// Every limit that the services exceed; the last one has the whole excess.
pub(super) fn refusals(inputs: &Inputs<'_>) -> Vec<DesiredError> {
    let Some(excess) = excess(inputs) else {
        return Vec::new();
    };
    let Excess { needed, given, .. } = &excess;
    let mut errors: Vec<DesiredError> = excess
        .limits
        .iter()
        .map(|limit| {
            let (needed, given) = (limit.amount(needed), limit.amount(given));
            let (needs, gives) = match limit {
                Limit::Memory => (format!("{needed} of memory"), given),
                Limit::Cpus => (format!("{needed} CPUs"), format!("{given} CPUs")),
                Limit::Processes => (format!("{needed} processes"), format!("{given} processes")),
                Limit::Containers => (
                    format!("{needed} containers"),
                    format!("{given} containers"),
                ),
            };
            let message = format!("the services need {needs}, and the policy gives {gives}");
            inputs.refusal("limits", "limits", message)
        })
        .collect();
    if let Some(last) = errors.last_mut() {
        last.excess = Some(Box::new(excess));
    }
    errors
}

fn excess(inputs: &Inputs<'_>) -> Option<Excess> {
    let given = Sums::given(&inputs.grant.limits.unwrap_or_default());
    let needed = Sums::of(inputs.entries.iter().copied());
    let limits: Vec<Limit> = Limit::ALL
        .into_iter()
        .filter(|limit| limit.of(&needed) > limit.of(&given))
        .collect();
    let greediest = *limits.first()?;
    let mut services: Vec<(String, Sums)> = inputs
        .entries
        .iter()
        .map(|entry| (entry.name.clone(), Sums::of([*entry])))
        .collect();
    services.sort_by_key(|(_, sums)| std::cmp::Reverse(greediest.of(sums)));
    let value = |key: &str| inputs.settings.get(key).map(str::to_owned);
    Some(Excess {
        limits,
        services,
        needed,
        given,
        lighter: selection::lighter(inputs.catalog, &value, given),
        smallest_preset: smallest_preset(inputs, given),
    })
}

fn smallest_preset(inputs: &Inputs<'_>, given: Sums) -> Option<u64> {
    let minimal = selection::preset(inputs.catalog, Preset::Minimal);
    let value = |key: &str| match key {
        SERVICES => Some(minimal.clone()),
        key => inputs.settings.get(key).map(str::to_owned),
    };
    let sums = Selection::of(inputs.catalog, &value).ok()?.sums();
    sums.is_within(given).then_some(sums.memory_bytes)
}
