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
use std::sync::Arc;
use std::time::Instant;
use tokio::runtime::Runtime;
use tokio::sync::Mutex;

/// The only bucket.
pub const BUCKET: &str = "logs";
/// The only key it accepts.
pub const ACCESS_KEY: &str = "AKIDLOCAL";
/// Its secret.
pub const SECRET_KEY: &str = "a-secret-that-no-log-may-show";

/// The server; it can go away and come back with everything it holds.
pub struct S3Server {
    service: S3Service,
    one_at_a_time: Arc<Mutex<()>>,
    port: u16,
    running: Option<Runtime>,
    _directory: tempfile::TempDir,
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
            _directory: directory,
        }
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
        runtime.spawn(accept(listener, service, lock));
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

async fn accept(listener: TcpListener, service: S3Service, lock: Arc<Mutex<()>>) {
    listener.set_nonblocking(true).unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    while let Ok((stream, _)) = listener.accept().await {
        let (service, lock) = (service.clone(), Arc::clone(&lock));
        let answer = service_fn(move |request: Request<hyper::body::Incoming>| {
            let (service, lock) = (service.clone(), Arc::clone(&lock));
            async move {
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
