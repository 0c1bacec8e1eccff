//! `/debug/access`: what is wrong between this request and Cloudflare Access, each usual mistake
//! with its own code and sentence.
//!
//! Invariant: it tells the caller about the variables' form and about the token that he sent himself,
//! and repeats nothing of either.

use crate::auth::access::jwt::Denied;
use crate::gateway::Gateway;
use crate::http::context::Context;
use serde_json::{Value, json};

/// Everything that is wrong as far as it can be seen from here; nothing when a request like this one
/// is let through.
pub(super) async fn run(gateway: &Gateway, context: &Context) -> Value {
    let access = &gateway.settings.access;
    let mut problems: Vec<Value> = Vec::new();
    let mut note = |code: &str, message: &str| {
        problems.push(json!({ "code": code, "message": message }));
    };
    for problem in &access.problems {
        note("variables_wrong", problem);
    }
    match &gateway.access {
        Some(verifier) => {
            if let Err(denied) = verifier.identify(&context.headers).await {
                note(denied.code(), &denied.to_string());
                // Without a token there is no other reason to ask for the keys.
                let unreachable = match denied {
                    Denied::NoToken => verifier.unreachable().await,
                    _ => None,
                };
                if let Some(denied) = unreachable {
                    note(denied.code(), &denied.to_string());
                }
            }
        }
        None if access.problems.is_empty() => note(
            "variables_missing",
            "Cloudflare Access is not configured: set CF_ACCESS_TEAM_DOMAIN and CF_ACCESS_AUD, and restart",
        ),
        None => {}
    }
    json!({
        "ok": problems.is_empty(),
        "problems": problems,
        "configured": gateway.access.is_some(),
        "skippedBy": access.skipped_by,
        "everywhere": access.everywhere,
    })
}
