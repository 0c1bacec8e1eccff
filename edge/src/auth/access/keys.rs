//! The team's public keys, as Cloudflare Access publishes them.
//!
//! Invariant: a key that is not known leads to one fetch, and fetches are a budget, so nobody can
//! make this gateway ask more often than that; keys that were good stay so when a fetch fails.
//!
//! Access rotates its keys every six weeks and accepts the old ones for seven days more. The answer
//! is a JSON Web Key Set (RFC 7517): `{ keys: [{ kid, kty: "RSA", n, e, … }] }`.

use super::jwt::Denied;
use crate::limits::{
    ACCESS_FETCH_BURST, ACCESS_FETCH_INTERVAL_MS, ACCESS_FETCH_TIMEOUT_MS, ACCESS_KEYS_AGE_MS_MAX,
    ACCESS_KEYS_BYTES_MAX, ACCESS_KEYS_MAX,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use moltbot_core::time::Timestamp;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tracing::warn;

/// An RSA public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    n: Vec<u8>,
    e: Vec<u8>,
}

impl PublicKey {
    /// Whether this is the key's RS256 signature over the bytes.
    pub fn verifies(&self, signed: &[u8], signature: &[u8]) -> bool {
        let key = RsaPublicKeyComponents {
            n: &self.n,
            e: &self.e,
        };
        key.verify(&RSA_PKCS1_2048_8192_SHA256, signed, signature)
            .is_ok()
    }
}

/// The keys that are known, and how they are fetched.
pub struct Keys {
    url: String,
    client: Option<reqwest::Client>,
    known: Mutex<Known>,
    one_at_a_time: tokio::sync::Mutex<()>,
}

struct Known {
    keys: BTreeMap<String, PublicKey>,
    fetched_at: Option<Timestamp>,
    /// Why the newest fetch failed, if it did.
    failure: Option<String>,
    budget: Budget,
}

