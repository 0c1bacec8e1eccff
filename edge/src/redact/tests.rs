use super::*;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

fn check(text: &str, expected: &str) {
    assert_eq!(redact(text), expected);
    assert_eq!(redact(expected), expected, "twice");
}

#[test]
fn the_shapes_of_credentials_are_taken_out() {
    check(
        "key sk-ant-api03-abcdefghijklmnop rest",
        "key [redacted] rest",
    );
    check("xoxb-123456-abcdef!", "[redacted]!");
    check("\"xapp-1-A02-abcdef\"", "\"[redacted]\"");
    let telegram = format!("/bot123456789:{}/getMe", "Ab-_5".repeat(7));
    check(&telegram, "/bot[redacted]/getMe");
    check(
        "authorization: Bearer abc.def~123==",
        "authorization: Bearer [redacted]",
    );
    check("bearer abcdefgh1", "bearer [redacted]");
    check("eyJhbGciOi.eyJzdWIi.c2ln-_x tail", "[redacted] tail");
    check("GET /?token=abc&x=1", "GET /?token=[redacted]&x=1");
    check(
        "/?a=1&access_token=abc#b",
        "/?a=1&access_token=[redacted]#b",
    );
    check("/cdp?secret=s%20p HTTP", "/cdp?secret=[redacted] HTTP");
    check("api_key=1234, more", "api_key=[redacted], more");
    check("http://h/#grant=abc", "http://h/#grant=[redacted]");
    check("AKIAIOSFODNN7EXAMPLE.", "[redacted].");
    check("s3://user:word@bucket/x", "s3://[redacted]@bucket/x");
}

#[test]
fn a_private_key_goes_as_a_whole_also_when_it_is_cut_short() {
    let pem = "-----BEGIN RSA PRIVATE KEY-----\\nMIIE\\n-----END RSA PRIVATE KEY-----";
    check(&format!("{{\"m\":\"{pem}\"}}"), "{\"m\":\"[redacted]\"}");
    check(
        "{\"m\":\"-----BEGIN PRIVATE KEY-----\\nMII\"}",
        "{\"m\":\"[redacted]\"}",
    );
    let public = "-----BEGIN PUBLIC KEY-----";
    check(public, public);
}

#[test]
fn ordinary_lines_stay_as_they_are() {
    for line in [
        "2026-11-22T18:02:26.123456Z  INFO ready url=http://127.0.0.1:18789 home=/root/.moltbot",
        "task-force risk-taking ask-me-anything-please-now",
        "agent:main:main web:0123456789",
        "hash 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "the token is wrong; set the secret key",
        "Bearer of news, eyJ alone, sk-short",
        "git@github.com https://example.com/@name a@b.example:80",
        "中文 token 密钥 — “quoted”",
    ] {
        assert!(matches!(redact(line), Cow::Borrowed(_)), "{}", redact(line));
    }
}

#[test]
fn a_registered_secret_is_found_in_every_form_it_takes() {
    let secret = "p+ss/w\"rd é\\42";
    register([secret, "short"]);
    let json = serde_json::Value::from(secret).to_string();
    let nested = serde_json::Value::from(json.as_str()).to_string();
    let form: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let texts = [format!("is {secret}."), json, nested, form];
    for text in texts {
        let said = redact(&text);
        assert!(
            said.contains(MARK) && !said.contains("ss"),
            "{text} -> {said}"
        );
    }
    for before in ["", "a", "ab", "abc", "id:"] {
        let text = format!("{before}{secret}:after");
        for encoded in [STANDARD.encode(&text), URL_SAFE_NO_PAD.encode(&text)] {
            assert!(redact(&encoded).contains(MARK), "{before}: {encoded}");
        }
    }
    check("short words stay", "short words stay");
}

#[test]
fn a_hostile_text_takes_time_in_proportion_to_its_length() {
    // Each of these would take minutes if a rule looked at the rest again from every trigger.
    for piece in [
        "eyJ",
        "sk-",
        "1:",
        "://",
        "Bearer ",
        "key=",
        "-----BEGIN ",
        "eyJ.eyJ.",
    ] {
        let text = piece.repeat(400_000 / piece.len());
        assert!(redact(&text).len() <= text.len() * 4, "{piece}");
    }
}
