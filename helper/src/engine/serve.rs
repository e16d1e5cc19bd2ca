//! The gateway's connections: one request each, answered whole, as a stream or as a tunnel.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::sync::watch;

use super::error::GatewayError;
use super::gateway::{Gateway, Tenant};
use super::handlers::{Call, Reply};
use super::http::{self, Head, ReadError, Served};
use super::pulled::Pulling;
use super::turns::Turns;
use super::vet::target::{Endpoint, Line};
use super::views::AsOf;
use crate::accept::{Acceptor, Bounds, Connection};

/// Time for a whole request to arrive.
const ARRIVAL: Duration = Duration::from_secs(30);
/// Time for a whole answer to be taken.
const TAKEN: Duration = Duration::from_secs(30);
/// Time for a part of a stream to be taken: a pager may be held at one page for long.
const PART_TAKEN: Duration = Duration::from_hours(1);
/// Time for an answer to be taken once the gateway stops.
const LAST_WORD: Duration = Duration::from_secs(2);
/// Time for a caller with too many connections to ask something, to get an answer and to hang up.
const TURNED_AWAY: Duration = Duration::from_secs(3);
/// Time for a caller to take its answer and hang up.
const LINGER: Duration = Duration::from_secs(1);
/// What a caller may still send after its answer, bytes: the largest body.
const MAX_REST: u64 = super::vet::json::MAX_BODY as u64;
/// The longest line of Docker's event stream, bytes.
const MAX_LINE: usize = 1 << 20;

