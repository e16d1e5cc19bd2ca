//! Docker Engines of other API versions. The oldest version of Docker 29.0 to 29.2 is 1.44.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Mutex};

use aistack_proto::v1;
use serde_json::json;
use tonic::Code;

use super::test_host::{A, TestHost, details};

/// An engine that speaks API 1.`oldest` to 1.`newest` and has no network; what requests it got.
fn engine(
    socket: &Path,
    version: &'static str,
    oldest: u32,
    newest: u32,
) -> Arc<Mutex<Vec<String>>> {
    let listener = UnixListener::bind(socket).unwrap();
    let requests = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&requests);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut bytes = [0; 4096];
            let count = stream.read(&mut bytes).unwrap_or(0);
            let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
            let path = text.split(' ').nth(1).unwrap_or_default();
            let body = match path {
                "/version" => json!({"Version": version, "ApiVersion": format!("1.{newest}"),
                    "MinAPIVersion": format!("1.{oldest}")}),
                "/info" => json!({"SecurityOptions": null}),
                path if path.contains("/networks?") => json!([]),
                _ => json!({"message": "no"}),
            };
            log.lock().unwrap().push(text.clone());
            let status = if path.ends_with("/create") { 409 } else { 200 };
            let body = body.to_string();
            let _ = write!(
                stream,
                "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    requests
}

#[tokio::test]
#[ignore = "needs root"]
async fn an_engine_that_shares_no_version_is_named_to_the_caller_and_in_the_log() {
    let mut host = TestHost::prepare();
    engine(&host.path("docker.sock"), "19.03.15", 12, 40);
    host.start_daemon();
    let words =
        "Docker Engine 19.03.15 speaks API 1.12 to 1.40, and this aistack speaks 1.41 to 1.56";
    host.wait_for("the engine's version in the log", || {
        host.said().contains(words)
    });
    assert!(
        host.said().contains("install Docker Engine 20.10"),
        "{}",
        host.said()
    );
    let mut client = host.client(A).await;
    let status = client
        .create_network(v1::CreateNetworkRequest {})
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(details(&status).0, "DOCKER_VERSION");
    let words = "speaks API 1.12 to 1.40, and this aistack speaks 1.41 to 1.56";
    assert!(status.message().contains(words), "{status}");
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_network_is_requested_in_the_words_of_the_engines_version() {
    for (oldest, newest, spoken, checks) in
        [(12, 41, 41, true), (44, 52, 52, false), (40, 56, 56, false)]
    {
        let mut host = TestHost::prepare();
        let requests = engine(&host.path("docker.sock"), "x", oldest, newest);
        host.start_daemon();
        let mut client = host.client(A).await;
        let made = client.create_network(v1::CreateNetworkRequest {}).await;
        // The stand-in has something of this name.
        made.unwrap_err();
        let requests = requests.lock().unwrap();
        let sent = |line: &str| requests.iter().find(|text| text.starts_with(line));
        let create = sent(&format!("POST /v1.{spoken}/networks/create "));
        let create = create.unwrap_or_else(|| panic!("{requests:?}"));
        assert!(create.contains("\"Subnet\""), "{create}");
        assert_eq!(create.contains("CheckDuplicate"), checks, "{create}");
        assert!(
            sent(&format!("GET /v1.{spoken}/networks?")).is_some(),
            "{requests:?}"
        );
    }
}
