//! Chat platforms, seen from the gateway: how a reply is cut to fit one.
//!
//! The platforms' client libraries are compiled only with their feature (`telegram`, `discord`,
//! `slack`), so that a build without a platform does not wait for it.
//!
//! Invariant: knows nothing of the log, of models or of HTTP serving.

pub mod text;
