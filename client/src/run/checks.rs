//! What `validate` asks running services: what their users would ask.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::Request;
use hyper::header::HOST;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::net::TcpStream;

use crate::desired::{Check, DesiredService, Via};
use crate::engine::Engine;
use crate::ui;

/// One check may take this long.
const LIMIT: Duration = Duration::from_secs(15);
/// Of an answer, only so much is read, bytes.
const MAX_BODY: usize = 64 * 1024;

/// How one check ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckResult {
    /// Service name.
    pub service: String,
    /// What was asked.
    pub title: String,
    /// Whether the answer was the expected one.
    pub ok: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Asks one service everything, its TLS ports included. `id` is its container's, `None` when it
/// has none.
pub async fn ask(engine: &Engine, service: &DesiredService, id: Option<&str>) -> Vec<CheckResult> {
    let result = |title: &str, answer: Result<(), String>| CheckResult {
        service: service.name.clone(),
        title: title.to_owned(),
        ok: answer.is_ok(),
        problem: answer.err(),
    };
    let Some(id) = id else {
        return vec![result("it runs", Err("there is no container".to_owned()))];
    };
    let mut results = Vec::new();
    for check in &service.checks {
        let asked = tokio::time::timeout(LIMIT, one(engine, id, check)).await;
        let answer = asked.unwrap_or_else(|_| Err(format!("no answer in {}", ui::seconds(LIMIT))));
        results.push(result(check.title(), answer));
    }
    for port in tls_ports(service) {
        let title = format!("port {port} takes TLS connections (certificate not checked)");
        let asked = tokio::time::timeout(LIMIT, connect(port)).await;
        let answer = asked.unwrap_or_else(|_| Err(format!("no answer in {}", ui::seconds(LIMIT))));
        results.push(result(&title, answer.map(drop)));
    }
    results
}

fn tls_ports(service: &DesiredService) -> Vec<u16> {
    let own = service.endpoints.iter();
    let mut ports: Vec<u16> = own
        .filter(|endpoint| endpoint.scheme == "https" && !endpoint.proxied)
        .map(|endpoint| endpoint.port)
        .collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

async fn one(engine: &Engine, id: &str, check: &Check) -> Result<(), String> {
    match check {
        Check::Http { via, steps, .. } => {
            for step in steps {
                let (port, host) = match via {
                    Via::Port(port) => (*port, None),
                    Via::Site { host, port } => (*port, Some(host.as_str())),
                };
                let status = get(port, host, &step.path, step.headers.first()).await?;
                if !step.expect.contains(&status) {
                    return Err(format!("answered {status}, not {}", list(&step.expect)));
                }
            }
            Ok(())
        }
        Check::Exec {
            command,
            stdin,
            expect,
            ..
        } => {
            let output = engine.exec(id, command, stdin).await;
            let output = output.map_err(|error| error.to_string())?;
            if output.code != 0 {
                return Err(ui::clean(&output.failure(stdin)));
            }
            match expect {
                Some(text) if !output.text.contains(text) => {
                    Err(format!("the answer does not hold `{text}`"))
                }
                _ => Ok(()),
            }
        }
    }
}

fn list(statuses: &[u16]) -> String {
    let words: Vec<String> = statuses.iter().map(u16::to_string).collect();
    words.join(" or ")
}

async fn connect(port: u16) -> Result<TcpStream, String> {
    TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        .await
        .map_err(|error| format!("127.0.0.1:{port}: {error}"))
}

/// GET over plain HTTP on loopback; the status.
async fn get(
    port: u16,
    host: Option<&str>,
    path: &str,
    header: Option<&(String, String)>,
) -> Result<u16, String> {
    let stream = TokioIo::new(connect(port).await?);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream)
        .await
        .map_err(|error| error.to_string())?;
    let driver = tokio::spawn(connection);
    let host = host.map_or_else(|| format!("127.0.0.1:{port}"), str::to_owned);
    let mut request = Request::get(path).header(HOST, host);
    if let Some((name, value)) = header {
        request = request.header(name, value);
    }
    // The message of a bad header holds no value.
    let request = request
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let answer = sender.send_request(request).await;
    let answer = answer.map_err(|error| error.to_string())?;
    let status = answer.status().as_u16();
    drop(Limited::new(answer.into_body(), MAX_BODY).collect().await);
    driver.abort();
    Ok(status)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn the_request_carries_host_and_header_and_the_status_comes_back() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 1024];
            let read = stream.read(&mut head).await.unwrap();
            let answer = b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(answer).await.unwrap();
            String::from_utf8_lossy(&head[..read]).to_lowercase()
        });
        let header = ("Authorization".to_owned(), "Bearer x".to_owned());
        let status = get(
            port,
            Some("n8n.example.test"),
            "/healthz?a=b",
            Some(&header),
        )
        .await;
        assert_eq!(status, Ok(401));
        let head = server.await.unwrap();
        assert!(head.starts_with("get /healthz?a=b http/1.1\r\n"), "{head}");
        assert!(head.contains("host: n8n.example.test\r\n"), "{head}");
        assert!(head.contains("authorization: bearer x\r\n"), "{head}");
    }

    #[tokio::test]
    async fn a_closed_port_is_a_problem() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let problem = get(port, None, "/", None).await.unwrap_err();
        assert!(problem.contains("refused"), "{problem}");
    }
}
