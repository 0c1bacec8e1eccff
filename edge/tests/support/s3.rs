//! An S3 server in this process: s3s-fs on a directory, with the one guarantee it lacks.
//!
//! It looks whether an object exists and creates it in two steps, so of several conditional PUTs
//! at the same moment more than one would win. One lock around them makes it the server that the
//! protocol promises.

use super::support::PATIENCE;
use hyper::header::IF_NONE_MATCH;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::sync::Mutex;

/// The only bucket.
pub const BUCKET: &str = "logs";
/// The only key it accepts.
pub const ACCESS_KEY: &str = "AKIDLOCAL";
/// Its secret.
pub const SECRET_KEY: &str = "a-secret-that-no-log-may-show";

/// What the server does wrong, in the words of R2's and S3's documentation.
#[allow(dead_code, reason = "each test file uses its part of this")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The token may only read.
    ReadOnly,
    /// The token may not list.
    NoList,
    /// The token may not delete.
    NoDelete,
    /// It does not know the access key id; R2 says so in a word of its own.
    UnknownKey,
    /// It believes that it is 1994.
    OldClock,
    /// It creates objects that exist.
    IgnoresConditions,
    /// It writes over objects only where their names end with an odd digit.
    OverwritesHalf,
    /// It takes requests and says nothing.
    Silent,
    /// It is far away: every answer takes this much longer.
    Slow {
        /// In milliseconds.
        by_ms: u64,
    },
}

impl Fault {
    /// What is answered instead of what was asked for.
    fn refusal(self, request: &Request<hyper::body::Incoming>) -> Option<(u16, &'static str)> {
        let lists = request
            .uri()
            .query()
            .is_some_and(|query| query.contains("list-type"));
        match (self, request.method()) {
            (Fault::ReadOnly, &Method::PUT)
            | (Fault::ReadOnly | Fault::NoDelete, &Method::DELETE) => Some((403, "AccessDenied")),
            (Fault::OverwritesHalf, &Method::PUT)
                if !request.headers().contains_key(IF_NONE_MATCH)
                    && request
                        .uri()
                        .path()
                        .ends_with(['0', '2', '4', '6', '8', 'a', 'c', 'e']) =>
            {
                Some((503, "SlowDown"))
            }
            (Fault::NoList, &Method::GET) if lists => Some((403, "AccessDenied")),
            (Fault::UnknownKey, _) => Some((401, "Unauthorized")),
            (Fault::OldClock, _) => Some((403, "RequestTimeTooSkewed")),
            _ => None,
        }
    }
}

/// As the documentation shows it; what a real server adds is what no log may show.
fn refused(status: u16, code: &str, fault: Fault) -> s3s::HttpResponse {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>no</Message>\
         <AWSAccessKeyId>{ACCESS_KEY}</AWSAccessKeyId></Error>"
    );
    let mut response = hyper::Response::new(s3s::Body::from(body));
    *response.status_mut() = status.try_into().unwrap();
    if fault == Fault::OldClock {
        let date = "Sun, 06 Nov 1994 08:49:37 GMT".parse().unwrap();
        response.headers_mut().insert(hyper::header::DATE, date);
    }
    response
}

/// The server; it can go away and come back with everything it holds.
pub struct S3Server {
    service: S3Service,
    one_at_a_time: Arc<Mutex<()>>,
    port: u16,
    running: Option<Runtime>,
    fault: Option<Fault>,
    directory: tempfile::TempDir,
}

impl S3Server {
    /// A server that does not run yet; its port is free.
    pub fn new() -> S3Server {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join(BUCKET)).unwrap();
        let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(directory.path()).unwrap());
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        S3Server {
            service: builder.build(),
            one_at_a_time: Arc::default(),
            port: free_port(),
            running: None,
            fault: None,
            directory,
        }
    }

    /// A server that runs and does this wrong.
    #[allow(dead_code, reason = "each test file uses its part of this")]
    pub fn with(fault: Fault) -> S3Server {
        let mut server = S3Server::new();
        server.fault = Some(fault);
        server.start();
        server
    }

    /// From its next start on it does this wrong, or nothing.
    #[allow(dead_code, reason = "each test file uses its part of this")]
    pub fn becomes(&mut self, fault: Option<Fault>) {
        self.fault = fault;
    }

    /// Does this wrong from now on, or nothing.
    #[allow(dead_code, reason = "each test file uses its part of this")]
    pub fn change(&mut self, fault: Option<Fault>) {
        self.stop();
        self.becomes(fault);
        self.start();
    }

    /// Everything it holds.
    pub fn path(&self) -> &std::path::Path {
        self.directory.path()
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Serves, on threads of its own: a test may block.
    pub fn start(&mut self) {
        let listener = bind(self.port);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build();
        let runtime = runtime.unwrap();
        let (service, lock) = (self.service.clone(), Arc::clone(&self.one_at_a_time));
        let fault = self.fault.map(|fault| (fault, self.path().to_owned()));
        runtime.spawn(accept(listener, service, lock, fault));
        self.running = Some(runtime);
    }

    /// Goes away: connections break, new ones are refused.
    pub fn stop(&mut self) {
        if let Some(runtime) = self.running.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A port of the loopback that nobody uses.
pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0))
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// The listener of the run before may need a moment to close.
fn bind(port: u16) -> TcpListener {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match TcpListener::bind(("127.0.0.1", port)) {
            Ok(listener) => return listener,
            Err(error) => assert!(Instant::now() < deadline, "port {port}: {error}"),
        }
        std::thread::yield_now();
    }
}

async fn accept(
    listener: TcpListener,
    service: S3Service,
    lock: Arc<Mutex<()>>,
    fault: Option<(Fault, PathBuf)>,
) {
    listener.set_nonblocking(true).unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    while let Ok((stream, _)) = listener.accept().await {
        let (service, lock, fault) = (service.clone(), Arc::clone(&lock), fault.clone());
        let answer = service_fn(move |request: Request<hyper::body::Incoming>| {
            let (service, lock, fault) = (service.clone(), Arc::clone(&lock), fault.clone());
            async move {
                if let Some((fault, directory)) = fault {
                    if let Some((status, code)) = fault.refusal(&request) {
                        return Ok(refused(status, code, fault));
                    }
                    if fault == Fault::Silent {
                        std::future::pending::<()>().await;
                    }
                    if let Fault::Slow { by_ms } = fault {
                        tokio::time::sleep(Duration::from_millis(by_ms)).await;
                    }
                    if fault == Fault::IgnoresConditions && request.method() == Method::PUT {
                        let path = request.uri().path().trim_start_matches('/');
                        // Most objects are not there yet.
                        let _ = std::fs::remove_file(directory.join(path));
                    }
                }
                let is_create = request.method() == Method::PUT
                    && request.headers().contains_key(IF_NONE_MATCH);
                let _one = if is_create {
                    Some(lock.lock().await)
                } else {
                    None
                };
                Service::call(&service, request).await
            }
        });
        let served = http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
        tokio::spawn(served);
    }
}
