//! Who is at the other end of a connection.
//!
//! - [`access`]: who an identity provider in front of the gateway says somebody is.
//! - [`origin`]: where a request comes from (address, proxies, browser origin).
//! - [`token`]: the shared gateway token and the devices' own tokens.
//! - [`signature`]: proof that a device holds its key.
//! - [`grant`]: one-time links for the first browser.
//! - [`limiter`]: how often an address may be wrong.
//!
//! Invariant: the gateway token proves knowledge of the token, not identity. By itself it is
//! enough only for a command line on this machine; everyone else needs a paired device.

pub mod access;
pub mod grant;
pub mod limiter;
pub mod origin;
pub mod signature;
pub mod token;
