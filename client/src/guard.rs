//! What aistack does not guard on the network of this host, as the helper tells it.

use aistack_proto::v1::WhoAmIResponse;

/// Where the administrator finds rules that close it.
pub const ADVICE: &str =
    "the administrator can close it: docs/admin.md, \"The network of the containers\"";

/// One thing that is open, for people.
fn sentence(word: &str) -> Option<&'static str> {
    Some(match word {
        "metadata-address" => {
            "your containers reach the metadata address 169.254.169.254, on a cloud the host's credentials"
        }
        "host-listeners" => "your containers reach what listens on this host",
        "lan-to-containers" => {
            "a machine of the LAN that routes your subnet to this host reaches your containers' ports"
        }
        "loopback-ports" => {
            "any user of this host may ask your ports on 127.0.0.1, and take one while its service is down"
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
    let told = |word: String| sentence(&word).map_or(word, str::to_owned);
    open(who).into_iter().map(told).collect()
}

/// `none`, or `unknown` of a helper that does not tell.
#[must_use]
pub fn state(who: &WhoAmIResponse) -> &'static str {
    match &who.guard {
        Some(guard) if guard.state() == aistack_proto::v1::NetworkGuardState::None => "none",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use aistack_proto::v1::{NetworkGuard, NetworkGuardState};

    use super::*;

    #[test]
    fn what_is_open_is_told_by_the_helper_and_never_less_than_it_says() {
        let old = WhoAmIResponse::default();
        assert_eq!((state(&old), open(&old).len()), ("unknown", 4));
        let guard = |open: &[&str]| WhoAmIResponse {
            guard: Some(NetworkGuard {
                state: NetworkGuardState::None.into(),
                open: open.iter().map(|word| (*word).to_owned()).collect(),
            }),
            ..WhoAmIResponse::default()
        };
        let who = guard(&["metadata-address", "something-new"]);
        assert_eq!(state(&who), "none");
        let told = sentences(&who);
        assert!(told[0].contains("169.254.169.254"), "{told:?}");
        assert_eq!(told[1], "something-new");
        assert!(sentences(&guard(&[])).is_empty());
        for word in open(&old) {
            assert!(sentence(&word).is_some(), "{word}");
        }
    }
}
