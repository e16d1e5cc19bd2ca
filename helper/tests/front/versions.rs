//! A Docker Engine that does not speak our version, as Docker 29.0 to 29.2 do not.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;

use aistack_proto::v1;
use tonic::Code;

use super::world::{A, World, told};

#[tokio::test]
async fn an_engine_that_does_not_speak_our_version_is_named_to_the_caller_and_in_the_log() {
    let Some(mut world) = World::prepare() else {
        return;
    };
    let listener = UnixListener::bind(world.path("docker.sock")).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut bytes = [0; 4096];
            let count = stream.read(&mut bytes).unwrap_or(0);
            let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
            let (status, body) = match text.split(' ').nth(1).unwrap_or_default() {
                "/version" => (
                    "200 OK",
                    r#"{"Version":"29.0.1","ApiVersion":"1.52","MinAPIVersion":"1.44"}"#,
                ),
                "/info" => ("200 OK", r#"{"SecurityOptions":null}"#),
                _ => (
                    "400 Bad Request",
                    r#"{"message":"client version 1.41 is too old. Minimum supported API version is 1.44, please upgrade your client to a newer version"}"#,
                ),
            };
            let _ = write!(
                stream,
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
        }
    });
    world.start_daemon();
    let words = "Docker Engine 29.0.1 speaks API 1.44 to 1.52, and this aistack speaks 1.41";
    world.wait_for("the engine's version in the log", || {
        world.said().contains(words)
    });
    assert!(
        world.said().contains("install Docker Engine"),
        "{}",
        world.said()
    );
    let mut client = world.client(A).await;
    let status = client
        .create_network(v1::CreateNetworkRequest {})
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(told(&status).0, "DOCKER_VERSION");
    assert!(
        status
            .message()
            .contains("speaks API 1.44 and later, and this aistack speaks 1.41"),
        "{status}"
    );
}