impl Keys {
    /// No keys yet, from this address.
    pub fn new(url: String) -> Keys {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_millis(ACCESS_FETCH_TIMEOUT_MS))
            .build();
        Keys {
            url,
            // Without a client every fetch fails, and says so.
            client: client.ok(),
            known: Mutex::new(Known {
                keys: BTreeMap::new(),
                fetched_at: None,
                failure: None,
                budget: Budget::default(),
            }),
            one_at_a_time: tokio::sync::Mutex::new(()),
        }
    }

    /// The key with this id, fetched if need be and allowed.
    pub async fn find(&self, kid: &str, now: Timestamp) -> Result<PublicKey, Denied> {
        let (key, is_fresh) = self.known().find(kid, now);
        if let Some(key) = key {
            if is_fresh {
                return Ok(key);
            }
            // An old set still serves while somebody else renews it.
            let Ok(_mine) = self.one_at_a_time.try_lock() else {
                return Ok(key);
            };
            self.fetch_if_allowed(now).await;
        } else {
            let _mine = self.one_at_a_time.lock().await;
            // Whoever was first may have brought it.
            if let (Some(key), _) = self.known().find(kid, now) {
                return Ok(key);
            }
            self.fetch_if_allowed(now).await;
        }
        let known = self.known();
        match (known.find(kid, now).0, &known.failure) {
            (Some(key), _) => Ok(key),
            (None, Some(failure)) => Err(Denied::KeysUnreachable(failure.clone())),
            (None, None) => Err(Denied::UnknownKey),
        }
    }

    /// Why there are no keys, if there are none; fetches them if need be and allowed.
    pub async fn unreachable(&self, now: Timestamp) -> Option<Denied> {
        let _mine = self.one_at_a_time.lock().await;
        if self.known().keys.is_empty() {
            self.fetch_if_allowed(now).await;
        }
        self.known().failure.clone().map(Denied::KeysUnreachable)
    }

    async fn fetch_if_allowed(&self, now: Timestamp) {
        if !self.known().budget.take(now) {
            return;
        }
        let fetched = self.fetch().await;
        let mut known = self.known();
        match fetched {
            Ok(keys) => {
                known.keys = keys;
                known.fetched_at = Some(now);
                known.failure = None;
            }
            Err(reason) => {
                warn!(%reason, "the keys of Cloudflare Access cannot be fetched; known ones stay good");
                known.failure = Some(reason);
            }
        }
    }

    async fn fetch(&self) -> Result<BTreeMap<String, PublicKey>, String> {
        let client = self.client.as_ref().ok_or("no TLS on this machine")?;
        let answer = client.get(&self.url).send().await;
        let mut answer = answer.map_err(|error| unreachable(&error).to_owned())?;
        if answer.status() != reqwest::StatusCode::OK {
            return Err(format!("it answers {}", answer.status().as_u16()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer
            .chunk()
            .await
            .map_err(|error| unreachable(&error).to_owned())?
        {
            if body.len() + chunk.len() > ACCESS_KEYS_BYTES_MAX {
                return Err("its answer is too long".to_owned());
            }
            body.extend_from_slice(&chunk);
        }
        parse(&body)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// The key, and whether the set is young enough not to ask again.
    fn find(&self, kid: &str, now: Timestamp) -> (Option<PublicKey>, bool) {
        let age_ms = self.fetched_at.map(|at| now.since_ms(at));
        let is_fresh = age_ms.is_some_and(|age| age < ACCESS_KEYS_AGE_MS_MAX);
        (self.keys.get(kid).cloned(), is_fresh)
    }
}

/// What a person needs to know of a failed request.
fn unreachable(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() {
        "no answer in time"
    } else if error.is_connect() {
        "no connection"
    } else {
        "the answer broke off"
    }
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Jwk>,
}

#[derive(Deserialize)]
struct Jwk {
    kid: Option<String>,
    kty: String,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

/// The usable keys of a set. Others are none of our business; a set without any is wrong.
fn parse(body: &[u8]) -> Result<BTreeMap<String, PublicKey>, String> {
    let wrong = "what it answers is no key set";
    let set: KeySet = serde_json::from_slice(body).map_err(|_| wrong)?;
    let usable = |jwk: Jwk| {
        let fits = jwk.kty == "RSA"
            && jwk.alg.is_none_or(|alg| alg == "RS256")
            && jwk.usage.is_none_or(|usage| usage == "sig");
        let n = URL_SAFE_NO_PAD.decode(jwk.n?).ok()?;
        let e = URL_SAFE_NO_PAD.decode(jwk.e?).ok()?;
        Some((jwk.kid?, PublicKey { n, e })).filter(|_| fits)
    };
    let keys = set.keys.into_iter().filter_map(usable);
    let keys: BTreeMap<_, _> = keys.take(ACCESS_KEYS_MAX).collect();
    if keys.is_empty() {
        return Err(wrong.to_owned());
    }
    Ok(keys)
}

/// How often may be fetched: a few times at once, then once in a while.
#[derive(Default)]
struct Budget {
    spent: u32,
    since: Timestamp,
}

impl Budget {
    fn take(&mut self, now: Timestamp) -> bool {
        let refilled = now.since_ms(self.since) / ACCESS_FETCH_INTERVAL_MS;
        if refilled > 0 {
            let refilled_all = u32::try_from(refilled).unwrap_or(u32::MAX);
            self.spent = self.spent.saturating_sub(refilled_all);
            self.since = now;
        }
        let has_left = self.spent < ACCESS_FETCH_BURST;
        self.spent += u32::from(has_left);
        has_left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fetches_are_a_few_at_once_and_then_one_in_a_while() {
        let mut budget = Budget::default();
        let mut takes = |at: i64| budget.take(Timestamp(1_795_000_000_000 + at));
        for _ in 0..ACCESS_FETCH_BURST {
            assert!(takes(0));
        }
        assert!(!takes(0) && !takes(ACCESS_FETCH_INTERVAL_MS - 1));
        assert!(takes(ACCESS_FETCH_INTERVAL_MS));
        assert!(!takes(ACCESS_FETCH_INTERVAL_MS));
        assert!(
            !takes(-ACCESS_FETCH_INTERVAL_MS),
            "a clock that goes back gives nothing"
        );
    }

    #[test]
    fn of_a_set_only_rsa_signing_keys_are_taken() {
        let set = r#"{"keys":[
            {"kid":"a","kty":"RSA","alg":"RS256","use":"sig","n":"AQAB","e":"AQAB"},
            {"kid":"b","kty":"RSA","n":"AQAB","e":"AQAB"},
            {"kid":"c","kty":"EC","n":"AQAB","e":"AQAB"},
            {"kid":"d","kty":"RSA","alg":"RS512","n":"AQAB","e":"AQAB"},
            {"kid":"e","kty":"RSA","use":"enc","n":"AQAB","e":"AQAB"},
            {"kid":"f","kty":"RSA","n":"???","e":"AQAB"},
            {"kty":"RSA","n":"AQAB","e":"AQAB"}],
            "public_cert":{"kid":"a","cert":"…"}}"#;
        let keys = parse(set.as_bytes()).unwrap();
        assert_eq!(keys.keys().collect::<Vec<_>>(), ["a", "b"]);
        for wrong in [
            "",
            "{}",
            r#"{"keys":[]}"#,
            r#"{"keys":[{"kid":"c","kty":"EC"}]}"#,
        ] {
            assert!(parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
        let many: Vec<String> = (0..100)
            .map(|n| format!(r#"{{"kid":"{n}","kty":"RSA","n":"AQAB","e":"AQAB"}}"#))
            .collect();
        let many = format!(r#"{{"keys":[{}]}}"#, many.join(","));
        assert_eq!(parse(many.as_bytes()).unwrap().len(), ACCESS_KEYS_MAX);
    }
}
