//! Images that are older than their software lasts, e.g. Signal's, whose servers refuse old releases.

use std::time::Duration;

use jiff::Timestamp;

use super::Finding;
use super::limit::Limit;
use crate::desired::{Renewal, Stack};
use crate::engine::Engine;

const DAY: Duration = Duration::from_hours(24);

/// A warning for each image on this host that is past its time.
pub(super) async fn findings(engine: &Engine, stack: Option<&Stack>, limit: Limit) -> Vec<Finding> {
    let mut findings = Vec::new();
    for service in stack.iter().flat_map(|stack| &stack.services) {
        let Some(renewal) = &service.renewal else {
            continue;
        };
        if let Ok(Ok(Some(image))) = limit.answer(engine.image(&service.image)).await
            && let Some(built) = image.created.filter(is_real)
        {
            let name = (service.name.as_str(), service.reference.as_str());
            findings.extend(judge(name, built, renewal, Timestamp::now()));
        }
    }
    findings
}

/// Docker shows year 1 for an image without a time, and a reproducible build has 1970 or what its author chose;
/// none is older than Docker.
fn is_real(built: &Timestamp) -> bool {
    built.as_second() >= 1_356_998_400 // 2013-01-01
}

fn judge(
    (service, image): (&str, &str),
    built: Timestamp,
    renewal: &Renewal,
    now: Timestamp,
) -> Option<Finding> {
    let age = Duration::try_from(now.duration_since(built)).ok()?;
    let Renewal { within, key } = renewal;
    if age <= *within {
        return None;
    }
    let [age, within] = [age, *within].map(|time| time.as_secs() / DAY.as_secs());
    Some(
        Finding::warning("images", format!("{image} of {service} is {age} days old"))
            .means(format!(
                "releases older than {within} days may stop working"
            ))
            .next(format!(
                "update aistack, or set {key} to a newer release, then aistack deploy"
            )),
    )
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn an_image_past_its_time_is_a_warning_with_what_to_do() {
        let now: Timestamp = "2026-11-30T00:00:00Z".parse().unwrap();
        let renewal = Renewal {
            within: 90 * DAY,
            key: "SIGNAL_IMAGE".to_owned(),
        };
        let of = |built: &str| {
            let built = built.parse().unwrap();
            judge(("signal", "registry/signal:1"), built, &renewal, now)
        };
        assert_eq!(of("2026-11-01T00:00:00Z"), None);
        assert_eq!(of("2026-09-01T00:00:00Z"), None);
        for unknown in ["0001-01-01T00:00:00Z", "1970-01-01T00:00:01Z"] {
            assert!(!is_real(&unknown.parse().unwrap()), "{unknown}");
        }
        assert!(is_real(&"2013-03-20T00:00:00Z".parse().unwrap()));
        // A clock that is behind the image's.
        assert_eq!(of("2027-01-01T00:00:00Z"), None);
        let found = of("2026-08-31T00:00:00Z").unwrap();
        assert_eq!(found.level, Level::Warning);
        assert_eq!(found.found, "registry/signal:1 of signal is 91 days old");
        assert!(found.next.unwrap().contains("SIGNAL_IMAGE"));
    }
}
