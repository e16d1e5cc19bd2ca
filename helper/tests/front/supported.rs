//! Engines on which no network is made.

use aistack_proto::v1;
use tonic::Code;

use super::recorded::{DEBIAN_12, Engine, REFUSED};
use super::test_host::{A, TestHost, details};

#[tokio::test]
#[ignore = "needs root"]
async fn no_network_is_made_on_an_engine_that_is_refused() {
    for (says, words) in REFUSED {
        let host = TestHost::start();
        let engine = Engine::at(&host.path("docker.sock"), says);
        let mut client = host.client(A).await;
        let made = client.create_network(v1::CreateNetworkRequest {}).await;
        let status = made.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied, "{status:?}");
        assert!(status.message().contains(words), "{status:?}");
        let (reason, rule, hint) = details(&status);
        assert_eq!(reason, "ENGINE_REFUSED");
        assert_eq!(rule, "builtin.supported-engine");
        assert!(hint.starts_with("ask the administrator to "), "{hint}");
        let requested = engine.requests();
        assert!(
            requested.iter().all(|line| line.starts_with("GET ")),
            "{requested:?}"
        );
        let outcomes = host.records_of("outcome");
        let outcome = outcomes.last().unwrap().to_string();
        for words in [words, "ENGINE_REFUSED", "builtin.supported-engine"] {
            assert!(outcome.contains(words), "{outcome}");
        }
        // Another engine in its place is queried again.
        engine.becomes(DEBIAN_12);
        let again = client.create_network(v1::CreateNetworkRequest {}).await;
        assert_ne!(details(&again.unwrap_err()).0, "ENGINE_REFUSED");
        let requested = engine.requests();
        assert!(
            requested.iter().any(|line| line.starts_with("POST ")),
            "{requested:?}"
        );
    }
}

/// Docker gets a create of a container that cannot be, and writes that to its log.
#[tokio::test]
#[ignore = "needs root"]
async fn asking_the_engine_what_it_sees_is_recorded_and_counted_as_a_change_is() {
    let host = TestHost::start();
    let _engine = Engine::at(&host.path("docker.sock"), DEBIAN_12);
    let mut client = host.client(A).await;
    let mut answered = 0;
    let refused = loop {
        match client.check_engine(v1::CheckEngineRequest {}).await {
            Ok(_) => answered += 1,
            Err(status) => break status,
        }
        assert!(answered < 1000, "never refused");
    };
    assert_eq!(details(&refused).0, "TOO_MANY_REQUESTS");
    for event in ["intent", "outcome"] {
        let records = host.records_of(event);
        assert_eq!(records.len(), answered, "{event}");
        for record in records {
            assert_eq!(record["operation"], "engine.check", "{record}");
        }
    }
}
