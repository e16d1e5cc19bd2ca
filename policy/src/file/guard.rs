//! `[guard]`: what holds for the network guard of the whole host.

use std::net::IpAddr;

use crate::guard::{GuardSettings, NameServers};
use crate::reader::{Entry, Section};
use crate::report::Report;
use crate::text::At;
use crate::value::{MAX_UID, name_server};

const MAX_UIDS: usize = 256;
const MAX_NAME_SERVERS: usize = 16;

/// The settings, and where the file gives UIDs for them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Guard {
    pub(crate) settings: GuardSettings,
    /// Every UID of `allow_uids`, where it stands.
    pub(crate) allow_uids: Vec<At<u32>>,
}

impl Guard {
    pub(super) fn read(section: &Section<'_, '_>, report: &mut Report) -> Self {
        section.only(&["enabled", "allow_uids", "metadata_uids", "dns"], report);
        let entry = |name: &str| section.get(name);
        let default = GuardSettings::default();
        let allow_uids = entry("allow_uids").map_or_else(Vec::new, |e| uids(&e, report));
        let metadata_uids = entry("metadata_uids").map_or_else(Vec::new, |e| uids(&e, report));
        let values = |uids: &[At<u32>]| uids.iter().map(|uid| uid.value).collect();
        let settings = GuardSettings {
            enabled: entry("enabled")
                .and_then(|e| e.boolean(report))
                .unwrap_or(default.enabled),
            allow_uids: values(&allow_uids),
            metadata_uids: values(&metadata_uids),
            dns: entry("dns")
                .and_then(|e| dns(&e, report))
                .unwrap_or(default.dns),
        };
        Self {
            settings,
            allow_uids,
        }
    }
}

/// Root needs no mention.
fn uids(entry: &Entry<'_, '_>, report: &mut Report) -> Vec<At<u32>> {
    let mut found: Vec<At<u32>> = Vec::new();
    for element in entry.list(MAX_UIDS, report).unwrap_or_default() {
        let number = element.integer(1..=MAX_UID, report);
        let Some(uid) = number.and_then(|number| u32::try_from(number).ok()) else {
            continue;
        };
        if found.iter().any(|other| other.value == uid) {
            report.error(element.at, &element.key, "listed twice");
        } else {
            found.push(element.spot(uid));
        }
    }
    found
}

fn dns(entry: &Entry<'_, '_>, report: &mut Report) -> Option<NameServers> {
    if entry.is("host") {
        return Some(NameServers::Host);
    }
    if entry.is_string() {
        let message = "expected \"host\" or a list of addresses, like [\"192.168.7.1\"]";
        report.error(entry.at, &entry.key, message);
        return None;
    }
    let mut servers: Vec<IpAddr> = Vec::new();
    for element in entry.list(MAX_NAME_SERVERS, report)? {
        if let Some(At { value, at }) = element.parse(name_server, report) {
            if servers.contains(&value) {
                report.error(at, &element.key, "listed twice");
            } else {
                servers.push(value);
            }
        }
    }
    Some(NameServers::Listed(servers))
}
