//! Connections: reading a request, making it fail as planned, waiting for updates, answering.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::method::Refusal;
use super::world::Poll;
use super::{Fault, Shared};

/// Longest request that is read.
const REQUEST_BYTES_MAX: u64 = 1024 * 1024;

pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((connection, _)) = listener.accept().await {
        connections.spawn(serve(BufReader::new(connection), Arc::clone(&shared)));
        while connections.try_join_next().is_some() {}
    }
}

/// A request: the token and method of its path, and its parameters.
struct Request {
    token: String,
    method: String,
    parameters: Value,
}

/// One request. Whoever leaves early is not answered; that is no error here.
async fn serve(mut connection: BufReader<TcpStream>, shared: Arc<Shared>) {
    if let Ok(Some(request)) = read(&mut connection).await {
        let _ = answer(&mut connection, &shared, &request).await;
    }
}

async fn answer(
    connection: &mut BufReader<TcpStream>,
    shared: &Shared,
    request: &Request,
) -> io::Result<()> {
    let admitted = shared.change(|world| world.admit(&request.token, &request.method));
    let fault = match admitted {
        Err(refusal) => return send_refusal(connection, &refusal).await,
        Ok(fault) => fault,
    };
    match fault {
        Some(Fault::CutBefore) => return Ok(()),
        Some(Fault::Gateway(status)) => {
            return send(connection, status, "<html>a proxy</html>").await;
        }
        Some(Fault::Pause { secs }) => {
            let refusal = shared.change(|world| world.pause(secs));
            return send_refusal(connection, &refusal).await;
        }
        Some(Fault::Refused { code, description }) => {
            return send_refusal(connection, &Refusal::new(code, &description)).await;
        }
        Some(Fault::Moved { to }) => {
            let refusal = shared.change(|world| world.moved(to));
            return send_refusal(connection, &refusal).await;
        }
        Some(Fault::Delay(delay)) => tokio::time::sleep(delay).await,
        Some(Fault::CutAfter | Fault::Broken(_) | Fault::Garbled) | None => {}
    }
    let outcome = perform(connection, shared, request).await?;
    match fault {
        Some(Fault::CutAfter) => Ok(()),
        Some(Fault::Broken(code)) => {
            send_refusal(connection, &Refusal::new(code, "Internal Server Error")).await
        }
        Some(Fault::Garbled) => send(connection, 200, r#"{"ok":true,"resu"#).await,
        _ => match outcome {
            Ok(result) => {
                let body = json!({"ok": true, "result": result}).to_string();
                send(connection, 200, &body).await
            }
            Err(refusal) => send_refusal(connection, &refusal).await,
        },
    }
}

async fn perform(
    connection: &mut BufReader<TcpStream>,
    shared: &Shared,
    request: &Request,
) -> io::Result<Result<Value, Refusal>> {
    if request.method == "getupdates" {
        return updates(connection, shared, &request.parameters).await;
    }
    Ok(shared.change(|world| world.call(&request.method, &request.parameters)))
}

/// Waits until there is something, the time is up, another request takes over, or the caller leaves.
async fn updates(
    connection: &mut BufReader<TcpStream>,
    shared: &Shared,
    parameters: &Value,
) -> io::Result<Result<Value, Refusal>> {
    let mut changes = shared.changes.subscribe();
    let poll = match shared.change(|world| world.begin_poll(parameters)) {
        Ok(poll) => poll,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let deadline = tokio::time::Instant::now() + Duration::from_secs(poll.timeout_secs);
    loop {
        if let Some(outcome) = look(shared, &poll) {
            return Ok(outcome);
        }
        let mut left = [0];
        tokio::select! {
            _ = changes.changed() => {}
            () = tokio::time::sleep_until(deadline) => return Ok(Ok(json!([]))),
            _ = connection.read(&mut left) => return Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }
}

fn look(shared: &Shared, poll: &Poll) -> Option<Result<Value, Refusal>> {
    shared.world().poll(poll)
}

/// `None` if the caller left or does not speak HTTP.
async fn read(connection: &mut BufReader<TcpStream>) -> io::Result<Option<Request>> {
    let mut reader = connection.take(REQUEST_BYTES_MAX);
    let mut line = String::new();
    reader.read_line(&mut line).await?;
    let path = line
        .split_whitespace()
        .nth(1)
        .unwrap_or_default()
        .to_owned();
    let mut length = 0;
    loop {
        line.clear();
        if reader.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        match line.trim_end().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().unwrap_or(0);
            }
            Some(_) => {}
            None => break,
        }
    }
    let mut body = Vec::new();
    reader.take(length).read_to_end(&mut body).await?;
    let mut segments = path.trim_start_matches('/').split('/');
    let token = segments.next().and_then(|bot| bot.strip_prefix("bot"));
    Ok(Some(Request {
        token: token.unwrap_or_default().to_owned(),
        method: segments.next().unwrap_or_default().to_ascii_lowercase(),
        parameters: serde_json::from_slice(&body).unwrap_or(Value::Null),
    }))
}

async fn send_refusal(connection: &mut BufReader<TcpStream>, refusal: &Refusal) -> io::Result<()> {
    send(connection, refusal.code, &refusal.body().to_string()).await
}

async fn send(connection: &mut BufReader<TcpStream>, status: u16, body: &str) -> io::Result<()> {
    let reply = format!(
        "HTTP/1.1 {status} Answer\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\nconnection: close\r\n\r\n{body}",
        length = body.len(),
    );
    connection.write_all(reply.as_bytes()).await?;
    connection.flush().await
}
