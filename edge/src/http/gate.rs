//! Who may ask over HTTP for what only an operator may.
//!
//! | Cloudflare Access is | who is let through, and as whom |
//! |---|---|
//! | configured | whoever brings a token of the team, as that person or service |
//! | skipped (`DEV_MODE`, `E2E_TEST_MODE`) | everyone, as `dev@localhost` |
//! | not configured | nobody |
//!
//! And in the first and the last case a command line on this machine with the gateway token.
//!
//! Invariant: browsers send cookies along with requests that pages of other sites make, so a page of
//! another origin changes nothing, whoever is logged in.

use crate::auth::access;
use crate::auth::access::jwt::{Denied, Identity};
use crate::auth::access::team::Team;
use crate::auth::origin::Browser;
use crate::gateway::{Gateway, Running};
use crate::http::context::Context;
use crate::http::reply::{self, Response};
use crate::writer::Refused;
use moltbot_core::actor::Actor;
use serde_json::json;
use url::form_urlencoded;
use warp::http::{StatusCode, header};

/// Somebody who was let through.
pub enum Visitor {
    /// A command line on this machine.
    CommandLine,
    /// Whom Access vouches for.
    Principal(Identity),
}

impl Visitor {
    /// As whom the visitor acts. A first visit is recorded.
    pub async fn actor(&self, gateway: &Gateway, running: &Running) -> Result<Actor, Response> {
        let Visitor::Principal(identity) = self else {
            return Ok(Actor::Local);
        };
        let actor = gateway.principals.actor(running, identity).await;
        actor.map_err(|refused| match refused {
            Refused::Rejected(no) => reply::error(StatusCode::CONFLICT, &no.message, None),
            Refused::Stopped => reply::error(
                StatusCode::SERVICE_UNAVAILABLE,
                "the gateway is stopping",
                None,
            ),
        })
    }
}

/// Lets a request through, or says why not.
pub async fn admit(
    gateway: &Gateway,
    context: &Context,
    verb: &str,
    path: &str,
) -> Result<Visitor, Response> {
    if verb != "GET" && context.origin(gateway).browser == Browser::Foreign {
        let hint = Some("a page of another site sent this; open the gateway's own address");
        return Err(reply::error(StatusCode::FORBIDDEN, "Forbidden", hint));
    }
    if gateway.settings.access.skipped_by.is_some() {
        return Ok(Visitor::Principal(Identity {
            name: "dev@localhost".to_owned(),
            service: false,
        }));
    }
    let Some(verifier) = &gateway.access else {
        if !context.is_direct(gateway) && context.bearer().is_none() {
            return Err(not_configured(context, path));
        }
        let refusal = context.refuse_unless_local(gateway);
        return refusal.map_or(Ok(Visitor::CommandLine), Err);
    };
    if access::token_of(&context.headers).is_none() && context.bearer().is_some() {
        let refusal = context.refuse_unless_local(gateway);
        return refusal.map_or(Ok(Visitor::CommandLine), Err);
    }
    let identified = verifier.identify(&context.headers).await;
    identified.map(Visitor::Principal).map_err(|denied| {
        let login = login_url(gateway, &verifier.team, context, path);
        refuse(&denied, context, verb, path, &login)
    })
}

/// Refuses a request for something that needs Access only if everything does.
pub async fn refuse_elsewhere(
    gateway: &Gateway,
    context: &Context,
    verb: &str,
    path: &str,
) -> Option<Response> {
    if !gateway.settings.access.everywhere {
        return None;
    }
    admit(gateway, context, verb, path).await.err()
}

/// The same for a socket. A command line on this machine shows its token in the handshake, which
/// decides then.
pub async fn refuse_socket(gateway: &Gateway, context: &Context, path: &str) -> Option<Response> {
    let is_page = context.origin(gateway).browser != Browser::None;
    if context.is_direct(gateway) && !is_page {
        return None;
    }
    refuse_elsewhere(gateway, context, "GET", path).await
}

/// Scripts get JSON, and so does everyone from the API.
fn wants_page(context: &Context, path: &str) -> bool {
    let accept = context.header(header::ACCEPT).unwrap_or_default();
    accept.contains("text/html") && !path.starts_with("/api/")
}

fn not_configured(context: &Context, path: &str) -> Response {
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    if wants_page(context, path) {
        let text = "<p>Set CF_ACCESS_TEAM_DOMAIN and CF_ACCESS_AUD, or administer from the machine itself: <code>moltbot devices list</code>.</p>";
        return reply::page(status, "Admin UI Not Configured", text);
    }
    let hint = Some("Set CF_ACCESS_TEAM_DOMAIN and CF_ACCESS_AUD environment variables");
    reply::error(status, "Cloudflare Access not configured", hint)
}

fn refuse(denied: &Denied, context: &Context, verb: &str, path: &str, login: &str) -> Response {
    let status = match denied {
        Denied::KeysUnreachable(_) => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::UNAUTHORIZED,
    };
    if wants_page(context, path) {
        return refuse_page(denied, verb, status, login);
    }
    let body = match denied {
        Denied::NoToken => json!({
            "error": "Unauthorized",
            "hint": "Missing Cloudflare Access JWT. Ensure this route is protected by Cloudflare Access.",
        }),
        Denied::KeysUnreachable(_) => json!({
            "error": "Cloudflare Access keys unreachable",
            "details": denied.to_string(),
            "code": denied.code(),
        }),
        _ => json!({
            "error": "Unauthorized",
            "details": denied.to_string(),
            "code": denied.code(),
        }),
    };
    reply::json(status, &body)
}

fn refuse_page(denied: &Denied, verb: &str, status: StatusCode, login: &str) -> Response {
    let link = |words: &str| format!("<p><a href=\"{}\">{words}</a></p>", escape(login));
    match denied {
        Denied::NoToken if verb == "GET" => reply::redirect(StatusCode::FOUND, login),
        Denied::NoToken => {
            let text = format!("<p>This page needs Cloudflare Access.</p>{}", link("Login"));
            reply::page(status, "Unauthorized", &text)
        }
        Denied::KeysUnreachable(_) => {
            let text = format!("<p>{}</p>", escape(&denied.to_string()));
            reply::page(status, "Cloudflare Access cannot be asked", &text)
        }
        _ => {
            let text = format!(
                "<p>Your Cloudflare Access session is invalid or expired.</p><p>{}</p>{}",
                escape(&denied.to_string()),
                link("Login again")
            );
            reply::page(status, "Unauthorized", &text)
        }
    }
}

/// Where Access lets people log in for this very page.
fn login_url(gateway: &Gateway, team: &Team, context: &Context, path: &str) -> String {
    let public = gateway.settings.place.public_url.as_ref();
    let host = match public {
        Some(url) => url.authority(),
        None => context.header(header::HOST).unwrap_or_default(),
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-.:[]".contains(c);
    let host = if host.chars().all(is_plain) { host } else { "" };
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("kid", &team.audience)
        .append_pair("redirect_url", &context.location_without_token(path))
        .finish();
    format!("{}/cdn-cgi/access/login/{host}?{query}", team.issuer)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('"', "&quot;")
}
