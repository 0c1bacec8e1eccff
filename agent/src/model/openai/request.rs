//! The body of a request; pure.

use serde::Serialize;

use crate::error::ModelError;
use crate::model::ModelRequest;
use crate::model::access::TokenLimit;
use crate::model::http::{self, Message};

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    messages: Vec<Message<'a>>,
    stream: bool,
    stream_options: StreamOptions,
}

/// Without this a stream says nothing of the tokens it cost.
#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

/// The JSON of a streamed request.
pub(super) fn body(
    model: &str,
    limit: TokenLimit,
    request: &ModelRequest,
) -> Result<String, ModelError> {
    let mut messages = http::messages(request)?;
    if let Some(content) = http::system(request) {
        let role = "system";
        messages.insert(0, Message { role, content });
    }
    let tokens = request.max_tokens;
    http::json(&Body {
        model,
        max_tokens: (limit == TokenLimit::MaxTokens).then_some(tokens),
        max_completion_tokens: (limit == TokenLimit::MaxCompletionTokens).then_some(tokens),
        messages,
        stream: true,
        stream_options: StreamOptions {
            include_usage: true,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Turn;

    #[test]
    fn body_has_the_published_shape_with_one_name_for_the_limit() {
        let request = ModelRequest {
            system: Some("Be brief.".to_owned()),
            turns: vec![
                Turn::user("Hi"),
                Turn::assistant("Hello"),
                Turn::user("é\n"),
            ],
            max_tokens: 9,
            ..ModelRequest::default()
        };
        let tail = r#""messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Hi"},{"role":"assistant","content":"Hello"},{"role":"user","content":"é\n"}],"stream":true,"stream_options":{"include_usage":true}}"#;
        for (limit, name) in [
            (TokenLimit::MaxTokens, "max_tokens"),
            (TokenLimit::MaxCompletionTokens, "max_completion_tokens"),
        ] {
            let expected = format!(r#"{{"model":"m","{name}":9,{tail}"#);
            assert_eq!(body("m", limit, &request).unwrap(), expected);
        }
        let bare = ModelRequest {
            system: Some(" ".to_owned()),
            ..request
        };
        let bare = body("m", TokenLimit::MaxTokens, &bare).unwrap();
        assert!(!bare.contains("system"), "{bare}");
    }
}
