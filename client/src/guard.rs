//! What the network guard of this host keeps from the tenant and its containers, as the helper tells it.

use aistack_proto::v1::{NetworkGuard, NetworkGuardState, WhoAmIResponse};

/// Where the administrator finds how to guard the host.
pub const ADVICE: &str = "the administrator can close it: docs/admin.md, \"The network guard\"";

/// One thing that is open, for people.
fn sentence(word: &str) -> Option<&'static str> {
    Some(match word {
        "metadata-address" => {
            "your containers can reach the metadata address 169.254.169.254, which on a cloud serves the host's credentials"
        }
        "host-listeners" => "your containers can reach what listens on this host",
        "lan-to-containers" => {
            "a machine on the LAN that routes your subnet to this host can reach your containers' ports"
        }
        "loopback-ports" => {
            "any user of this host can connect to your ports on 127.0.0.1, and take one while its service is down"
        }
        _ => return None,
    })
}

/// The words of what is open; of a helper that does not tell, everything that this version knows.
#[must_use]
pub fn open(who: &WhoAmIResponse) -> Vec<String> {
    match &who.guard {
        Some(guard) => guard.open.clone(),
        None => [
            "metadata-address",
            "host-listeners",
            "lan-to-containers",
            "loopback-ports",
        ]
        .map(str::to_owned)
        .to_vec(),
    }
}

/// The same for people; a word that this client does not know stays as it is.
#[must_use]
pub fn sentences(who: &WhoAmIResponse) -> Vec<String> {
    let text = |word: String| sentence(&word).map_or(word, str::to_owned);
    open(who).into_iter().map(text).collect()
}

/// A word for programs; `unknown` of a helper that does not tell.
#[must_use]
pub fn state(who: &WhoAmIResponse) -> &'static str {
    match who.guard.as_ref().map(NetworkGuard::state) {
        Some(NetworkGuardState::None) => "none",
        Some(NetworkGuardState::InForce) => "in-force",
        Some(NetworkGuardState::Off) => "off",
        Some(NetworkGuardState::Unspecified) | None => "unknown",
    }
}

/// True when the kernel guards the tenant's ports and containers now.
#[must_use]
pub fn in_force(who: &WhoAmIResponse) -> bool {
    state(who) == "in-force"
}

/// What holds, on one line.
#[must_use]
pub fn summary(who: &WhoAmIResponse) -> String {
    let guard = who.guard.clone().unwrap_or_default();
    if in_force(who) {
        let egress = match guard.egress.as_str() {
            "none" => "nothing outside of your network",
            "internet" => "the internet, not private networks",
            "all" => "the internet and private networks",
            networks => networks,
        };
        return format!(
            "in force: only your UIDs and the host's can reach your ports and containers, which can reach {egress}"
        );
    }
    let state = match state(who) {
        "off" => return "switched off by the policy".to_owned(),
        "none" => "not in force",
        state => state,
    };
    match guard.problem.as_str() {
        "" => state.to_owned(),
        problem => format!("{state}: {problem}"),
    }
}

/// A sentence when it is not in force on a host whose helper knows it.
#[must_use]
pub fn warning(who: &WhoAmIResponse) -> Option<String> {
    let guard = who.guard.as_ref().filter(|_| !in_force(who))?;
    let summary = summary(who);
    Some(if guard.required {
        format!("no container may start, since the policy requires the network guard: {summary}")
    } else {
        format!("the network guard: {summary}; aistack doctor says what is open")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(state: NetworkGuardState, open: &[&str]) -> WhoAmIResponse {
        WhoAmIResponse {
            guard: Some(NetworkGuard {
                state: state.into(),
                open: open.iter().map(|word| (*word).to_owned()).collect(),
                egress: "internet".to_owned(),
                ..NetworkGuard::default()
            }),
            ..WhoAmIResponse::default()
        }
    }

    #[test]
    fn what_is_open_is_reported_by_the_helper_and_never_less_than_it_says() {
        let old = WhoAmIResponse::default();
        assert_eq!((state(&old), open(&old).len()), ("unknown", 4));
        let text = who(
            NetworkGuardState::None,
            &["metadata-address", "something-new"],
        );
        assert_eq!(state(&text), "none");
        let text = sentences(&text);
        assert!(text[0].contains("169.254.169.254"), "{text:?}");
        assert_eq!(text[1], "something-new");
        assert!(sentences(&who(NetworkGuardState::None, &[])).is_empty());
        for word in open(&old) {
            assert!(sentence(&word).is_some(), "{word}");
        }
    }

    #[test]
    fn only_a_guard_that_the_kernel_answers_for_is_no_warning() {
        let guarded = who(NetworkGuardState::InForce, &[]);
        assert!(in_force(&guarded) && warning(&guarded).is_none());
        assert!(summary(&guarded).contains("not private networks"));
        for state in [
            NetworkGuardState::None,
            NetworkGuardState::Off,
            NetworkGuardState::Unspecified,
        ] {
            let mut open = who(state, &["loopback-ports"]);
            assert!(!warning(&open).unwrap().contains("none"), "{state:?}");
            assert!(
                warning(&open).unwrap().contains("aistack doctor"),
                "{state:?}"
            );
            let guard = open.guard.as_mut().unwrap();
            guard.required = true;
            guard.problem = "nftables is not installed on this host".to_owned();
            assert!(
                warning(&open).unwrap().contains("no container may start"),
                "{state:?}"
            );
        }
        assert!(warning(&WhoAmIResponse::default()).is_none());
    }
}
