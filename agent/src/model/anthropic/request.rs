//! The body of a request; pure.

use serde::Serialize;

use crate::error::ModelError;
use crate::model::ModelRequest;
use crate::model::http::{self, Message};

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    max_tokens: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    system: Option<&'a str>,
    messages: Vec<Message<'a>>,
    stream: bool,
}

/// The JSON of a streamed request.
pub(super) fn body(model: &str, request: &ModelRequest) -> Result<String, ModelError> {
    http::json(&Body {
        model,
        max_tokens: request.max_tokens,
        system: http::system(request),
        messages: http::messages(request)?,
        stream: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Turn;

    #[test]
    fn body_has_the_published_shape() {
        let request = ModelRequest {
            system: Some("Be brief.".to_owned()),
            turns: vec![
                Turn::user("Hi"),
                Turn::assistant(" "),
                Turn::assistant("Hello"),
                Turn::user("é\n"),
            ],
            max_tokens: 9,
            ..ModelRequest::default()
        };
        assert_eq!(
            body("m", &request).unwrap(),
            r#"{"model":"m","max_tokens":9,"system":"Be brief.","messages":[{"role":"user","content":"Hi"},{"role":"assistant","content":"Hello"},{"role":"user","content":"é\n"}],"stream":true}"#
        );
        let bare = ModelRequest {
            system: Some(" ".to_owned()),
            ..request
        };
        assert!(!body("m", &bare).unwrap().contains("system"));
    }
}
