//! Whether the running kernel has the fixes that loading profiles for others depends on.

/// The version of Debian's linux package for the 6.12 series that has both parts of the fixes for
/// CVE-2026-23268 and its relatives (its changelog, March 2026): through them an unprivileged user
/// could load and replace profiles.
const FIXED: Version = Version {
    series: (6, 12),
    patch: 74,
    revision: 2,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version {
    series: (u32, u32),
    patch: u32,
    revision: u32,
}

/// A sentence when the kernel is known to lack the fixes. `version` is uname(2)'s; only Debian
/// writes its package version there, and only the series of which the fixed version is known is
/// compared.
pub(super) fn warning(version: &str) -> Option<String> {
    let running = debian(version)?;
    let known = running.series == FIXED.series;
    let older = (running.patch, running.revision) < (FIXED.patch, FIXED.revision);
    (known && older).then(|| {
        let Version {
            series: (major, minor),
            patch,
            revision,
        } = running;
        format!(
            "the kernel, Debian's {major}.{minor}.{patch}-{revision}, lacks the AppArmor fixes of \
             {major}.{minor}.{}-{} (CVE-2026-23268): any local user may be able to change profiles",
            FIXED.patch, FIXED.revision
        )
    })
}

/// `#1 SMP PREEMPT_DYNAMIC Debian 6.12.117-1 (2026-11-12)`; a backport has more behind the revision.
fn debian(version: &str) -> Option<Version> {
    let (_, rest) = version.split_once(" Debian ")?;
    let (upstream, revision) = rest.split_whitespace().next()?.split_once('-')?;
    let mut numbers = upstream.split('.').map(str::parse::<u32>);
    let mut next = || numbers.next()?.ok();
    let found = Version {
        series: (next()?, next()?),
        patch: next()?,
        revision: leading_number(revision)?,
    };
    numbers.next().is_none().then_some(found)
}

fn leading_number(text: &str) -> Option<u32> {
    let end = text
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(text.len());
    text.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_to_be_older_is_warned_about() {
        for (version, warned) in [
            (
                "#1 SMP PREEMPT_DYNAMIC Debian 6.12.117-1 (2026-11-12)",
                false,
            ),
            (
                "#1 SMP PREEMPT_DYNAMIC Debian 6.12.74-2 (2026-03-08)",
                false,
            ),
            ("#1 SMP PREEMPT_DYNAMIC Debian 6.12.74-1 (2026-03-01)", true),
            ("#1 SMP PREEMPT_DYNAMIC Debian 6.12.48-1 (2025-09-20)", true),
            (
                "#1 SMP PREEMPT_DYNAMIC Debian 6.12.48-1~bpo12+1 (2025-09-20)",
                true,
            ),
            // Fixed or not, in a version that is not known here.
            (
                "#1 SMP PREEMPT_DYNAMIC Debian 6.1.153-1 (2025-09-20)",
                false,
            ),
            ("#1 SMP PREEMPT_DYNAMIC Debian 6.18.1-1 (2026-01-01)", false),
            (
                "#29-Ubuntu SMP PREEMPT_DYNAMIC Fri Jan 1 00:00:00 UTC 2026",
                false,
            ),
            (
                "#1 SMP PREEMPT_DYNAMIC Debian 6.12~rc1-1~exp1 (2025-01-01)",
                false,
            ),
            (
                "#1 SMP PREEMPT_DYNAMIC Debian 6.12.1.2-1 (2025-01-01)",
                false,
            ),
            ("#1 Debian ", false),
            ("", false),
        ] {
            assert_eq!(warning(version).is_some(), warned, "{version}");
        }
    }
}
