//! What a container may use up. Every container has limits, and their sum is within the tenant's.

use std::collections::BTreeMap;

use aistack_policy::{Grant, Refusal, Rule};

use super::super::json::shown;
use super::Usage;
use super::body::{HostConfig, Ulimit};

/// Memory where the caller gives none, bytes.
const DEFAULT_MEMORY: u64 = 512 << 20;

/// Docker's own lower bound, bytes.
const MIN_MEMORY: u64 = 6 << 20;

/// A CPU, in billionths; the default where the caller gives no limit and the grant has that much.
const ONE_CPU: u64 = 1_000_000_000;

/// Billionths of a CPU in one thousandth.
const NANOS_PER_MILLI: u64 = 1_000_000;

/// Docker's own lower bound: a hundredth of a CPU.
const MIN_NANO_CPUS: u64 = 10_000_000;

/// The kernel's default scheduling period, microseconds.
const DEFAULT_PERIOD: u64 = 100_000;

/// Processes and threads where the caller gives no limit.
const DEFAULT_PIDS: u64 = 256;

/// `/dev/shm` where the caller gives no size, bytes.
const DEFAULT_SHM: u64 = 64 << 20;

/// One page.
const MIN_SHM: u64 = 4 << 10;

/// Limits of one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Limits {
    /// Bytes, swap included: there is none.
    pub(super) memory: u64,
    /// Bytes that the kernel tries to leave it; 0 for none.
    pub(super) reservation: u64,
    /// Billionths of a CPU.
    pub(super) nano_cpus: u64,
    /// Processes and threads.
    pub(super) pids: u64,
    /// Bytes of `/dev/shm`; they count towards the memory.
    pub(super) shm: u64,
    /// Soft and hard limits of each process, by name.
    pub(super) ulimits: BTreeMap<&'static str, (u64, u64)>,
}

impl Limits {
    pub(super) fn decide(grant: &Grant, host: &HostConfig) -> Result<Self, Refusal> {
        let memory = match amount("Memory", host.memory)? {
            0 => DEFAULT_MEMORY,
            memory if memory < MIN_MEMORY => {
                let why = format!("must be at least {MIN_MEMORY} bytes");
                return Err(refused("Memory", &why));
            }
            memory => memory,
        };
        let swap = amount("MemorySwap", host.memory_swap)?;
        if swap != 0 && swap != memory {
            return Err(refused(
                "MemorySwap",
                "must be 0 or equal to Memory: there is no swap",
            ));
        }
        if !matches!(host.memory_swappiness, None | Some(-1 | 0)) {
            return Err(refused("MemorySwappiness", "must be -1: there is no swap"));
        }
        let reservation = amount("MemoryReservation", host.memory_reservation)?;
        if reservation > memory {
            return Err(refused("MemoryReservation", "must not exceed Memory"));
        }
        let pids = match host.pids_limit {
            -1 | 0 => DEFAULT_PIDS,
            pids => amount("PidsLimit", pids)?,
        };
        Ok(Self {
            memory,
            reservation,
            nano_cpus: nano_cpus(grant, host)?,
            pids,
            shm: shm(host, memory)?,
            ulimits: ulimits(&host.ulimits)?,
        })
    }

    /// What the container takes of the tenant's limits.
    pub(super) fn usage(&self) -> Usage {
        Usage {
            memory: self.memory,
            cpu_millis: self.nano_cpus.div_ceil(NANOS_PER_MILLI),
            pids: self.pids,
            containers: 1,
        }
    }
}

