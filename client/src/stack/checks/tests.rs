use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request as HttpRequest, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::desired::{OWN_ROOT, Request, Via};
use crate::stack::tls::Root;
use crate::stack::tls::tests::Authority;

/// A request as the server saw it: `METHOD path`, headers, body.
type Seen = Arc<Mutex<Vec<(String, hyper::HeaderMap, String)>>>;
type Reply = Response<Full<Bytes>>;

/// A real HTTP server, over TLS where it has an acceptor; answers what `reply` says.
async fn serve(
    tls: Option<TlsAcceptor>,
    reply: impl Fn(usize, &str, &str) -> Reply + Send + Sync + 'static,
) -> (u16, Seen) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Seen::default();
    let log = Arc::clone(&seen);
    let reply = Arc::new(reply);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (log, reply) = (Arc::clone(&log), Arc::clone(&reply));
            let service = hyper::service::service_fn(move |request: HttpRequest<Incoming>| {
                let (log, reply) = (Arc::clone(&log), Arc::clone(&reply));
                async move {
                    let line = format!("{} {}", request.method(), request.uri());
                    let headers = request.headers().clone();
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    let body = String::from_utf8(body.to_vec()).unwrap();
                    let count = {
                        let mut log = log.lock().unwrap();
                        log.push((line.clone(), headers, body.clone()));
                        log.len()
                    };
                    Ok::<_, Infallible>(reply(count, &line, &body))
                }
            });
            let server = hyper::server::conn::http1::Builder::new();
            match &tls {
                None => drop(server.serve_connection(TokioIo::new(stream), service).await),
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        drop(server.serve_connection(TokioIo::new(stream), service).await);
                    }
                }
            }
        }
    });
    (port, seen)
}

fn reply(status: u16, body: &str) -> Reply {
    let body = Full::from(body.to_owned());
    Response::builder().status(status).body(body).unwrap()
}

fn step(method: &str, path: &str) -> Request {
    Request {
        method: method.to_owned(),
        path: path.to_owned(),
        headers: Vec::new(),
        body: String::new(),
        s3: None,
        expect: vec![200],
        contains: None,
        capture: [].into(),
        always: false,
        within: None,
    }
}

fn capture(name: &str, place: &str) -> std::collections::BTreeMap<String, String> {
    [(name.to_owned(), place.to_owned())].into()
}

fn line_to<'a>(via: &'a Via, trust: &'a Trust, notice: &'a dyn Fn(&str)) -> http::Line<'a> {
    http::Line {
        via,
        trust,
        limits: Limits::on(TimeScale::default()),
        notice,
    }
}

async fn ask(port: u16, steps: &[Request]) -> Result<(), String> {
    let mut secrets = Secrets::default();
    secrets.add("sk-of-the-manifest");
    let trust = &Trust::open(None);
    let (via, notice) = (&Via::Port(port), &|_: &str| ());
    let line = line_to(via, trust, notice);
    http::run(&line, steps, &secrets, &mut None).await
}

fn lines(seen: &Seen) -> Vec<String> {
    let seen = seen.lock().unwrap();
    seen.iter().map(|(line, _, _)| line.clone()).collect()
}

#[test]
fn limits_grow_with_the_time_scale() {
    for (scale, expected) in [
        ("1", [20, 60, 30]),
        ("3", [60, 180, 90]),
        ("20", [400, 1200, 600]),
    ] {
        let limits = Limits::on(TimeScale::parse(scale).unwrap());
        let limits = [limits.request, limits.check, limits.command];
        assert_eq!(limits, expected.map(Duration::from_secs), "{scale}");
    }
}

