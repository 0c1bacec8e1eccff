//! The gateway protocol over WebSocket.
//!
//! - [`upgrade`]: from an HTTP request to a socket.
//! - [`frame`]: requests, responses, events as JSON text.
//! - [`handshake`]: `connect`, its checks in order, `hello-ok`.
//! - [`admission`]: what a device that proved its key gets, or whom it waits for.
//! - [`connection`]: one socket from open to close.
//! - [`hub`]: all authenticated sockets, for broadcasts.
//! - [`methods`]: what a request may ask for.
//! - [`subscription`]: following the log.
//! - [`notify`]: events for everyone, made from the log.

pub mod admission;
pub mod connection;
pub mod frame;
pub mod handshake;
pub mod hub;
pub mod methods;
pub mod notify;
pub mod subscription;
pub mod upgrade;
