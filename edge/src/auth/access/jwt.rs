//! One token: a signed statement of the team's identity provider about who sends a request.
//!
//! ```text
//! base64url(header) . base64url(claims) . base64url(signature over both as they stand)
//! header  { alg: "RS256", kid }
//! claims  { iss, aud: text or list, exp, nbf?, iat?, email? | common_name? }      times in seconds
//! ```
//!
//! Invariant: RS256 and nothing else, so neither `none` nor a keyed hash under the public key
//! passes; a token without an end never counts.
//!
//! Sources: RFC 7515, RFC 7519,
//! <https://developers.cloudflare.com/cloudflare-one/identity/authorization-cookie/application-token/>.

use super::keys::PublicKey;
use super::team::Team;
use crate::limits::{ACCESS_LEEWAY_S, ACCESS_TOKEN_BYTES_MAX};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use moltbot_core::limits::PRINCIPAL_NAME_BYTES_MAX;
use moltbot_core::time::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

/// Whom a token names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// E-mail address of a person, name of a service.
    pub name: String,
    /// Whether it is a service token.
    pub service: bool,
}

/// Why a request is not believed to come from anybody. The sentence is for the person who set
/// Access up: it says what is wrong and what to do, and repeats nothing of the token.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Denied {
    /// Neither header nor cookie.
    #[error(
        "there is no token: this path is not protected by Cloudflare Access; add it to the Access application, or log in"
    )]
    NoToken,
    /// Not the form of a token.
    #[error("the token is damaged ({0}): delete this site's cookies and log in again")]
    Malformed(&'static str),
    /// Signed in a way that Access does not use.
    #[error("the token is not signed with RS256, as Cloudflare Access does")]
    Algorithm,
    /// Another issuer.
    #[error(
        "the token was issued by another team: CF_ACCESS_TEAM_DOMAIN is not the domain of the team whose application protects this path"
    )]
    OtherTeam,
    /// Another audience.
    #[error(
        "the token is for another application: CF_ACCESS_AUD is not the Application Audience (AUD) tag of the one that protects this path"
    )]
    OtherAudience,
    /// Its time is over.
    #[error(
        "the token expired {0} s ago: log in again (if a fresh login changes nothing, this machine's clock is ahead)"
    )]
    Expired(i64),
    /// Its time has not come.
    #[error("the token is from {0} s in the future: this machine's clock is behind; set it by NTP")]
    Clock(i64),
    /// The team has no such key.
    #[error(
        "the token is signed with a key that the team does not publish: it is forged, or older than the team's last key rotation; log in again"
    )]
    UnknownKey,
    /// The signature is not that of the key.
    #[error("the token's signature is wrong: it was altered or forged")]
    Signature,
    /// Neither person nor service.
    #[error(
        "the token names neither a person (email) nor a service (common_name): let the Access application pass the e-mail address on"
    )]
    Nobody,
    /// No keys to check it with.
    #[error("the team's keys cannot be fetched ({0}): check CF_ACCESS_TEAM_DOMAIN and the network")]
    KeysUnreachable(String),
}

impl Denied {
    /// Stable code for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Denied::NoToken => "no_token",
            Denied::Malformed(_) => "token_malformed",
            Denied::Algorithm => "token_algorithm",
            Denied::OtherTeam => "token_other_team",
            Denied::OtherAudience => "token_other_audience",
            Denied::Expired(_) => "token_expired",
            Denied::Clock(_) => "clock",
            Denied::UnknownKey => "key_unknown",
            Denied::Signature => "token_signature",
            Denied::Nobody => "token_names_nobody",
            Denied::KeysUnreachable(_) => "keys_unreachable",
        }
    }
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: String,
    crit: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: Audience,
    exp: i64,
    nbf: Option<i64>,
    iat: Option<i64>,
    email: Option<String>,
    common_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// A token in its parts. Nothing of it counts before [`Token::check`] and [`Token::verify`].
pub struct Token<'a> {
    /// The key it claims to be signed with.
    pub kid: String,
    claims: Claims,
    signed: &'a str,
    signature: Vec<u8>,
}

