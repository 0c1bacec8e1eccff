//! The body of a request; pure.

use serde::Serialize;

use crate::error::ModelError;
use crate::model::{ModelRequest, Role};
use crate::secret::Excerpt;

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    max_tokens: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    system: Option<&'a str>,
    messages: Vec<Message<'a>>,
    stream: bool,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: &'a str,
}

/// The JSON of a streamed request. What the provider would certainly refuse is refused here.
pub(super) fn body(model: &str, request: &ModelRequest) -> Result<String, ModelError> {
    let messages: Vec<_> = request
        .turns
        .iter()
        .filter(|turn| !turn.text.trim().is_empty())
        .map(|turn| Message {
            role: role(turn.role),
            content: &turn.text,
        })
        .collect();
    if messages
        .first()
        .is_none_or(|first| first.role != role(Role::User))
    {
        return Err(bad_request(
            "a conversation must begin with a message of the person",
        ));
    }
    if request.max_tokens == 0 {
        return Err(bad_request("an answer needs at least one token"));
    }
    let system = request
        .system
        .as_deref()
        .filter(|system| !system.trim().is_empty());
    let max_tokens = request.max_tokens;
    let body = Body {
        model,
        max_tokens,
        system,
        messages,
        stream: true,
    };
    serde_json::to_string(&body).map_err(|error| bad_request(&error.to_string()))
}

fn role(role: Role) -> &'static str {
    match role {
        Role::User => "user",
        Role::Assistant => "assistant",
    }
}

fn bad_request(why: &str) -> ModelError {
    ModelError::BadRequest {
        detail: Excerpt::redacted(why, None),
    }
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

    #[test]
    fn empty_questions_are_refused_without_asking() {
        let ask = |turns, max_tokens| {
            let request = ModelRequest {
                turns,
                max_tokens,
                ..ModelRequest::default()
            };
            body("m", &request).map_err(|error| error.code())
        };
        assert_eq!(ask(vec![], 9), Err("model_bad_request"));
        assert_eq!(ask(vec![Turn::user(" \n")], 9), Err("model_bad_request"));
        assert_eq!(
            ask(vec![Turn::assistant("Hi")], 9),
            Err("model_bad_request")
        );
        assert_eq!(ask(vec![Turn::user("Hi")], 0), Err("model_bad_request"));
    }
}
