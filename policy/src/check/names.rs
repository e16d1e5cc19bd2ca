//! Directories, domains and names: no two tenants' are equal, and none lies inside another's.

use std::collections::BTreeMap;

use super::Subject;
use crate::file::{Document, Named, Run, Volume};
use crate::report::{LISTED_CLASHES, Report};
use crate::text::At;
use crate::value::{Relation, Template, UidRange};
use crate::{DiskMatch, VolumeKind};

/// A kind of name.
#[derive(Clone, Copy)]
struct Kind {
    /// The part of the policy that an invalid value is reported under.
    part: &'static str,
    /// The key below `tenants` and `tenant[…]`.
    key: &'static str,
    /// The key below `tenant[…]` for more of them; the same where there is none.
    further: &'static str,
    /// For messages.
    noun: &'static str,
    /// Cuts a name into the parts that are compared from the first on.
    split: fn(&str) -> Vec<&str>,
}

const DIRECTORY: Kind = Kind {
    part: "base_dir",
    key: "base_dir",
    further: "base_dir",
    noun: "directory",
    split: |text| text.split('/').skip(1).collect(),
};
const DOMAIN: Kind = Kind {
    part: "domain",
    key: "domain",
    further: "domains",
    noun: "domain",
    split: |text| text.rsplit('.').collect(),
};
const NETWORK: Kind = Kind {
    part: "network",
    key: "network.name",
    further: "network.name",
    noun: "network name",
    split: |text| vec![text],
};
const NAME: Kind = Kind {
    part: "name",
    key: "name",
    further: "name",
    noun: "name",
    split: |text| vec![text],
};

/// Checks every kind of name, and that no disk is pinned twice.
pub(super) fn all(subject: Subject<'_>, report: &mut Report) {
    let tenants = &subject.document.tenants;
    let base_dir = (&tenants.base_dir.value, tenants.base_dir.at);
    check(
        DIRECTORY,
        base_dir,
        (|named| named.base_dir.clone(), |_| &[]),
        subject,
        report,
    );
    let domain = (&tenants.domain.value, tenants.domain.at);
    check(
        DOMAIN,
        domain,
        (|named| named.domain.clone(), |named| &named.domains),
        subject,
        report,
    );
    let network = &tenants.network;
    let template = (
        &network.value.name.value,
        network.value.name.at.or(network.at),
    );
    let own = |named: &Named| named.network.as_ref().and_then(|n| n.value.name.clone());
    check(NETWORK, template, (own, |_| &[]), subject, report);
    let template = Template::known("tenant-{uid}");
    check(
        NAME,
        (&template, None),
        (|named| named.name.clone(), |_| &[]),
        subject,
        report,
    );
    pinned_volumes(subject, report);
}

/// Who has the name that the template makes.
struct Users {
    runs: Vec<Run>,
    outsiders: Vec<u32>,
}

impl Users {
    fn of(document: &Document, overrides: impl Fn(&Named) -> bool) -> Self {
        let outsiders = document.outsiders().filter(|named| !overrides(named));
        Self {
            outsiders: outsiders.map(|named| named.uid.value).collect(),
            runs: document.runs(overrides),
        }
    }

    fn count(&self) -> u64 {
        let in_runs = self.runs.iter().map(|run| run.uids.len());
        let outside = u64::try_from(self.outsiders.len()).unwrap_or(u64::MAX);
        in_runs.fold(outside, u64::saturating_add)
    }

    /// The first one who is not `uid`.
    fn first_but(&self, uid: u32) -> Option<u32> {
        let in_runs = self.runs.iter().filter_map(|run| {
            let UidRange { first, last } = run.uids;
            let next = if first == uid {
                first.checked_add(1)?
            } else {
                first
            };
            (next <= last).then_some(next)
        });
        let mut outside = self.outsiders.iter().copied();
        in_runs
            .min()
            .or_else(|| outside.find(|other| *other != uid))
    }

    fn contains(&self, uid: u32) -> bool {
        self.runs.iter().any(|run| run.uids.contains(uid)) || self.outsiders.contains(&uid)
    }
}

/// A name that one UID has.
struct Fixed {
    uid: u32,
    /// The key below `tenant[…]`.
    key: &'static str,
    text: At<String>,
}