/// Refuses `requested` where it does not fit beside what the tenant's containers hold already.
pub(super) fn check_limits(grant: &Grant, in_use: Usage, requested: Usage) -> Result<(), Refusal> {
    let parts = [
        (
            "bytes of memory",
            in_use.memory,
            requested.memory,
            grant.limits.memory,
        ),
        (
            "thousandths of a CPU",
            in_use.cpu_millis,
            requested.cpu_millis,
            grant.limits.cpu_millis,
        ),
        ("processes", in_use.pids, requested.pids, grant.limits.pids),
        (
            "containers",
            in_use.containers,
            requested.containers,
            grant.limits.containers,
        ),
    ];
    for (what, held, more, limit) in parts {
        if held.saturating_add(more) > limit {
            let message = format!(
                "the container would use {more} {what}, the tenant's containers already use \
                 {held}, and the limit is {limit}"
            );
            let rule = grant.rules.limits.clone();
            return Err(Refusal::new("LIMITS_REFUSED", message, rule)
                .with_hint("give it less, or remove a container that you do not need"));
        }
    }
    Ok(())
}

fn nano_cpus(grant: &Grant, host: &HostConfig) -> Result<u64, Refusal> {
    let nanos = amount("NanoCpus", host.nano_cpus)?;
    let quota = amount("CpuQuota", host.cpu_quota)?;
    let period = amount("CpuPeriod", host.cpu_period)?;
    if nanos != 0 && (quota != 0 || period != 0) {
        return Err(refused(
            "NanoCpus",
            "must not be set together with CpuQuota or CpuPeriod",
        ));
    }
    if period != 0 && !(1_000..=1_000_000).contains(&period) {
        return Err(refused("CpuPeriod", "must be 1000 to 1000000 microseconds"));
    }
    let period = if period == 0 { DEFAULT_PERIOD } else { period };
    let cpus = match (nanos, quota) {
        (0, 0) => return Ok(default_cpus(grant)),
        (0, quota) => quota.saturating_mul(ONE_CPU) / period,
        (nanos, _) => nanos,
    };
    if cpus < MIN_NANO_CPUS {
        return Err(refused("NanoCpus", "must be at least a hundredth of a CPU"));
    }
    Ok(cpus)
}

fn default_cpus(grant: &Grant) -> u64 {
    ONE_CPU.min(grant.limits.cpu_millis.saturating_mul(NANOS_PER_MILLI))
}

fn shm(host: &HostConfig, memory: u64) -> Result<u64, Refusal> {
    match amount("ShmSize", host.shm_size)? {
        0 => Ok(DEFAULT_SHM.min(memory)),
        shm if (MIN_SHM..=memory).contains(&shm) => Ok(shm),
        _ => {
            let why = format!("must be {MIN_SHM} bytes up to Memory, {memory}");
            Err(refused("ShmSize", &why))
        }
    }
}

fn ulimits(requested: &[Ulimit]) -> Result<BTreeMap<&'static str, (u64, u64)>, Refusal> {
    let mut limits = BTreeMap::new();
    for ulimit in requested {
        let (name, most) = match ulimit.name.as_str() {
            "nofile" => ("nofile", 1 << 20),
            "nproc" => ("nproc", 1 << 16),
            "core" => ("core", 0),
            other => {
                let why = format!(
                    "has \"{}\"; only nofile, nproc and core are allowed",
                    shown(other)
                );
                return Err(refused("Ulimits", &why));
            }
        };
        let (soft, hard) = (u64::try_from(ulimit.soft), u64::try_from(ulimit.hard));
        match (soft, hard) {
            (Ok(soft), Ok(hard)) if soft <= hard && hard <= most => {
                if limits.insert(name, (soft, hard)).is_some() {
                    return Err(refused("Ulimits", &format!("has {name} twice")));
                }
            }
            _ => {
                let why = format!("must have {name} with soft <= hard <= {most}");
                return Err(refused("Ulimits", &why));
            }
        }
    }
    Ok(limits)
}

fn amount(field: &str, value: i64) -> Result<u64, Refusal> {
    u64::try_from(value).map_err(|_| refused(field, "must not be negative"))
}

fn refused(field: &str, why: &str) -> Refusal {
    Refusal::new(
        "RESOURCE_REFUSED",
        format!("HostConfig.{field} {why}"),
        Rule::builtin("resources"),
    )
}
