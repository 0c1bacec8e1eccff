//! Models and a provider for tests, here and in the crates that use this one.
//!
//! [`ScriptedModel`] stands in for any model; [`AnthropicServer`] and [`OpenAiServer`] stand in for
//! providers, on 127.0.0.1, and refuse every request that the published API would refuse. Only with
//! the feature `testing`.

mod dialect;
mod plan;
mod request;
mod scripted;
mod server;

pub use dialect::{Anthropic, Dialect, OpenAi};
pub use plan::{Chunking, Fault, Plan, Reply, ScriptedAnswer};
pub use request::SeenRequest;
pub use scripted::{ScriptedModel, Step};
pub use server::{AnthropicServer, OpenAiServer, ProviderServer};