/// Serves until `stop` says true; then streams are ended, and what runs may finish.
///
/// # Errors
/// When there is no thread that accepts.
pub async fn serve(
    listener: UnixListener,
    bounds: Bounds,
    gateway: Arc<Gateway>,
    mut stop: watch::Receiver<bool>,
) -> io::Result<()> {
    let is_tenant = {
        let gateway = Arc::clone(&gateway);
        move |uid| gateway.is_tenant(uid)
    };
    let acceptor = Acceptor::new(listener, bounds, is_tenant)?;
    let stops = stop.clone();
    // Each task is on its own, and there are as many as connections: a set of them would keep what
    // has ended until somebody looks.
    loop {
        let connection = tokio::select! {
            connection = acceptor.accept() => connection,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        let (gateway, stop) = (Arc::clone(&gateway), stops.clone());
        tokio::spawn(async move {
            if let Err(error) = converse(connection, &gateway, stop).await {
                tracing::debug!(%error, "a connection broke off");
            }
        });
    }
    let mut keeper = acceptor.keeper();
    // Whoever was not taken yet has requested nothing; who comes later waits in the socket.
    drop(acceptor);
    keeper.quiet().await;
    Ok(())
}

/// One connection.
async fn converse(
    mut connection: Connection,
    gateway: &Gateway,
    stop: watch::Receiver<bool>,
) -> io::Result<()> {
    if let Some(open) = connection.peer().over {
        let sending = turn_away(&mut connection, gateway, open);
        return tokio::time::timeout(TURNED_AWAY, sending).await?;
    }
    let mut buffer = BytesMut::with_capacity(4096);
    let arrival = tokio::time::timeout(ARRIVAL, receive(&mut connection, &mut buffer, gateway));
    let mut stopping = stop.clone();
    let arrived = tokio::select! {
        arrived = arrival => arrived,
        // Nothing was done yet, so nobody is waited for.
        _ = stopping.wait_for(|stop| *stop) => return Ok(()),
    };
    let (with_body, result) = match arrived {
        Err(_) => return Ok(()),
        Ok(Received::Ended(error)) => return Err(error),
        Ok(Received::Rejected(status, text)) => {
            let served = gateway.served();
            let sending = tell(&mut connection, &served, status, &text, true);
            return before_the_end(sending, stopping).await;
        }
        Ok(Received::Call { head_only, call }) => (!head_only, call),
    };
    let admitted = async {
        // The turn first: who waits for it holds no place.
        let turns = match &result {
            Ok(call) => gateway.turns_of(call).await,
            Err(_) => Ok(Turns::default()),
        };
        (
            turns,
            gateway.request_limit.of(connection.caller().uid).await,
        )
    };
    let (turns, place) = tokio::select! {
        admitted = admitted => admitted,
        _ = stopping.wait_for(|stop| *stop) => return Ok(()),
    };
    // From here on the operation goes to its end, whatever the caller does.
    let (turns, reply) = match (turns, result) {
        (Ok(turns), Ok(call)) => (turns, gateway.perform(call).await),
        (Err(error), _) | (_, Err(error)) => (Turns::default(), Err(error)),
    };
    let stream_turn = turns
        .into_stream()
        .filter(|_| matches!(reply, Ok(Reply::Stream(..))));
    // A whole answer is in memory until it is taken; of a stream only a part is.
    if let Ok(
        Reply::Tunnel(..) | Reply::Raw(_) | Reply::Stream(..) | Reply::Pull(..) | Reply::Events(..),
    ) = &reply
    {
        drop(place);
    }
    match reply {
        Err(error) => {
            if let GatewayError::Internal
            | GatewayError::Answer
            | GatewayError::Docker(_)
            | GatewayError::Audit(_) = &error
            {
                tracing::debug!(error = %error, "a request failed");
            }
            let (status, text) = error.response();
            let served = gateway.served();
            let sending = tell(&mut connection, &served, status, &text, with_body);
            before_the_end(sending, stopping).await
        }
        Ok(reply) => {
            let uid = connection.caller().uid;
            let aged = connection.aged();
            let turn = stream_turn.as_ref();
            let end = async move {
                let mut stop = stop;
                let turn_over = async {
                    match turn {
                        Some(turn) => turn.over().await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    // Once a caller says no more, nobody reads from the connection and finds it too old.
                    () = aged => {}
                    _ = stop.wait_for(|stop| *stop) => {}
                    () = gateway.dismissed(uid) => {}
                    () = turn_over => {}
                }
            };
            let served = gateway.served();
            let sent = send(connection, buffer, &served, reply, with_body, end);
            before_the_end(sent, stopping).await
        }
    }
}

/// Lets an answer be taken. Once the gateway stops there is little time for that.
async fn before_the_end(
    answer: impl Future<Output = io::Result<()>>,
    mut stopping: watch::Receiver<bool>,
) -> io::Result<()> {
    let end = async {
        let _ = stopping.wait_for(|stop| *stop).await;
        tokio::time::sleep(LAST_WORD).await;
    };
    tokio::select! {
        answered = answer => answered,
        () = end => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Tells a caller that it has too many connections, whatever it asks for. It is not a record of the
/// audit log: there is a bound to how many get an answer, and none to how many are closed.
async fn turn_away(connection: &mut Connection, gateway: &Gateway, open: usize) -> io::Result<()> {
    let mut buffer = BytesMut::with_capacity(1024);
    let head = http::read_head(connection, &mut buffer).await;
    if let Err(ReadError::Ended(error)) = head {
        return Err(error);
    }
    let with_body = !head.is_ok_and(|head| head.method == "HEAD");
    let text = format!(
        "you have {open} open connections, the maximum [builtin.connections]; close some, then try \
         again"
    );
    tell(connection, &gateway.served(), 429, &text, with_body).await
}

enum Received {
    Ended(io::Error),
    Rejected(u16, String),
    Call {
        head_only: bool,
        call: Result<Call, GatewayError>,
    },
}

/// Reads one request and vets who sent it and what it asks for.
async fn receive(
    connection: &mut Connection,
    buffer: &mut BytesMut,
    gateway: &Gateway,
) -> Received {
    let head = match http::read_head(connection, buffer).await {
        Ok(head) => head,
        Err(ReadError::Bad(text)) => return Received::Rejected(400, text.to_owned()),
        Err(ReadError::Ended(error)) => return Received::Ended(error),
    };
    let entered = gateway
        .admit(connection.caller(), &head.method, &head.target)
        .await;
    let head_only = head.method == "HEAD";
    let (tenant, line) = match entered {
        Ok(entered) => entered,
        Err(error) => {
            let call = Err(error);
            return Received::Call { head_only, call };
        }
    };
    match body_of(connection, buffer, &head, &line.endpoint).await {
        Ok(body) => Received::Call {
            head_only,
            call: Ok(call(tenant, line, body, &head)),
        },
        Err(ReadError::Bad(text)) => Received::Rejected(400, text.to_owned()),
        Err(ReadError::Ended(error)) => Received::Ended(error),
    }
}

fn call(tenant: Tenant, line: Line, body: Bytes, head: &Head) -> Call {
    Call {
        tenant,
        version: line.version,
        endpoint: line.endpoint,
        body,
        upgrade: head.upgrade,
        has_registry_auth: head.has_registry_auth,
    }
}

async fn body_of(
    connection: &mut Connection,
    buffer: &mut BytesMut,
    head: &Head,
    endpoint: &Endpoint,
) -> Result<Bytes, ReadError> {
    if head.upgrade && !endpoint.may_upgrade() {
        return Err(ReadError::Bad("this endpoint cannot be upgraded"));
    }
    if head.expects_continue {
        http::write_continue(connection).await?;
    }
    http::read_body(connection, buffer, head.framing, endpoint.has_body()).await
}

/// Ends a connection so that its answer arrives: a socket that is closed with bytes unread tells the
/// caller of an error instead, and a caller may still be sending the body of a refused request.
async fn close(connection: &mut Connection) -> io::Result<()> {
    connection.shutdown().await?;
    let (mut rest, mut nowhere) = (connection.take(MAX_REST), tokio::io::sink());
    let drained = tokio::io::copy(&mut rest, &mut nowhere);
    // Whoever does not hang up in time is hung up on.
    let _ = tokio::time::timeout(LINGER, drained).await;
    Ok(())
}

/// Tells a failure as Docker does.
async fn tell(
    connection: &mut Connection,
    served: &Served,
    status: u16,
    text: &str,
    with_body: bool,
) -> io::Result<()> {
    let body = format!("{}\n", json!({ "message": text }));
    let written = http::write_whole(
        connection,
        served,
        status,
        "application/json",
        body.as_bytes(),
        with_body,
    );
    in_time(written).await?;
    close(connection).await
}

async fn send(
    mut connection: Connection,
    buffer: BytesMut,
    served: &Served,
    reply: Reply,
    with_body: bool,
    end: impl Future<Output = ()>,
) -> io::Result<()> {
    let (status, content_type, body) = match reply {
        Reply::Stream(content_type, answer) => {
            return stream(connection, served, content_type, answer, Lines::none(), end).await;
        }
        Reply::Events(answer, grant, as_of) => {
            let (content_type, lines) = (as_of.events_type(), Lines::of(grant, as_of));
            return stream(connection, served, content_type, answer, lines, end).await;
        }
        Reply::Pull(answer, pulling) => {
            let lines = Lines::of_pull(pulling);
            return stream(connection, served, "application/json", answer, lines, end).await;
        }
        Reply::Tunnel(content_type, upgraded) => {
            in_time(http::write_upgraded(&mut connection, served, content_type)).await?;
            return tunnel(connection, buffer, upgraded, end).await;
        }
        Reply::Raw(upgraded) => {
            in_time(http::write_raw_head(&mut connection, served)).await?;
            return raw(connection, buffer, upgraded, end).await;
        }
        Reply::Empty(status) => (status, "application/json", Vec::new()),
        Reply::Text(text) => (200, "text/plain; charset=utf-8", text.as_bytes().to_vec()),
        Reply::Json(status, value) => (
            status,
            "application/json",
            format!("{value}\n").into_bytes(),
        ),
    };
    in_time(http::write_whole(
        &mut connection,
        served,
        status,
        content_type,
        &body,
        with_body,
    ))
    .await?;
    close(&mut connection).await
}

/// Passes Docker's answer on as it comes, until it or the caller ends, or `end` does. What the caller does not
/// take is not fetched.
async fn stream(
    connection: Connection,
    served: &Served,
    content_type: &str,
    answer: ::http::Response<Incoming>,
    mut lines: Lines,
    end: impl Future<Output = ()>,
) -> io::Result<()> {
    let mut end = std::pin::pin!(end);
    let mut body = answer.into_body();
    let (mut from_caller, mut to_caller) = tokio::io::split(connection);
    in_time(http::write_stream_head(
        &mut to_caller,
        served,
        200,
        content_type,
    ))
    .await?;
    let mut nothing = [0_u8; 64];
    loop {
        let frame = tokio::select! {
            frame = body.frame() => frame,
            // A caller who hangs up or says anything more is done.
            _ = from_caller.read(&mut nothing) => return Ok(()),
            () = &mut end => return Ok(()),
        };
        let Some(frame) = frame else { break };
        let frame = frame.map_err(io::Error::other)?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        let data = lines.pass(data)?;
        if data.is_empty() {
            continue;
        }
        let written = http::write_chunk(&mut to_caller, &data);
        tokio::select! {
            written = tokio::time::timeout(PART_TAKEN, written) => written??,
            () = &mut end => return Ok(()),
        }
    }
    if let Some(last) = lines.end().await {
        in_time(http::write_chunk(&mut to_caller, &last)).await?;
    }
    in_time(http::write_chunk(&mut to_caller, b"")).await?;
    to_caller.shutdown().await
}

/// Bytes both ways until both sides have ended, one perhaps before the other, or `end` does.
async fn tunnel(
    mut connection: Connection,
    early: BytesMut,
    upgraded: hyper::upgrade::Upgraded,
    end: impl Future<Output = ()>,
) -> io::Result<()> {
    let mut docker = TokioIo::new(upgraded);
    let copy = async {
        docker.write_all(&early).await?;
        tokio::io::copy_bidirectional(&mut connection, &mut docker).await
    };
    tokio::select! {
        copied = copy => copied.map(drop),
        () = end => Ok(()),
    }
}

/// Bytes both ways after a plain answer, until Docker's side has ended, or `end` does: a caller who
/// wanted no upgrade waits for that, and does not hang up.
async fn raw(
    mut connection: Connection,
    early: BytesMut,
    upgraded: hyper::upgrade::Upgraded,
    end: impl Future<Output = ()>,
) -> io::Result<()> {
    let (mut from_caller, mut to_caller) = tokio::io::split(&mut connection);
    let (mut from_docker, mut to_docker) = tokio::io::split(TokioIo::new(upgraded));
    let up = async {
        to_docker.write_all(&early).await?;
        tokio::io::copy(&mut from_caller, &mut to_docker).await?;
        to_docker.shutdown().await?;
        // The end of its input is not the end of what it says.
        std::future::pending::<io::Result<()>>().await
    };
    tokio::select! {
        copied = tokio::io::copy(&mut from_docker, &mut to_caller) => copied.map(drop)?,
        broken = up => return broken,
        () = end => return Ok(()),
    }
    in_time(close(&mut connection)).await
}

async fn in_time(write: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    tokio::time::timeout(TAKEN, write)
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// Which lines of a stream pass, and who reads along.
struct Lines {
    events: Option<(Arc<aistack_policy::Grant>, AsOf)>,
    pulling: Option<Pulling>,
    partial: BytesMut,
}

impl Lines {
    /// Everything passes, as it comes.
    fn none() -> Self {
        Self {
            events: None,
            pulling: None,
            partial: BytesMut::new(),
        }
    }

    /// Events about this tenant's containers pass.
    fn of(grant: Arc<aistack_policy::Grant>, as_of: AsOf) -> Self {
        Self {
            events: Some((grant, as_of)),
            ..Self::none()
        }
    }

    /// Everything passes, and the end of the pull is noted.
    fn of_pull(pulling: Pulling) -> Self {
        Self {
            pulling: Some(pulling),
            ..Self::none()
        }
    }

    /// The stream has ended well; what else the caller gets.
    async fn end(&mut self) -> Option<Vec<u8>> {
        self.pulling.as_mut()?.end().await
    }

    fn pass(&mut self, data: Bytes) -> io::Result<Bytes> {
        if let Some(pulling) = &mut self.pulling {
            pulling.read(&data);
        }
        let Some((grant, as_of)) = &self.events else {
            return Ok(data);
        };
        self.partial.extend_from_slice(&data);
        let mut passed = Vec::new();
        while let Some(end) = self.partial.iter().position(|byte| *byte == b'\n') {
            let line = self.partial.split_to(end + 1);
            passed.extend(as_of.event(&line, grant).unwrap_or_default());
        }
        if self.partial.len() > MAX_LINE {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(passed.into())
    }
}
