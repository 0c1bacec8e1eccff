//! The forms a secret takes on its way: escaped in JSON, encoded in an address, in base64.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use url::form_urlencoded;

/// Shorter pieces of base64 would match by chance.
const PIECE_CHARS_MIN: usize = 8;

/// The secret itself and its forms.
pub(super) fn of(secret: &str) -> Vec<String> {
    let escaped = json(secret);
    let twice = json(&escaped);
    let form: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let mut forms = vec![secret.to_owned(), escaped, twice, form];
    forms.extend([percent(secret, true), percent(secret, false)]);
    for offset in 0..3 {
        forms.extend(base64(secret, offset));
    }
    forms
}

/// As it stands in a JSON string.
fn json(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    let inner = quoted.strip_prefix('"').and_then(|q| q.strip_suffix('"'));
    inner.unwrap_or_default().to_owned()
}

/// RFC 3986: everything but unreserved characters.
fn percent(text: &str, upper: bool) -> String {
    let encoded = text.bytes().map(|byte| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        _ if upper => format!("%{byte:02X}"),
        _ => format!("%{byte:02x}"),
    });
    encoded.collect()
}

/// What is sure to be in the base64 of any text that has the secret `offset` bytes after a multiple
/// of three: six bits make a character, so the characters at both ends depend on the neighbours.
fn base64(secret: &str, offset: usize) -> Vec<String> {
    let bytes = [&[0; 2][..offset.min(2)], secret.as_bytes()].concat();
    let (from, to) = ((offset * 8).div_ceil(6), bytes.len() * 8 / 6);
    let piece = |encoded: String| encoded.get(from..to).map(str::to_owned);
    let both = [
        STANDARD_NO_PAD.encode(&bytes),
        URL_SAFE_NO_PAD.encode(&bytes),
    ];
    let pieces = both.into_iter().filter_map(piece);
    pieces
        .filter(|piece| piece.len() >= PIECE_CHARS_MIN)
        .collect()
}
