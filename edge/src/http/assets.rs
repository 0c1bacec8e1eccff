//! The embedded web UI.
//!
//! Invariant: exact names only; a missing asset is 404, never a page. Hashed names are cached for
//! ever, pages are not. Pages carry a policy that lets them load nothing but this gateway's own
//! files.

use crate::http::context::Context;
use crate::http::reply::{self, Response};
use rust_embed::{EmbeddedFile, RustEmbed};
use std::borrow::Cow;
use warp::http::{StatusCode, header};

#[derive(RustEmbed)]
#[folder = "$UI_DIST"]
struct Ui;

/// Serves a page or a file of the UI.
pub fn serve(path: &str, context: &Context) -> Response {
    match file_of(path) {
        Some(name) => send(name, context),
        None if path == "/_admin" => reply::redirect(StatusCode::PERMANENT_REDIRECT, "/_admin/"),
        None => reply::error(StatusCode::NOT_FOUND, "Not Found", None),
    }
}

/// The file behind a path. Both entries find their assets under `/assets/`; the admin page also
/// under its own folder, which Access rules may treat differently.
fn file_of(path: &str) -> Option<&str> {
    match path {
        "/" | "/pair" | "/index.html" => Some("index.html"),
        _ if path.starts_with("/s/") => Some("index.html"),
        _ if path.starts_with("/_admin/assets/") => path.strip_prefix("/_admin/"),
        _ if path.starts_with("/_admin/") => Some("admin.html"),
        _ => path
            .strip_prefix('/')
            .filter(|name| !name.is_empty() && *name != "admin.html"),
    }
}

fn send(name: &str, context: &Context) -> Response {
    let accepted = context.header(header::ACCEPT_ENCODING).unwrap_or_default();
    let Some((file, encoding)) = find(name, accepted) else {
        return reply::error(StatusCode::NOT_FOUND, "Not Found", None);
    };
    let etag = format!(
        "\"{}\"",
        moltbot_core::ids::hex(&file.metadata.sha256_hash())
    );
    let is_page = has_suffix(name, "html");
    let unchanged = context.header(header::IF_NONE_MATCH) == Some(etag.as_str());
    let mut response = Response::default();
    if unchanged {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else {
        *response.body_mut() = match file.data {
            Cow::Borrowed(bytes) => bytes.into(),
            Cow::Owned(bytes) => bytes.into(),
        };
    }
    let cache = if name.starts_with("assets/") {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    reply::set(&mut response, header::ETAG, &etag);
    reply::set(&mut response, header::CACHE_CONTROL, cache);
    reply::set(&mut response, header::CONTENT_TYPE, content_type(name));
    reply::set(&mut response, header::VARY, "accept-encoding");
    reply::set(&mut response, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    reply::set(&mut response, header::REFERRER_POLICY, "no-referrer");
    if let Some(encoding) = encoding {
        reply::set(&mut response, header::CONTENT_ENCODING, encoding);
    }
    if is_page {
        let policy = reply::CONTENT_SECURITY_POLICY;
        reply::set(&mut response, header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

/// The smallest form of a file that the client takes.
fn find(name: &str, accepted: &str) -> Option<(EmbeddedFile, Option<&'static str>)> {
    // The compressed siblings are no files of their own.
    let plain = Ui::get(name).filter(|_| !has_suffix(name, "br") && !has_suffix(name, "gz"))?;
    for (suffix, encoding) in [("br", "br"), ("gz", "gzip")] {
        let takes = accepted.split(',').any(|word| {
            let mut parts = word.split(';').map(str::trim);
            parts.next() == Some(encoding) && parts.all(|p| p.replace(' ', "") != "q=0")
        });
        if takes && let Some(file) = Ui::get(&format!("{name}.{suffix}")) {
            return Some((file, Some(encoding)));
        }
    }
    Some((plain, None))
}

fn has_suffix(name: &str, suffix: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, end)| end == suffix)
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "ico" => "image/x-icon",
        "json" => "application/json",
        _ => "application/octet-stream",
    }
}