impl Token<'_> {
    /// Takes a token apart.
    pub fn parse(text: &str) -> Result<Token<'_>, Denied> {
        if text.len() > ACCESS_TOKEN_BYTES_MAX {
            return Err(Denied::Malformed("too long"));
        }
        let parts: Vec<&str> = text.split('.').collect();
        let [header, claims, signature] = parts.as_slice() else {
            return Err(Denied::Malformed("not three parts"));
        };
        let signed = text.get(..header.len() + 1 + claims.len());
        let header: Header = part(header, "header")?;
        if header.alg != "RS256" {
            return Err(Denied::Algorithm);
        }
        // An extension that must be understood is not (RFC 7515, section 4.1.11).
        if header.crit.is_some() {
            return Err(Denied::Malformed("unknown extension"));
        }
        Ok(Token {
            kid: header.kid,
            claims: part(claims, "claims")?,
            signed: signed.unwrap_or_default(),
            signature: decode(signature, "signature")?,
        })
    }

    /// Whether the token is of this team, for this application and of this moment; whom it names.
    pub fn check(&self, team: &Team, now: Timestamp) -> Result<Identity, Denied> {
        let claims = &self.claims;
        if claims.iss.trim_end_matches('/') != team.issuer {
            return Err(Denied::OtherTeam);
        }
        let is_for_us = match &claims.aud {
            Audience::One(one) => *one == team.audience,
            Audience::Many(many) => many.contains(&team.audience),
        };
        if !is_for_us {
            return Err(Denied::OtherAudience);
        }
        let now_s = now.0.div_euclid(1_000);
        let over_s = now_s.saturating_sub(claims.exp);
        if over_s >= ACCESS_LEEWAY_S {
            return Err(Denied::Expired(over_s));
        }
        let begins = claims.nbf.max(claims.iat).unwrap_or(now_s);
        let ahead_s = begins.saturating_sub(now_s);
        if ahead_s > ACCESS_LEEWAY_S {
            return Err(Denied::Clock(ahead_s));
        }
        self.identity()
    }

    fn identity(&self) -> Result<Identity, Denied> {
        let named = |name: &Option<String>, service| {
            let name = name.as_deref()?.trim();
            let is_name = !name.is_empty()
                && name.len() <= PRINCIPAL_NAME_BYTES_MAX
                && !name.chars().any(char::is_control);
            is_name.then(|| Identity {
                name: name.to_owned(),
                service,
            })
        };
        named(&self.claims.email, false)
            .or_else(|| named(&self.claims.common_name, true))
            .ok_or(Denied::Nobody)
    }

    /// Whether the signature is that of the key.
    pub fn verify(&self, key: &PublicKey) -> Result<(), Denied> {
        if key.verifies(self.signed.as_bytes(), &self.signature) {
            return Ok(());
        }
        Err(Denied::Signature)
    }
}

fn part<T: DeserializeOwned>(text: &str, what: &'static str) -> Result<T, Denied> {
    let bytes = decode(text, what)?;
    serde_json::from_slice(&bytes).map_err(|_| Denied::Malformed(what))
}

fn decode(text: &str, what: &'static str) -> Result<Vec<u8>, Denied> {
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| Denied::Malformed(what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const NOW_S: i64 = 1_795_000_000;

    fn team() -> Team {
        Team {
            issuer: "https://t.example".into(),
            audience: "aud".into(),
        }
    }

    fn text(header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.AAAA", part(header), part(claims))
    }

    fn claims() -> Value {
        json!({
            "iss": "https://t.example", "aud": ["other", "aud"], "exp": NOW_S + 100,
            "nbf": NOW_S, "iat": NOW_S, "email": "li@example.com",
        })
    }

    fn check(change: impl Fn(&mut Value), expected: Result<&str, &str>) {
        let mut claims = claims();
        change(&mut claims);
        let text = text(&json!({ "alg": "RS256", "kid": "k" }), &claims);
        let token = Token::parse(&text);
        let found = token.and_then(|t| t.check(&team(), Timestamp(NOW_S * 1_000)));
        let found = found.map(|identity| identity.name);
        let found = found.as_deref().map_err(Denied::code);
        assert_eq!(found, expected, "{claims}");
    }

    #[test]
    fn claims_are_of_this_team_for_this_application_and_of_this_moment() {
        check(|_| {}, Ok("li@example.com"));
        check(|c| c["aud"] = json!("aud"), Ok("li@example.com"));
        check(|c| c["aud"] = json!("aud2"), Err("token_other_audience"));
        check(|c| c["aud"] = json!([]), Err("token_other_audience"));
        check(|c| c["aud"] = json!(7), Err("token_malformed"));
        check(
            |c| c["iss"] = json!("https://u.example"),
            Err("token_other_team"),
        );
        check(|c| c["exp"] = json!(NOW_S - 59), Ok("li@example.com"));
        check(|c| c["exp"] = json!(NOW_S - 60), Err("token_expired"));
        check(|c| c["exp"] = json!(i64::MIN), Err("token_expired"));
        check(|c| c["exp"] = Value::Null, Err("token_malformed"));
        check(|c| c["nbf"] = json!(NOW_S + 60), Ok("li@example.com"));
        check(|c| c["nbf"] = json!(NOW_S + 61), Err("clock"));
        check(|c| c["iat"] = json!(NOW_S + 61), Err("clock"));
        check(|c| c["iat"] = json!(i64::MAX), Err("clock"));
    }

    #[test]
    fn a_token_names_a_person_or_a_service() {
        let service = |c: &mut Value| {
            c["email"] = Value::Null;
            c["common_name"] = json!("ci.access");
        };
        check(service, Ok("ci.access"));
        check(|c| c["email"] = Value::Null, Err("token_names_nobody"));
        for name in ["", " ", "li\n@example.com", &"l".repeat(300)] {
            check(|c| c["email"] = json!(name), Err("token_names_nobody"));
        }
    }

    #[test]
    fn only_rs256_is_an_algorithm() {
        for alg in ["none", "HS256", "RS512", "rs256", "ES256", ""] {
            let text = text(&json!({ "alg": alg, "kid": "k" }), &claims());
            assert_eq!(Token::parse(&text).err(), Some(Denied::Algorithm), "{alg}");
        }
        let crit = text(
            &json!({ "alg": "RS256", "kid": "k", "crit": ["b64"] }),
            &claims(),
        );
        assert!(matches!(
            Token::parse(&crit).err(),
            Some(Denied::Malformed(_))
        ));
    }
}
