//! `guard = "required"` of the policy: nothing starts while the network guard is not in force.

use aistack_policy::guard::GuardMode;
use aistack_policy::{Grant, Refusal};

use super::gateway::Gateway;
use crate::guard::Answer;

impl Gateway {
    /// Refuses what is to run while the guard that the policy requires is not in force. The kernel is
    /// queried each time: the table may have been flushed a moment ago.
    ///
    /// # Errors
    /// When it is not in force, or that cannot be known.
    pub(super) fn check_guard(&self, grant: &Grant) -> Result<(), Refusal> {
        if grant.guard == GuardMode::IfAvailable {
            return Ok(());
        }
        decide(grant, self.ask_guard())
    }
}

fn decide(grant: &Grant, answer: Answer) -> Result<(), Refusal> {
    let why = match answer {
        Answer::InForce => return Ok(()),
        Answer::NotInForce => "the network guard, which the policy requires, is not in force",
        Answer::Unknown => {
            "the policy requires the network guard, and the gateway cannot determine whether it is in force"
        }
    };
    let refusal = Refusal::new("GUARD_REQUIRED", why, grant.rules.guard.clone());
    Err(refusal.with_hint(
        "ask the administrator to check `aistack-helper guard status` and to run \
         `systemctl restart aistack-guard`",
    ))
}

#[cfg(test)]
mod tests {
    use aistack_policy::Policy;

    use super::*;

    #[test]
    fn only_what_is_known_to_be_in_force_lets_containers_start() {
        let text = include_str!("../../tests/corpus/policy.toml");
        let mut grant = Policy::parse(text).unwrap().grant(1001).unwrap();
        grant.guard = GuardMode::Required;
        assert_eq!(decide(&grant, Answer::InForce), Ok(()));
        for answer in [Answer::NotInForce, Answer::Unknown] {
            let refusal = decide(&grant, answer).unwrap_err();
            assert_eq!(
                (refusal.reason, refusal.rule),
                ("GUARD_REQUIRED", grant.rules.guard.clone())
            );
        }
    }
}
