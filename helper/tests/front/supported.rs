//! Engines on which no network is made.

use aistack_proto::v1;
use tonic::Code;

use super::recorded::{DEBIAN_12, Engine, REFUSED};
use super::world::{A, World, told};

#[tokio::test]
async fn no_network_is_made_on_an_engine_that_is_refused() {
    for (says, words) in REFUSED {
        let Some(world) = World::start() else { return };
        let engine = Engine::at(&world.path("docker.sock"), says);
        let mut client = world.client(A).await;
        let made = client.create_network(v1::CreateNetworkRequest {}).await;
        let status = made.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied, "{status:?}");
        assert!(status.message().contains(words), "{status:?}");
        let (reason, rule, hint) = told(&status);
        assert_eq!(reason, "ENGINE_REFUSED");
        assert_eq!(rule, "builtin.supported-engine");
        assert!(hint.starts_with("ask the administrator to "), "{hint}");
        let asked = engine.asked();
        assert!(
            asked.iter().all(|line| line.starts_with("GET ")),
            "{asked:?}"
        );
        let outcomes = world.records_of("outcome");
        let outcome = outcomes.last().unwrap().to_string();
        for words in [words, "ENGINE_REFUSED", "builtin.supported-engine"] {
            assert!(outcome.contains(words), "{outcome}");
        }
        // Another engine in its place is asked again.
        engine.becomes(DEBIAN_12);
        let again = client.create_network(v1::CreateNetworkRequest {}).await;
        assert_ne!(told(&again.unwrap_err()).0, "ENGINE_REFUSED");
        let asked = engine.asked();
        assert!(
            asked.iter().any(|line| line.starts_with("POST ")),
            "{asked:?}"
        );
    }
}
