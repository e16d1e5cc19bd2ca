//! A Docker that does not answer one tenant does not hold up another.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aistack_proto::v1;
use serde_json::{Value, json};

use super::test_host::{A, B, TestHost};

/// A Docker that has networks, and does not answer what is about A's.
#[derive(Clone, Default)]
struct HangingDocker {
    networks: Arc<Mutex<BTreeMap<String, Value>>>,
    hanging: Arc<Mutex<Vec<UnixStream>>>,
}

impl HangingDocker {
    fn at(socket: &Path) -> Self {
        let docker = Self::default();
        let listener = UnixListener::bind(socket).unwrap();
        let serving = docker.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let docker = serving.clone();
                std::thread::spawn(move || docker.converse(stream.unwrap()));
            }
        });
        docker
    }

    fn hangs(&self) -> usize {
        self.hanging.lock().unwrap().len()
    }

    fn converse(&self, mut stream: UnixStream) {
        let mut request = String::new();
        let mut bytes = [0; 4096];
        // The body comes with the head or behind it; it ends with its brace.
        while !(request.contains("\r\n\r\n")
            && (request.starts_with("GET") || request.ends_with('}')))
        {
            match stream.read(&mut bytes) {
                Ok(count @ 1..) => request.push_str(&String::from_utf8_lossy(&bytes[..count])),
                _ => return,
            }
        }
        if request.contains(&format!("aistack-dev-core-{A}")) {
            self.hanging.lock().unwrap().push(stream);
            return;
        }
        let (status, body) = self.answer(&request);
        let answer = format!(
            "HTTP/1.1 {status} Word\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            body.len()
        );
        let _ = stream.write_all(answer.as_bytes());
    }

    /// As Docker: one after the other, and no subnet twice.
    fn answer(&self, request: &str) -> (u16, String) {
        let path = request.split(' ').nth(1).unwrap_or_default();
        if let Some(body) = super::recorded::DEBIAN_12.answer(path) {
            return (200, body.to_owned());
        }
        if path.starts_with("/events") {
            return (200, String::new());
        }
        let mut networks = self.networks.lock().unwrap();
        if request.starts_with("GET /version ") {
            return (200, json!({"ApiVersion": "1.41"}).to_string());
        }
        if request.starts_with("GET /v1.41/networks?") {
            let named = networks.values().filter(|network| {
                request.contains(&format!("%22{}%22", network["Name"].as_str().unwrap()))
            });
            return (200, named.cloned().collect::<Value>().to_string());
        }
        let (_, body) = request.split_once("\r\n\r\n").unwrap();
        let mut network: Value = serde_json::from_str(body).unwrap();
        let subnet = network["IPAM"]["Config"][0]["Subnet"].to_string();
        if networks.contains_key(&subnet) {
            return (
                403,
                json!({"message": "Pool overlaps with other one"}).to_string(),
            );
        }
        network["Id"] = format!("{:064x}", networks.len() + 1).into();
        networks.insert(subnet, network);
        (201, "{}".to_owned())
    }
}

#[tokio::test]
#[ignore = "needs root"]
async fn a_docker_that_hangs_for_one_tenant_holds_up_no_other() {
    let host = TestHost::start();
    let docker = HangingDocker::at(&host.path("docker.sock"));
    let mut client = host.client(A).await;
    let held_up =
        tokio::spawn(async move { client.create_network(v1::CreateNetworkRequest {}).await });
    while docker.hangs() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut client = host.client(B).await;
    let made = client.create_network(v1::CreateNetworkRequest {}).await;
    assert!(made.unwrap().into_inner().changed);
    let again = client.create_network(v1::CreateNetworkRequest {}).await;
    assert!(!again.unwrap().into_inner().changed);
    assert!(!held_up.is_finished(), "A's call was to hang all the while");
    held_up.abort();
}

#[tokio::test]
#[ignore = "needs root"]
async fn tenants_who_make_their_networks_at_once_get_subnets_apart() {
    let host = TestHost::start();
    let docker = HangingDocker::at(&host.path("docker.sock"));
    let mut calls = Vec::new();
    for uid in B..A + 10 {
        for _ in 0..2 {
            let mut client = host.client(uid).await;
            calls.push(tokio::spawn(async move {
                let made = client.create_network(v1::CreateNetworkRequest {}).await;
                made.unwrap().into_inner().subnet
            }));
        }
    }
    let mut subnets = Vec::new();
    for call in calls {
        subnets.push(call.await.unwrap());
    }
    subnets.sort();
    assert!(
        subnets.chunks(2).all(|both| both[0] == both[1]),
        "{subnets:?}"
    );
    subnets.dedup();
    assert_eq!(subnets.len(), 9, "{subnets:?}");
    assert_eq!(docker.networks.lock().unwrap().len(), 9);
}
