//! A conversation as both forms of API send it; pure.

use serde::Serialize;

use crate::error::ModelError;
use crate::model::{ModelRequest, Role};
use crate::secret::Excerpt;

/// One message on the wire.
#[derive(Debug, Serialize)]
pub(crate) struct Message<'a> {
    pub(crate) role: &'static str,
    pub(crate) content: &'a str,
}

/// The turns of a request. What a provider would certainly refuse is refused here.
pub(crate) fn messages(request: &ModelRequest) -> Result<Vec<Message<'_>>, ModelError> {
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
    Ok(messages)
}

/// The standing instructions, unless there are none.
pub(crate) fn system(request: &ModelRequest) -> Option<&str> {
    request
        .system
        .as_deref()
        .filter(|system| !system.trim().is_empty())
}

/// The JSON of a body.
pub(crate) fn json(body: &impl Serialize) -> Result<String, ModelError> {
    serde_json::to_string(body).map_err(|error| bad_request(&error.to_string()))
}

fn role(role: Role) -> &'static str {
    match role {
        Role::User => "user",
        Role::Assistant => "assistant",
    }
}

fn bad_request(why: &str) -> ModelError {
    ModelError::BadRequest {
        detail: Excerpt::redacted(why, &[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Turn;

    #[test]
    fn empty_questions_are_refused_without_asking() {
        let ask = |turns, max_tokens| {
            let request = ModelRequest {
                turns,
                max_tokens,
                ..ModelRequest::default()
            };
            messages(&request).map(|_| ()).map_err(|error| error.code())
        };
        assert_eq!(ask(vec![], 9), Err("model_bad_request"));
        assert_eq!(ask(vec![Turn::user(" \n")], 9), Err("model_bad_request"));
        assert_eq!(
            ask(vec![Turn::assistant("Hi")], 9),
            Err("model_bad_request")
        );
        assert_eq!(ask(vec![Turn::user("Hi")], 0), Err("model_bad_request"));
        assert_eq!(ask(vec![Turn::user("Hi")], 9), Ok(()));
    }
}
