//! Cloudflare Access: who a request comes from, as the identity provider in front of the gateway
//! signed it.
//!
//! - [`team`]: the variables that say whose tokens count.
//! - [`jwt`]: one token, checked.
//! - [`keys`]: the team's public keys, fetched and kept.
//! - [`principals`]: from an e-mail address to an actor of the log.
//!
//! Invariant: only a signed token says who somebody is; no header with a name or address is ever
//! believed. A token never reaches a log line or an answer.
//!
//! Source: <https://developers.cloudflare.com/cloudflare-one/identity/authorization-cookie/validating-json/>.

pub mod jwt;
pub mod keys;
pub mod principals;
pub mod team;

use crate::stamp;
use jwt::{Denied, Identity, Token};
use keys::Keys;
use team::Team;
use warp::http::HeaderMap;

/// The header that Access adds to every request it lets through.
const HEADER: &str = "cf-access-jwt-assertion";
/// The cookie that it gives to browsers.
const COOKIE: &str = "CF_Authorization";

/// Checks the tokens of one team.
pub struct Verifier {
    /// Whose tokens count.
    pub team: Team,
    keys: Keys,
}

impl Verifier {
    /// A verifier that has not fetched the team's keys yet.
    pub fn new(team: Team) -> Verifier {
        let keys = Keys::new(team.certs_url());
        Verifier { team, keys }
    }

    /// Who sent a request with these headers.
    pub async fn identify(&self, headers: &HeaderMap) -> Result<Identity, Denied> {
        let text = token_of(headers).ok_or(Denied::NoToken)?;
        // What the token says of itself comes first: it costs nothing and names the likelier
        // mistakes. None of it counts before the signature does.
        let token = Token::parse(text)?;
        let identity = token.check(&self.team, stamp::now())?;
        let key = self.keys.find(&token.kid, stamp::now()).await?;
        token.verify(&key)?;
        Ok(identity)
    }

    /// Why the team's keys cannot be fetched, if they cannot.
    pub async fn unreachable(&self) -> Option<Denied> {
        self.keys.unreachable(stamp::now()).await
    }
}

/// The token of a request: the header, else the cookie. A header that is no text is no token that
/// could be right, but it wins all the same.
pub fn token_of(headers: &HeaderMap) -> Option<&str> {
    if let Some(value) = headers.get(HEADER) {
        return Some(value.to_str().unwrap_or_default().trim());
    }
    let lines = headers.get_all(warp::http::header::COOKIE).iter();
    let mut cookies = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'));
    cookies.find_map(|cookie| {
        let mut parts = cookie.split('=').map(str::trim);
        (parts.next() == Some(COOKIE)).then(|| parts.next().unwrap_or_default())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use warp::http::{HeaderName, HeaderValue};

    fn check(headers: &[(&'static str, &'static str)], expected: Option<&str>) {
        let map = headers
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_bytes(value.as_bytes()).unwrap(),
                )
            })
            .collect();
        assert_eq!(token_of(&map), expected, "{headers:?}");
    }

    #[test]
    fn the_header_wins_over_the_cookie() {
        check(&[], None);
        check(&[("cookie", "a=b; CF_Authorizatio=x")], None);
        check(
            &[("cookie", "a=b;  CF_Authorization = x.y.z=q ; c=d")],
            Some("x.y.z"),
        );
        check(&[("cookie", "CF_Authorization")], Some(""));
        check(
            &[("cookie", "CF_Authorization=c"), (HEADER, " h ")],
            Some("h"),
        );
        check(&[("cookie", "CF_Authorization=c"), (HEADER, "é")], Some(""));
    }
}
