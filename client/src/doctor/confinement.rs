//! AppArmor: what the policy wants, what the kernel has, what the tenant has written, and the label
//! of each container.

use aistack_proto::v1::WhoAmIResponse;

use super::Finding;
use super::daemons::from_error;
use crate::apparmor::{Confinement, Source, sources};
use crate::engine::{Container, Inspection};
use crate::error::CliError;

/// What the policy wants and what the kernel has.
pub(super) fn findings(who: &WhoAmIResponse) -> Vec<Finding> {
    let confinement = Confinement::of(who);
    let kernel = confinement.kernel_warning.as_ref().map(|warning| {
        Finding::warning("apparmor", warning).next("ask the administrator to upgrade the kernel")
    });
    std::iter::once(mode(&confinement)).chain(kernel).collect()
}

fn mode(confinement: &Confinement) -> Finding {
    let Some(warning) = confinement.warning() else {
        return Finding::ok("apparmor", confinement.sentence());
    };
    let mut finding = if confinement.required {
        Finding::problem("apparmor", warning)
    } else {
        Finding::warning("apparmor", warning)
    };
    finding.next = confinement.next().map(str::to_owned);
    finding
}

/// The tenant's sources, vetted as the helper will. An error is not a problem where no kernel looks.
pub(super) fn profiles(
    sources: Result<Vec<Source>, CliError>,
    who: Option<&WhoAmIResponse>,
) -> Vec<Finding> {
    let used = who.is_none_or(|who| Confinement::of(who).kernel);
    match sources {
        Ok(sources) => sources.iter().map(|source| profile(source, used)).collect(),
        Err(failure) => vec![from_error("profiles", &failure)],
    }
}

fn profile(source: &Source, used: bool) -> Finding {
    let text = match source.read() {
        Ok(text) => text,
        Err(failure) => return from_error("profiles", &failure),
    };
    if let Some(refused) = text.as_deref().and_then(|text| source.vet(text).err()) {
        let found = format!(
            "{} is refused: {} ({})",
            source.name, refused.sentence, refused.code
        );
        let (finding, means) = if used {
            let means = "deploy stops there; loaded profiles stay in force";
            (Finding::problem("profiles", found), means)
        } else {
            let means = "it matters once this host has AppArmor";
            (Finding::warning("profiles", found), means)
        };
        return refused
            .place()
            .into_iter()
            .fold(finding, Finding::means)
            .means(means)
            .next(refused.next());
    }
    let edition = source.edition(text.as_deref());
    let found = format!("{} {}", source.name, edition.sentence());
    if edition.is_old() {
        Finding::warning("profiles", found).next("aistack apparmor diff, then reset or keep it")
    } else {
        Finding::ok("profiles", found)
    }
}

/// Whether each container that runs has one of the tenant's labels.
pub(super) fn labels(
    who: &WhoAmIResponse,
    containers: &[(&Container, Inspection)],
) -> Vec<Finding> {
    let own = who.grant.as_ref().and_then(|grant| sources(grant).ok());
    let (true, Some(own)) = (Confinement::of(who).loaded, own) else {
        return Vec::new();
    };
    let own = own.map(|source| source.label());
    let running: Vec<_> = containers
        .iter()
        .filter(|(_, inspection)| inspection.running)
        .collect();
    let without: Vec<Finding> = running
        .iter()
        .filter(|(_, inspection)| !own.contains(&inspection.apparmor))
        .map(|(container, inspection)| unlabelled(&container.service, &inspection.apparmor))
        .collect();
    if without.is_empty() && !running.is_empty() {
        let found = format!("{} containers run under your profiles", running.len());
        return vec![Finding::ok("apparmor", found)];
    }
    without
}

fn unlabelled(service: &str, label: &str) -> Finding {
    let label = if label.is_empty() {
        "none of your profiles"
    } else {
        label
    };
    Finding::warning("apparmor", format!("{service} runs under {label}"))
        .means("it was created before your profiles were loaded")
        .next(format!("aistack deploy --recreate {service}"))
}

#[cfg(test)]
mod tests {
    use aistack_proto::v1::AppArmorMode;

    use super::super::Level;
    use super::*;
    use crate::apparmor::who_for_tests as who;
    use crate::engine::tests::{container, inspection};

    #[test]
    fn what_is_required_is_a_problem_and_what_is_not_a_warning() {
        use AppArmorMode::{IfAvailable, Required};
        for (mode, kernel, loaded, level) in [
            (Required, true, true, Level::Ok),
            (Required, false, false, Level::Error),
            (Required, true, false, Level::Error),
            (IfAvailable, true, false, Level::Warning),
            (IfAvailable, false, false, Level::Warning),
        ] {
            assert_eq!(findings(&who(mode, kernel, loaded))[0].level, level);
        }
    }

    #[test]
    fn a_running_container_without_the_label_is_reported() {
        let who = who(AppArmorMode::Required, true, true);
        let label = sources(who.grant.as_ref().unwrap()).unwrap()[0].label();
        let container = container("redis");
        let look = |label: &str, running| {
            let mut inspection = inspection();
            inspection.apparmor = label.to_owned();
            inspection.running = running;
            let found = labels(&who, &[(&container, inspection)]);
            found.first().map(|finding| finding.level)
        };
        assert_eq!(look(&label, true), Some(Level::Ok));
        assert_eq!(look("docker-default", true), Some(Level::Warning));
        assert_eq!(look("", true), Some(Level::Warning));
        assert_eq!(look("", false), None);
    }

    #[test]
    fn a_refused_source_is_a_problem_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("apparmor")).unwrap();
        let mut grant = who(AppArmorMode::Required, true, true).grant.unwrap();
        grant.base_dir = dir.path().to_str().unwrap().to_owned();
        let [source, _] = sources(&grant).unwrap();
        assert_eq!(profile(&source, true).level, Level::Ok);
        let text = format!("profile {} {{\n  mount,\n}}\n", source.name);
        std::fs::write(&source.path, text).unwrap();
        assert_eq!(profile(&source, false).level, Level::Warning);
        let finding = profile(&source, true);
        assert_eq!(finding.level, Level::Error);
        assert!(finding.means[0].ends_with(":2"), "{finding:?}");
        assert!(finding.means[1].contains("mount,"), "{finding:?}");
    }
}
