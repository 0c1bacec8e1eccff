//! A team of Cloudflare Access on this machine: signs tokens and publishes its keys.
//!
//! The keys in `fixtures/` were made for these tests with `openssl genpkey` and open nothing.

use super::support::{Gateway, Home, PATIENCE};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// The AUD tag of the application.
pub const AUD: &str = "4714c1358e65fe4b408ad6d432a5f878f08194bdb4752441fd56faefa9b2b6f2";
/// A person.
pub const LI: &str = "li@example.com";

/// A key of the team.
pub struct Key {
    /// Its id.
    pub kid: &'static str,
    pair: RsaKeyPair,
}

/// The first and the second key.
pub fn keys() -> [Key; 2] {
    let key = |kid, der: &[u8]| Key {
        kid,
        pair: RsaKeyPair::from_pkcs8(der).unwrap(),
    };
    [
        key("first", include_bytes!("../fixtures/access_key_1.pk8")),
        key("second", include_bytes!("../fixtures/access_key_2.pk8")),
    ]
}

impl Key {
    /// Modulus and exponent.
    pub fn public(&self) -> RsaPublicKeyComponents<Vec<u8>> {
        RsaPublicKeyComponents::from(self.pair.public())
    }

    /// As the team publishes it.
    fn jwk(&self) -> Value {
        let public = self.public();
        json!({
            "kid": self.kid, "kty": "RSA", "alg": "RS256", "use": "sig",
            "n": base64url(&public.n), "e": base64url(&public.e),
        })
    }

    /// A token with these claims.
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_as(
            &json!({ "alg": "RS256", "kid": self.kid, "typ": "JWT" }),
            claims,
        )
    }

    /// A token with this header and these claims, signed by this key whatever they say.
    pub fn sign_as(&self, header: &Value, claims: &Value) -> String {
        let text = unsigned(header, claims);
        let mut signature = vec![0; self.pair.public().modulus_len()];
        let random = SystemRandom::new();
        self.pair
            .sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature)
            .unwrap();
        format!("{text}.{}", base64url(&signature))
    }
}

/// Header and claims of a token.
pub fn unsigned(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| base64url(value.to_string().as_bytes());
    format!("{}.{}", part(header), part(claims))
}

/// Unpadded base64url.
pub fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Seconds since 1970.
pub fn now_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

/// The team.
pub struct Team {
    /// Its address, which is the issuer too.
    pub issuer: String,
    published: Arc<Mutex<Published>>,
}

#[derive(Default)]
struct Published {
    /// The answer; `None`: an error.
    keys: Option<Value>,
    asked: usize,
}

impl Team {
    /// A team that publishes these keys.
    pub async fn with(keys: &[&Key]) -> Team {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let published = Arc::new(Mutex::new(Published::default()));
        let team = Team {
            issuer,
            published: Arc::clone(&published),
        };
        team.publish(keys);
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 4096];
                let read = stream.read(&mut request).await.unwrap_or(0);
                let request = String::from_utf8_lossy(&request[..read]).into_owned();
                let answer = published.lock().unwrap().answer(&request);
                // The gateway may have gone.
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        team
    }

    /// Publishes these keys from now on.
    pub fn publish(&self, keys: &[&Key]) {
        let keys: Vec<Value> = keys.iter().map(|key| key.jwk()).collect();
        let certificates = json!([{ "kid": "first", "cert": "-----BEGIN CERTIFICATE-----" }]);
        let set = json!({ "keys": keys, "public_certs": certificates });
        self.published.lock().unwrap().keys = Some(set);
    }

    /// Answers nothing but errors from now on.
    pub fn fail(&self) {
        self.published.lock().unwrap().keys = None;
    }

    /// How often it was asked for its keys.
    pub fn asked(&self) -> usize {
        self.published.lock().unwrap().asked
    }

    /// A home whose gateway trusts this team.
    pub fn home(&self) -> Home {
        Home::new()
            .with("CF_ACCESS_TEAM_DOMAIN", &self.issuer)
            .with("CF_ACCESS_AUD", AUD)
    }

    /// The claims of a person who logged in a minute ago.
    pub fn claims(&self, email: &str) -> Value {
        let now = now_s();
        json!({
            "iss": self.issuer, "aud": [AUD], "email": email, "sub": "7335d417-61da-459d",
            "iat": now - 60, "nbf": now - 60, "exp": now + 3_600, "type": "app", "country": "DE",
        })
    }

    /// Those claims, with one changed; `null` removes it.
    pub fn claims_with(&self, name: &str, value: Value) -> Value {
        let mut claims = self.claims(LI);
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value;
        }
        claims
    }
}

impl Published {
    fn answer(&mut self, request: &str) -> String {
        assert!(
            request.starts_with("GET /cdn-cgi/access/certs HTTP/1.1\r\n"),
            "{request}"
        );
        self.asked += 1;
        let (status, body) = match &self.keys {
            Some(keys) => ("200 OK", keys.to_string()),
            None => ("500 Internal Server Error", "{}".to_owned()),
        };
        let length = body.len();
        format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}")
    }
}

/// What a browser that follows a link sends.
pub const PAGE: (&str, &str) = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");

/// An answer with its text.
pub struct Said {
    /// Its status.
    pub status: u16,
    /// Where it sends the client.
    pub location: String,
    /// Its text.
    pub text: String,
}

impl Said {
    /// Its text as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }
}

/// Asks the gateway, without following anything.
pub async fn ask(gateway: &Gateway, verb: &str, path: &str, headers: &[(&str, &str)]) -> Said {
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(PATIENCE)
        .build()
        .unwrap();
    let mut request = client.request(verb.parse().unwrap(), gateway.url(path));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.unwrap();
    let location = answer.headers().get("location");
    let location = location.map_or("", |value| value.to_str().unwrap());
    Said {
        status: answer.status().as_u16(),
        location: location.to_owned(),
        text: answer.text().await.unwrap(),
    }
}

/// The header that Access adds.
pub fn jwt(token: &str) -> (&'static str, &str) {
    ("cf-access-jwt-assertion", token)
}
