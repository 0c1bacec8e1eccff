use super::*;

const START: &str = r#"{"type":"message_start","message":{"id":"msg_1","usage":{"input_tokens":25,"output_tokens":1}}}"#;
const BLOCK: &str =
    r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#;
const HELLO: &str =
    r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello"}}"#;
const BLOCK_STOP: &str = r#"{"type":"content_block_stop","index":0}"#;
const END: &str = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":15}}"#;
const STOP: &str = r#"{"type":"message_stop"}"#;
const PING: &str = r#"{"type":"ping"}"#;

/// Text, last usage and stop reason of a reply with these events, or the error's code.
fn follow(events: &[&str]) -> Result<(String, Usage, Option<StopReason>), &'static str> {
    let key = ApiKey::new("KEY", "plainsecret99").unwrap();
    let mut order = MessageOrder::new();
    let mut out = VecDeque::new();
    for data in events {
        let event = SseEvent {
            name: String::new(),
            data: (*data).to_owned(),
        };
        order
            .take(&event, std::slice::from_ref(&key), &mut out)
            .map_err(|error| error.code())?;
    }
    let mut reply = (String::new(), Usage::default(), None);
    for event in out {
        match event {
            ModelEvent::Delta(text) => reply.0.push_str(&text),
            ModelEvent::Usage(usage) => reply.1 = usage,
            ModelEvent::Done(stop) => reply.2 = Some(stop),
        }
    }
    Ok(reply)
}

#[test]
fn published_order_gives_text_usage_and_reason() {
    let usage = Usage {
        input_tokens: 25,
        output_tokens: 15,
        ..Usage::default()
    };
    let reply = follow(&[START, BLOCK, PING, HELLO, HELLO, BLOCK_STOP, END, STOP]);
    assert_eq!(
        reply,
        Ok(("HelloHello".to_owned(), usage, Some(StopReason::EndTurn)))
    );
    let empty = follow(&[START, END, STOP]);
    assert_eq!(empty, Ok((String::new(), usage, Some(StopReason::EndTurn))));
}

#[test]
fn pings_and_unknown_events_may_come_anywhere() {
    let unknown = r#"{"type":"weather","sun":true}"#;
    let mut events = Vec::new();
    for event in [START, BLOCK, HELLO, BLOCK_STOP, END, STOP] {
        events.extend([PING, unknown, event]);
    }
    assert_eq!(follow(&events).unwrap().0, "Hello");
}

#[test]
fn thinking_and_other_deltas_are_ignored() {
    let thinking = r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":""}}"#;
    let thought = r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}"#;
    let odd = r#"{"type":"content_block_delta","index":0,"delta":{"type":"odd","text":"no"}}"#;
    let second = BLOCK
        .replace("\"index\":0", "\"index\":1")
        .replace("\"\"", "\"A\"");
    let delta = HELLO.replace("\"index\":0", "\"index\":1");
    let stop = BLOCK_STOP.replace('0', "1");
    let events = [
        START, thinking, thought, odd, BLOCK_STOP, &second, &delta, &stop, END, STOP,
    ];
    assert_eq!(follow(&events).unwrap().0, "AHello");
}

#[test]
fn refusal_may_come_within_a_block() {
    let refusal = END.replace("end_turn", "refusal");
    let reply = follow(&[START, BLOCK, HELLO, &refusal, STOP]).unwrap();
    assert_eq!(
        (reply.0.as_str(), reply.2),
        ("Hello", Some(StopReason::Refusal))
    );
}

#[test]
fn stop_reasons_are_translated() {
    let reasons = [
        ("stop_sequence", StopReason::EndTurn),
        ("max_tokens", StopReason::MaxTokens),
        ("model_context_window_exceeded", StopReason::MaxTokens),
        ("tool_use", StopReason::Other),
        ("pause_turn", StopReason::Other),
    ];
    for (reason, expected) in reasons {
        let end = END.replace("end_turn", reason);
        assert_eq!(follow(&[START, &end, STOP]).unwrap().2, Some(expected));
    }
    let unsaid = END.replace("\"end_turn\"", "null");
    assert_eq!(
        follow(&[START, &unsaid, STOP]).unwrap().2,
        Some(StopReason::Other)
    );
}

#[test]
fn any_other_order_is_a_protocol_error() {
    let other_index = HELLO.replace("\"index\":0", "\"index\":1");
    let wrong: [&[&str]; 11] = [
        &[BLOCK],
        &[HELLO],
        &[END],
        &[STOP],
        &[START, START],
        &[START, HELLO],
        &[START, BLOCK, BLOCK],
        &[START, BLOCK, &other_index],
        &[START, BLOCK, HELLO, END],
        &[START, BLOCK, BLOCK_STOP, STOP],
        &[START, END, BLOCK],
    ];
    for events in wrong {
        assert_eq!(follow(events), Err("model_protocol"), "{events:?}");
    }
}

#[test]
fn malformed_data_is_a_protocol_error() {
    let malformed = [
        "",
        "{",
        "[]",
        "{\"type\":4}",
        r#"{"type":"message_start"}"#,
        r#"{"no":"type"}"#,
    ];
    for data in malformed {
        assert_eq!(follow(&[data]), Err("model_protocol"), "{data}");
    }
}

#[test]
fn error_event_ends_the_reply_with_its_meaning() {
    let error = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    assert_eq!(follow(&[error]), Err("model_overloaded"));
    assert_eq!(
        follow(&[START, BLOCK, HELLO, error]),
        Err("model_overloaded")
    );
}
