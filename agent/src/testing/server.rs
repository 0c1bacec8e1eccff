//! A local stand-in for the provider: plain HTTP/1.1 on 127.0.0.1, one request per connection.
//!
//! Invariant: a request the published API would refuse is refused here too, with the reason both in
//! the reply and in [`SeenRequest::violations`], so a test cannot pass with a wrong request.

use std::io;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::dialect::{Anthropic, Dialect, OpenAi};
use super::plan::{Fault, Plan, Reply, ScriptedAnswer};
use super::request::{REQUEST_BYTES_MAX, Refusal, SeenRequest, read_request, refusal};

/// A server that speaks Anthropic's API.
pub type AnthropicServer = ProviderServer<Anthropic>;
/// A server that speaks `OpenAI`'s API.
pub type OpenAiServer = ProviderServer<OpenAi>;

/// The running server; dropping it stops it and closes its connections.
#[derive(Debug)]
pub struct ProviderServer<D> {
    url: String,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
    dialect: PhantomData<D>,
}

#[derive(Debug)]
struct Shared {
    plan: Plan,
    requests: Mutex<Vec<SeenRequest>>,
    replies: AtomicUsize,
    abandoned: AtomicUsize,
}

impl<D: Dialect> ProviderServer<D> {
    /// Starts on a free port.
    pub async fn start(plan: Plan) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let shared = Arc::new(Shared {
            plan,
            requests: Mutex::default(),
            replies: AtomicUsize::new(0),
            abandoned: AtomicUsize::new(0),
        });
        let accepting = tokio::spawn(accept::<D>(listener, Arc::clone(&shared)));
        Ok(Self {
            url,
            shared,
            accepting,
            dialect: PhantomData,
        })
    }

    /// The base URL, without a path.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The requests so far, oldest first, refused ones included.
    pub fn requests(&self) -> Vec<SeenRequest> {
        self.shared
            .requests
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// How many replies the caller left before their end.
    pub fn abandoned(&self) -> usize {
        self.shared.abandoned.load(Ordering::SeqCst)
    }
}

impl<D> Drop for ProviderServer<D> {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept<D: Dialect>(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((connection, _)) = listener.accept().await {
        connections.spawn(serve::<D>(connection, Arc::clone(&shared)));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve<D: Dialect>(connection: TcpStream, shared: Arc<Shared>) {
    let mut connection = BufReader::new(connection);
    let Ok(mut request) = read_request(&mut connection).await else {
        return;
    };
    let refusal = refusal::<D>(&mut request, &shared.plan);
    let asked = request.clone();
    shared
        .requests
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(request);
    let sent = match refusal {
        Some(Refusal { status, kind, why }) => {
            send_error::<D>(&mut connection, status, kind, &why, None).await
        }
        None => send_reply::<D>(&mut connection, &shared, &asked).await,
    };
    if sent.is_err() {
        shared.abandoned.fetch_add(1, Ordering::SeqCst);
    }
}

async fn send_reply<D: Dialect>(
    connection: &mut BufReader<TcpStream>,
    shared: &Shared,
    request: &SeenRequest,
) -> io::Result<()> {
    let nth = shared.replies.fetch_add(1, Ordering::SeqCst);
    let model = request.body.get("model").and_then(Value::as_str);
    match shared.plan.replies.get(nth).or(shared.plan.replies.last()) {
        Some(Reply::Answer(_)) if request.is_check() => {
            send_whole(connection, "application/json", r#"{"data":[]}"#).await
        }
        Some(Reply::Answer(answer)) => {
            send_answer::<D>(connection, answer, model.unwrap_or_default()).await
        }
        Some(Reply::Error {
            status,
            kind,
            retry_after_s,
        }) => {
            let why = "the plan says so";
            send_error::<D>(connection, *status, kind, why, *retry_after_s).await
        }
        Some(Reply::Stream(body)) => send_whole(connection, "text/event-stream", body).await,
        Some(Reply::Json(body)) => send_whole(connection, "application/json", body).await,
        Some(Reply::Redirect(to)) => {
            let reply = format!(
                "HTTP/1.1 307 Elsewhere\r\nlocation: {to}\r\ncontent-length: 0\r\n\
                 connection: close\r\n\r\n"
            );
            connection.write_all(reply.as_bytes()).await?;
            connection.flush().await
        }
        Some(Reply::Hang) => until_closed(connection).await,
        Some(Reply::Close) | None => Ok(()),
    }
}

async fn send_whole(
    connection: &mut BufReader<TcpStream>,
    content_type: &str,
    body: &str,
) -> io::Result<()> {
    let reply = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {length}\r\n\
         connection: close\r\n\r\n{body}",
        length = body.len(),
    );
    connection.write_all(reply.as_bytes()).await?;
    connection.flush().await
}

async fn send_error<D: Dialect>(
    connection: &mut BufReader<TcpStream>,
    status: u16,
    kind: &str,
    why: &str,
    retry_after_s: Option<u64>,
) -> io::Result<()> {
    let body = D::error(kind, why).to_string();
    let retry_after = retry_after_s
        .map(|s| format!("retry-after: {s}\r\n"))
        .unwrap_or_default();
    let reply = format!(
        "HTTP/1.1 {status} Refused\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\nrequest-id: req_local\r\n{retry_after}\
         connection: close\r\n\r\n{body}",
        length = body.len(),
    );
    connection.write_all(reply.as_bytes()).await?;
    connection.flush().await
}

async fn send_answer<D: Dialect>(
    connection: &mut BufReader<TcpStream>,
    answer: &ScriptedAnswer,
    model: &str,
) -> io::Result<()> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n\
                cache-control: no-cache\r\nrequest-id: req_local\r\n\
                transfer-encoding: chunked\r\nconnection: close\r\n\r\n";
    connection.write_all(head.as_bytes()).await?;
    for piece in answer.pieces::<D>(model) {
        if !answer.pace.is_zero() {
            tokio::time::sleep(answer.pace).await;
        }
        let chunk = [format!("{:x}\r\n", piece.len()).as_bytes(), &piece, b"\r\n"].concat();
        connection.write_all(&chunk).await?;
        connection.flush().await?;
    }
    match answer.fault {
        Some(Fault::Hang | Fault::HangAtTheEnd) => return until_closed(connection).await,
        Some(Fault::Cut) => return Ok(()),
        Some(Fault::ErrorEvent(_) | Fault::EndEarly | Fault::EndMarkMissing) | None => {}
    }
    connection.write_all(b"0\r\n\r\n").await?;
    connection.flush().await
}

/// Waits for the other side to leave, which is always too early here.
async fn until_closed(connection: &mut BufReader<TcpStream>) -> io::Result<()> {
    let mut rest = Vec::new();
    connection
        .take(REQUEST_BYTES_MAX)
        .read_to_end(&mut rest)
        .await?;
    Err(io::ErrorKind::ConnectionAborted.into())
}
