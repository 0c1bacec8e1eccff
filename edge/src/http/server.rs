//! The accept loop: bounded in connections and in the time a client takes for its headers.

use crate::gateway::Gateway;
use crate::http::context::Peer;
use crate::http::{observe, routes};
use crate::limits::{CONNECTIONS_MAX, HEADER_READ_TIMEOUT_MS};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tower_service::Service;
use tracing::{debug, warn};

/// Serves until the gateway stops; sockets that are open then close on their own.
pub async fn serve(gateway: Arc<Gateway>, listener: TcpListener) {
    let service = warp::service(routes(&gateway));
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = gateway.stopped() => return,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: others have to close first.
                warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "a socket goes without TCP_NODELAY");
        }
        let (service, gateway) = (service.clone(), Arc::clone(&gateway));
        let answer = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(Peer(peer));
            let observed = observe::Observed::of(&request);
            let answer = service.clone().call(request);
            let gateway = Arc::clone(&gateway);
            async move { observed.answer(&gateway, answer).await }
        });
        tokio::spawn(async move {
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_millis(HEADER_READ_TIMEOUT_MS))
                .serve_connection(TokioIo::new(stream), answer)
                .with_upgrades()
                .await;
            if let Err(error) = served {
                debug!(%error, "a connection ended early");
            }
            drop(permit);
        });
    }
}