#[tokio::test]
async fn a_chain_of_steps_carries_cookies_and_what_was_captured() {
    let (port, seen) = serve(None, |_, line, _| match line {
        "POST /login" => Response::builder()
            .header("set-cookie", "sid=abc; Path=/; HttpOnly")
            .header("set-cookie", "gone=; Max-Age=0")
            .body(Full::from(
                r#"{"data":{"id":"a/b \"c\"","vector":[1,2.5]}}"#,
            ))
            .unwrap(),
        _ => reply(200, "stored"),
    })
    .await;
    let mut login = step("POST", "/login");
    login.body = r#"{"user":"x"}"#.to_owned();
    login.capture = capture("id", "/data/id");
    login.capture.extend(capture("vector", "/data/vector"));
    login.capture.extend(capture("token", "cookie:sid"));
    let mut write = step("PUT", "/items/${step:id}?full=1");
    write.headers = vec![("X-Token".to_owned(), "Bearer ${step:token}".to_owned())];
    write.body = r#"{"id":"${step:id}","vector":${step:vector}}"#.to_owned();
    write.contains = Some("stored".to_owned());
    assert_eq!(ask(port, &[login, write]).await, Ok(()));
    let seen = seen.lock().unwrap();
    let (line, headers, body) = &seen[1];
    assert_eq!(line, "PUT /items/a%2Fb%20%22c%22?full=1");
    assert_eq!(body, r#"{"id":"a/b \"c\"","vector":[1,2.5]}"#);
    assert_eq!(headers["x-token"], "Bearer abc");
    assert_eq!(headers["cookie"], "sid=abc");
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(headers["host"], format!("127.0.0.1:{port}"));
}

#[tokio::test]
async fn a_problem_names_step_method_and_path_and_shows_no_secret() {
    let (port, _) = serve(None, |_, line, _| match line {
        "GET /a" => reply(200, r#"{"token":"given-by-service"}"#),
        _ => reply(
            500,
            "sk-of-the-manifest\n\u{1b}[31mand\u{7} given-by-service failed",
        ),
    })
    .await;
    let mut first = step("GET", "/a");
    first.capture = capture("token", "/token");
    let mut second = step("POST", "/b?key=sk-of-the-manifest&t=${step:token}");
    second.body = "hidden".to_owned();
    second.expect = vec![200, 201];
    assert_eq!(
        ask(port, &[first, second]).await,
        Err(
            "step 2: POST /b?key=***&t=${step:token}: answered 500, not 200 or 201: *** and *** failed"
                .to_owned()
        )
    );
}

#[tokio::test]
async fn what_is_wrong_with_an_answer_is_reported() {
    let long = "x".repeat(5000);
    let (port, _) = serve(None, move |_, line, _| match line {
        "GET /json" => reply(200, r#"{"a":1}"#),
        "GET /moved" => reply(302, ""),
        "GET /big" => reply(200, &"y".repeat(1_200_000)),
        _ => reply(200, &long),
    })
    .await;
    let problem = |steps: Vec<Request>| async move { ask(port, &steps).await.unwrap_err() };
    assert_eq!(
        problem(vec![step("GET", "/moved")]).await,
        "GET /moved: answered 302, not 200"
    );
    let mut wrong = step("GET", "/json");
    wrong.contains = Some("b".to_owned());
    assert_eq!(
        problem(vec![wrong]).await,
        r#"GET /json: the answer does not contain `b`: {"a":1}"#
    );
    let mut wrong = step("GET", "/json");
    wrong.capture = capture("x", "/b");
    assert_eq!(
        problem(vec![wrong]).await,
        r#"GET /json: the answer has nothing at `/b`: {"a":1}"#
    );
    let mut wrong = step("GET", "/text");
    wrong.capture = capture("x", "/b");
    let why = problem(vec![wrong]).await;
    assert!(
        why.starts_with("GET /text: the answer is not JSON: xxx"),
        "{why}"
    );
    assert!(why.chars().count() < 250 && why.ends_with('…'), "{why}");
    let mut wrong = step("GET", "/big");
    wrong.capture = capture("x", "/b");
    let why = problem(vec![wrong]).await;
    assert!(why.contains("too long to be read"), "{why}");
    assert_eq!(ask(port, &[step("GET", "/big")]).await, Ok(()));
    let why = problem(vec![step("GET", "/${step:none}")]).await;
    assert!(why.contains("no step before it captured `none`"), "{why}");
}

#[tokio::test]
async fn what_cleans_up_is_done_although_a_step_failed_and_counts_only_when_none_did() {
    for (status, expected) in [
        (404, Err("step 2: GET /read: answered 404, not 200: no")),
        (
            200,
            Err("step 4: DELETE /made/7: answered 500, not 200: no"),
        ),
    ] {
        let (port, seen) = serve(None, move |_, line, _| match line {
            "POST /made" => reply(200, r#"{"id":7}"#),
            "GET /read" => reply(status, "no"),
            "GET /more" => reply(200, ""),
            _ => reply(500, "no"),
        })
        .await;
        let mut make = step("POST", "/made");
        make.capture = capture("id", "/id");
        let mut clean = step("DELETE", "/made/7");
        clean.always = true;
        let mut never = step("DELETE", "/made/${step:other}");
        never.always = true;
        never.within = Some(Duration::from_mins(5));
        let steps = [
            make,
            step("GET", "/read"),
            step("GET", "/more"),
            clean,
            never,
        ];
        let began = Instant::now();
        assert_eq!(ask(port, &steps).await, expected.map_err(str::to_owned));
        assert!(began.elapsed() < Duration::from_mins(1));
        let lines = lines(&seen);
        assert_eq!(lines.last().map(String::as_str), Some("DELETE /made/7"));
        assert_eq!(lines.contains(&"GET /more".to_owned()), status == 200);
    }
}

#[tokio::test]
async fn a_step_with_a_time_is_repeated_until_it_passes_or_the_time_is_up() {
    let (port, seen) = serve(None, |count, line, _| {
        let ready = line == "GET /soon" && count >= 3;
        reply(if ready { 200 } else { 503 }, "")
    })
    .await;
    let mut soon = step("GET", "/soon");
    soon.within = Some(Duration::from_secs(10));
    assert_eq!(ask(port, &[soon]).await, Ok(()));
    assert_eq!(seen.lock().unwrap().len(), 3);
    let mut never = step("GET", "/never");
    never.within = Some(Duration::from_millis(700));
    let why = ask(port, &[never]).await.unwrap_err();
    assert_eq!(why, "GET /never: answered 503, not 200 (tried for 0.7 s)");
    assert!(seen.lock().unwrap().len() > 4);
}

#[tokio::test]
async fn a_service_that_wants_fewer_requests_gets_its_pause() {
    let busy = |pause: &str| {
        let reply = Response::builder().status(429).header("retry-after", pause);
        reply.body(Full::from("too many")).unwrap()
    };
    let (port, seen) = serve(None, move |count, line, _| match line {
        "POST /login" if count < 3 => busy("1"),
        "POST /never" => busy("600"),
        "GET /wrong" if count == 5 => busy("0"),
        "GET /wrong" => reply(401, ""),
        _ => reply(200, ""),
    })
    .await;
    assert_eq!(ask(port, &[step("POST", "/login")]).await, Ok(()));
    assert_eq!(seen.lock().unwrap().len(), 3);
    let why = ask(port, &[step("POST", "/never")]).await.unwrap_err();
    let expected = "POST /never: answered 429, not 200: too many (rate limited for 10 m 00 s)";
    assert_eq!(why, expected);
    assert_eq!(seen.lock().unwrap().len(), 4);
    // Its patience is for 429 only.
    let why = ask(port, &[step("GET", "/wrong")]).await.unwrap_err();
    assert_eq!(why, "GET /wrong: answered 401, not 200");
    assert_eq!(seen.lock().unwrap().len(), 6);
}

#[tokio::test]
async fn a_site_is_requested_by_its_name_over_tls_and_its_certificate_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join(OWN_ROOT);
    let authority = Authority::new("mine");
    authority.write_root(&root);
    let host = "n8n.example.test".to_owned();
    let (port, seen) = serve(Some(authority.server(&host, 2020..2100)), |_, _, _| {
        reply(200, "hello")
    })
    .await;
    let via = Via::Site { host, port };
    let steps = [step("GET", "/healthz")];
    let secrets = Secrets::default();
    let mut served = None;
    let trust = Trust::open(Some(&root));
    let (via, trust, notice) = (&via, &trust, &|_: &str| ());
    let line = line_to(via, trust, notice);
    let answer = http::run(&line, &steps, &secrets, &mut served).await;
    assert_eq!(answer, Ok(()));
    assert_eq!(served.unwrap().root, Some(Root::Own));
    let host = seen.lock().unwrap()[0].1["host"].clone();
    assert_eq!(host, format!("n8n.example.test:{port}"));

    let mut served = None;
    let trust = &Trust::open(None);
    let line = line_to(via, trust, notice);
    let answer = http::run(&line, &steps, &secrets, &mut served).await;
    let why = answer.unwrap_err();
    assert!(
        why.starts_with("GET /healthz: the certificate of n8n"),
        "{why}"
    );
    assert_eq!(served.unwrap().root, None);
    assert_eq!(seen.lock().unwrap().len(), 1, "nothing was sent");
}

#[tokio::test]
async fn chunked_answers_and_answers_cut_short_are_distinguished() {
    for (answer, expected) in [
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
            Ok(()),
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\nabcde",
            Err(()),
        ),
        ("SSH-2.0-x\r\n", Err(())),
    ] {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 1024]).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        let mut wanted = step("GET", "/");
        wanted.contains = Some("abcde".to_owned());
        let outcome = ask(port, &[wanted]).await;
        assert_eq!(outcome.clone().map_err(drop), expected, "{outcome:?}");
    }
}

#[tokio::test]
async fn a_closed_port_is_a_problem() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let problem = ask(port, &[step("GET", "/")]).await.unwrap_err();
    assert!(problem.contains("refused"), "{problem}");
}

#[tokio::test]
async fn a_service_without_a_check_is_a_warning_and_no_failure() {
    // It gets no request.
    let engine = Engine::at(std::path::Path::new("/dev/null")).unwrap();
    let stack = crate::desired::tests::render(&[]).unwrap();
    let mut own = stack.services[0].clone();
    own.checks.clear();
    let checker = Checker::new(&engine, &stack);
    let container = crate::engine::tests::container(&own.name);
    let results = checker.ask(&own, Some(&container), |_| {}).await;
    let [result] = results.as_slice() else {
        panic!("{results:?}");
    };
    assert!(result.ok, "{result:?}");
    assert!(result.problem.is_none() && result.warning.is_some());
    // One that does not run is a failure still.
    let results = checker.ask(&own, None, |_| {}).await;
    assert!(!results[0].ok, "{results:?}");
}