/// `own` is what a named tenant has instead of the template's, and what it has besides.
fn check(
    kind: Kind,
    (template, template_at): (&Template, Option<usize>),
    (own, further): (
        impl Fn(&Named) -> Option<At<String>>,
        impl Fn(&Named) -> &[At<String>],
    ),
    subject: Subject<'_>,
    report: &mut Report,
) {
    if !subject.invalid.holds_none(&[kind.part, kind.further]) {
        return;
    }
    let users = Users::of(subject.document, |named| own(named).is_some());
    let at = subject.anchor(template_at);
    if !template.has_uid() && users.count() > 1 {
        let message = format!(
            "{:?} without {{uid}} gives the same {} to {} UIDs",
            template.as_str(),
            kind.noun,
            users.count()
        );
        report.error(at, &format!("tenants.{}", kind.key), message);
        return;
    }
    let named = subject.document.named.values();
    let fixed: Vec<Fixed> = named
        .flat_map(|named| {
            let uid = named.uid.value;
            let (key, instead) = (kind.key, own(named).into_iter());
            let besides = further(named).iter().cloned();
            instead
                .map(move |text| Fixed { uid, key, text })
                .chain(besides.map(move |text| Fixed {
                    uid,
                    key: kind.further,
                    text,
                }))
        })
        .collect();
    against_template(kind, template, &users, &fixed, report);
    among_fixed(kind, &fixed, subject, report);
}

/// Each fixed name against the family that the template makes.
fn against_template(
    kind: Kind,
    template: &Template,
    users: &Users,
    fixed: &[Fixed],
    report: &mut Report,
) {
    let pattern = (kind.split)(template.as_str());
    let mut found = 0_usize;
    for own in fixed {
        let parts = (kind.split)(&own.text.value);
        let other = match Relation::of(pattern.iter().copied(), parts.iter().copied()) {
            Relation::Apart => None,
            // A tenant may have a name inside of its own.
            Relation::One(uid) => (uid != own.uid && users.contains(uid)).then_some(uid),
            Relation::All => users.first_but(own.uid),
        };
        let Some(other) = other else { continue };
        found += 1;
        if found > LISTED_CLASHES {
            return;
        }
        let message = format!(
            "{} {} of UID {} meets {} of UID {other} (tenants.{})",
            kind.noun,
            own.text.value,
            own.uid,
            template.fill(other),
            kind.key
        );
        let key = format!("tenant[{}].{}", own.uid, own.key);
        report.error(own.text.at, &key, message);
    }
}

/// The fixed names among themselves: sorted by parts, what lies inside a name follows it.
fn among_fixed(kind: Kind, fixed: &[Fixed], subject: Subject<'_>, report: &mut Report) {
    let mut sorted: Vec<(Vec<&str>, &Fixed)> = fixed
        .iter()
        .map(|own| ((kind.split)(&own.text.value), own))
        .collect();
    sorted.sort_by(|a, b| a.0.cmp(&b.0));
    let mut outer: Option<(Vec<&str>, &Fixed)> = None;
    for (parts, own) in sorted {
        let Some((_, around)) = outer.as_ref().filter(|(o, _)| parts.starts_with(o)) else {
            outer = Some((parts, own));
            continue;
        };
        if around.uid == own.uid && around.text.value != own.text.value {
            continue;
        }
        let (earlier, later) = if around.text.at <= own.text.at {
            (*around, own)
        } else {
            (own, *around)
        };
        let message = format!(
            "{} {} of UID {} meets {} of UID {} (line {})",
            kind.noun,
            later.text.value,
            later.uid,
            earlier.text.value,
            earlier.uid,
            subject.lines.line(earlier.text.at)
        );
        report.error(
            later.text.at,
            &format!("tenant[{}].{}", later.uid, later.key),
            message,
        );
    }
}

/// Two tenants with one disk, or with copies of one file system, would share their data.
fn pinned_volumes(subject: Subject<'_>, report: &mut Report) {
    if !subject.invalid.holds_none(&["volume"]) {
        return;
    }
    let disk = |volume: &Volume| match &volume.kind {
        VolumeKind::Ebs { id } => Some(("id", id.clone()?)),
        VolumeKind::Disk { which } => match which.as_ref()? {
            DiskMatch::Ebs { id } => Some(("match", id.clone())),
            other => Some(("match", other.to_string())),
        },
        VolumeKind::Loop { .. } => None,
    };
    pinned_once(subject, disk, report);
    pinned_once(
        subject,
        |volume| Some(("uuid", volume.uuid.clone()?)),
        report,
    );
}

fn pinned_once(
    subject: Subject<'_>,
    pin: impl Fn(&Volume) -> Option<(&'static str, String)>,
    report: &mut Report,
) {
    let mut pinned: BTreeMap<String, At<u32>> = BTreeMap::new();
    for named in subject.document.named.values() {
        let Some(volume) = &named.volume else {
            continue;
        };
        let Some((key, text)) = pin(&volume.value) else {
            continue;
        };
        let (uid, at) = (named.uid.value, volume.at);
        let Some(other) = pinned.insert(text.clone(), At { value: uid, at }) else {
            continue;
        };
        let (one, two) = if other.at <= at {
            (other, At { value: uid, at })
        } else {
            (At { value: uid, at }, other)
        };
        let message = format!(
            "{text} is pinned for UID {} too (line {})",
            one.value,
            subject.lines.line(one.at)
        );
        report.error(
            two.at,
            &format!("tenant[{}].volume.{key}", two.value),
            message,
        );
    }
}
