//! What is known of a request before it is answered.

use crate::auth::origin::{Browser, Origin};
use crate::gateway::Gateway;
use crate::http::reply::{self, Response};
use crate::stamp;
use crate::ws::upgrade::Knock;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use url::form_urlencoded;
use warp::Filter;
use warp::http::{HeaderMap, StatusCode, header};

/// The cookie that holds the gateway token in browsers.
const COOKIE: &str = "moltbot_token";

/// The TCP peer, put into the request by the server.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// A request's origin, headers and query.
#[derive(Debug, Clone)]
pub struct Context {
    peer: IpAddr,
    /// Its headers.
    pub headers: HeaderMap,
    query: String,
}

/// Extracts the context of a request.
pub fn filter() -> impl Filter<Extract = (Context,), Error = Infallible> + Copy {
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    warp::ext::optional::<Peer>()
        .and(warp::header::headers_cloned())
        .and(query)
        .map(|peer: Option<Peer>, headers, query| {
            // Without a peer the request counts as remote: an unspecified address is not loopback.
            let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0.ip());
            Context {
                peer,
                headers,
                query,
            }
        })
}

impl Context {
    /// Where the request comes from.
    pub fn origin(&self, gateway: &Gateway) -> Origin {
        Origin::of(self.peer, &self.headers, &gateway.settings.place)
    }

    /// A header's text.
    pub fn header(&self, name: header::HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// A query parameter.
    pub fn query(&self, name: &str) -> Option<String> {
        let mut pairs = form_urlencoded::parse(self.query.as_bytes());
        pairs
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }

    /// What a WebSocket connection is known by.
    pub fn knock(&self, gateway: &Gateway) -> Knock {
        Knock {
            origin: self.origin(gateway),
            token: self.query("token").or_else(|| self.cookie()),
            host: self.header(header::HOST).unwrap_or_default().to_owned(),
        }
    }

    /// The credential in the `Authorization` header.
    pub fn bearer(&self) -> Option<&str> {
        self.header(header::AUTHORIZATION)?.strip_prefix("Bearer ")
    }

    /// Whether the request comes straight from this machine to a gateway that nobody else reaches.
    pub fn is_direct(&self, gateway: &Gateway) -> bool {
        self.origin(gateway).local && gateway.settings.bound_to_loopback()
    }

    /// The same client asking for a path without a query, taking the answer as it is.
    #[must_use]
    pub fn bare(&self) -> Context {
        let mut bare = self.clone();
        bare.query.clear();
        bare.headers.remove(header::ACCEPT_ENCODING);
        bare.headers.remove(header::IF_NONE_MATCH);
        bare
    }

    /// Refuses whoever does not send the gateway token as `Authorization: Bearer`, and for a while
    /// an address that guesses, even if it is right then.
    pub fn refuse_without_token(&self, gateway: &Gateway) -> Option<Response> {
        let address = self.origin(gateway).address;
        if gateway.limiter.wait_ms(address, stamp::now()).is_some() {
            let hint = Some("too many failed attempts from this address; wait a minute");
            let status = StatusCode::TOO_MANY_REQUESTS;
            return Some(reply::error(status, "Unauthorized", hint));
        }
        match self.bearer() {
            Some(token) if gateway.token.matches(token.trim()) => return None,
            Some(_) => gateway.count_refusal(address, "wrong gateway token"),
            None => {}
        }
        let hint = Some("send the gateway token as Authorization: Bearer");
        Some(reply::error(StatusCode::UNAUTHORIZED, "Unauthorized", hint))
    }

    /// Refuses everyone but a command line on this machine with the gateway token.
    pub fn refuse_unless_local(&self, gateway: &Gateway) -> Option<Response> {
        if let Some(refusal) = self.refuse_without_token(gateway) {
            return Some(refusal);
        }
        if self.is_direct(gateway) && self.origin(gateway).browser == Browser::None {
            return None;
        }
        let hint = Some("the token alone administers from this machine only; use a paired device");
        Some(reply::error(StatusCode::FORBIDDEN, "Forbidden", hint))
    }

    /// `?token=` becomes a cookie that scripts cannot read, and leaves the address bar.
    pub fn exchange_token(&self, gateway: &Gateway, path: &str) -> Option<Response> {
        let token = self.query("token")?;
        let origin = self.origin(gateway);
        let to = self.location_without_token(path);
        let mut response = reply::redirect(StatusCode::SEE_OTHER, &to);
        let limited = gateway
            .limiter
            .wait_ms(origin.address, stamp::now())
            .is_some();
        if !limited && gateway.token.matches(&token) {
            let secure = if is_https(gateway) { "; Secure" } else { "" };
            let value = form_urlencoded::byte_serialize(token.as_bytes()).collect::<String>();
            let cookie = format!(
                "{COOKIE}={value}; Path=/; Max-Age=31536000; HttpOnly; SameSite=Strict{secure}"
            );
            reply::set(&mut response, header::SET_COOKIE, &cookie);
        } else {
            gateway.count_refusal(origin.address, "wrong gateway token in the address");
        }
        Some(response)
    }

    /// This request's path and query, but for the token in it.
    pub fn location_without_token(&self, path: &str) -> String {
        let mut rest = form_urlencoded::Serializer::new(String::new());
        for (key, value) in form_urlencoded::parse(self.query.as_bytes()) {
            if key != "token" {
                rest.append_pair(&key, &value);
            }
        }
        let rest = rest.finish();
        // A path of two slashes would be an address of another host; browsers read `\` as one.
        let path = format!("/{}", path.trim_start_matches(['/', '\\']));
        if rest.is_empty() {
            path
        } else {
            format!("{path}?{rest}")
        }
    }

    fn cookie(&self) -> Option<String> {
        let cookies = self.header(header::COOKIE)?;
        let mut pairs = cookies
            .split(';')
            .filter_map(|pair| pair.trim().split_once('='));
        let (_, value) = pairs.find(|(name, _)| *name == COOKIE)?;
        let decoded = form_urlencoded::parse(format!("v={value}").as_bytes())
            .next()?
            .1
            .into_owned();
        Some(decoded)
    }
}

fn is_https(gateway: &Gateway) -> bool {
    gateway
        .settings
        .place
        .public_url
        .as_ref()
        .is_some_and(|url| url.scheme() == "https")
}
