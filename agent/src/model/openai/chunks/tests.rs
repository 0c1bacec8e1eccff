use super::*;

const ROLE: &str =
    r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#;
const HELLO: &str = r#"{"choices":[{"index":0,"delta":{"content":"Hello"},"finish_reason":null}]}"#;
const STOP: &str = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
const USAGE: &str = r#"{"choices":[],"usage":{"prompt_tokens":40,"completion_tokens":7,"prompt_tokens_details":{"cached_tokens":30}}}"#;
const DONE: &str = "[DONE]";

type Reply = (String, Usage, Option<StopReason>);

/// Text, last usage and stop reason of a reply with these chunks, or the error's code.
fn follow(chunks: &[&str]) -> Result<Reply, &'static str> {
    let events = chunks.iter().map(|data| SseEvent {
        name: String::new(),
        data: (*data).to_owned(),
    });
    let key = ApiKey::new("KEY", "plainsecret99").unwrap();
    let mut decoder = Chunks::new();
    let mut out = VecDeque::new();
    for event in events {
        decoder
            .take(&event, std::slice::from_ref(&key), &mut out)
            .map_err(|error| {
                assert!(!error.to_string().contains("plainsecret99"), "{error}");
                error.code()
            })?;
    }
    let mut reply = (String::new(), Usage::default(), None);
    for event in out {
        match event {
            ModelEvent::Delta(text) => {
                assert!(!text.is_empty());
                reply.0.push_str(&text);
            }
            ModelEvent::Usage(usage) => reply.1 = usage,
            ModelEvent::Done(stop) => reply.2 = Some(stop),
        }
    }
    Ok(reply)
}

fn text(chunks: &[&str]) -> Result<String, &'static str> {
    follow(chunks).map(|(text, ..)| text)
}

#[test]
fn published_order_gives_text_usage_and_reason() {
    let usage = Usage {
        input_tokens: 10,
        output_tokens: 7,
        cache_read_tokens: 30,
        cache_write_tokens: 0,
    };
    assert_eq!(
        follow(&[ROLE, HELLO, HELLO, STOP, USAGE, DONE]),
        Ok(("HelloHello".to_owned(), usage, Some(StopReason::EndTurn)))
    );
}

#[test]
fn reasons_have_their_meaning() {
    let reasons = [
        ("stop", StopReason::EndTurn),
        ("length", StopReason::MaxTokens),
        ("content_filter", StopReason::Refusal),
        ("tool_calls", StopReason::Other),
        ("something_new", StopReason::Other),
    ];
    for (reason, stop) in reasons {
        let end = STOP.replace("stop", reason);
        assert_eq!(
            follow(&[HELLO, &end, DONE]).unwrap().2,
            Some(stop),
            "{reason}"
        );
    }
}

#[test]
fn counts_may_be_missing_null_empty_partial_or_in_every_chunk() {
    for usage in ["null", "{}", r#"{"total_tokens":null}"#] {
        let chunk = format!(r#"{{"choices":[],"usage":{usage}}}"#);
        let reply = follow(&[HELLO, STOP, &chunk, DONE]).unwrap();
        assert_eq!((reply.0.as_str(), reply.1), ("Hello", Usage::default()));
    }
    let early = r#"{"choices":[{"index":0,"delta":{"content":"a"}}],"usage":{"prompt_tokens":4,"completion_tokens":1}}"#;
    assert_eq!(follow(&[early]).unwrap().1.output_tokens, 1);
    assert_eq!(
        follow(&[early, STOP, USAGE, DONE]).unwrap().1.output_tokens,
        7
    );
    let alone = r#"{"usage":{"completion_tokens":3}}"#;
    assert_eq!(follow(&[HELLO, STOP, alone]).unwrap().1.output_tokens, 3);
    let odd =
        r#"{"choices":[],"usage":{"prompt_tokens":1,"prompt_tokens_details":{"cached_tokens":9}}}"#;
    assert_eq!(follow(&[odd]).unwrap().1.input_tokens, 0);
}

#[test]
fn what_carries_no_text_is_ignored() {
    let quiet = [
        r#"{"choices":[]}"#,
        r#"{"choices":[],"prompt_filter_results":[{"prompt_index":0}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":null}}],"error":null}"#,
        r#"{"choices":[{"index":0,"delta":{"reasoning":"hm","reasoning_content":"hm"}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0}]}}]}"#,
        r#"{"choices":[{"index":0,"content_filter_results":{}}]}"#,
        r#"{"choices":[{"index":0,"delta":null,"finish_reason":""}]}"#,
        r#"{"choices":[{"index":0,"delta":{"refusal":null},"finish_reason":"null"}]}"#,
        r#"{"choices":[{"index":1,"delta":{"content":"another answer"}}]}"#,
    ];
    for chunk in quiet {
        let reply = follow(&[chunk, HELLO, chunk]).unwrap();
        assert_eq!((reply.0.as_str(), reply.2), ("Hello", None), "{chunk}");
    }
}

#[test]
fn text_is_found_in_every_shape() {
    let parts = r#"{"choices":[{"delta":{"content":[{"type":"text","text":"a"},{"type":"thinking","thinking":[]},{"type":"text","text":"b"}]}}]}"#;
    assert_eq!(text(&[parts]).as_deref(), Ok("ab"));
    let number = r#"{"choices":[{"index":0,"delta":{"content":42}}]}"#;
    assert_eq!(text(&[HELLO, number]).as_deref(), Ok("Hello42"));
    let message =
        r#"{"choices":[{"index":0,"message":{"content":"Hello"},"finish_reason":"stop"}]}"#;
    assert_eq!(text(&[message]).as_deref(), Ok("Hello"));
    assert_eq!(text(&[HELLO, message]).as_deref(), Ok("Hello"), "not twice");
    for odd in [r#"{"a":1}"#, "true"] {
        let chunk = format!(r#"{{"choices":[{{"delta":{{"content":{odd}}}}}]}}"#);
        assert_eq!(text(&[&chunk]), Err("model_protocol"), "{odd}");
    }
}

#[test]
fn a_refusal_in_words_is_shown_and_named() {
    let refusal = r#"{"choices":[{"index":0,"delta":{"refusal":"I cannot."}}]}"#;
    let reply = follow(&[refusal, STOP, DONE]).unwrap();
    assert_eq!(
        (reply.0.as_str(), reply.2),
        ("I cannot.", Some(StopReason::Refusal))
    );
}

#[test]
fn the_end_mark_alone_ends_an_answer_that_began() {
    assert_eq!(follow(&[HELLO, DONE]).unwrap().2, Some(StopReason::Other));
    assert_eq!(follow(&[DONE]), Err("model_protocol"));
}

#[test]
fn an_answer_is_finished_by_its_reason_only() {
    let finished = |chunks: &[&str]| {
        let mut decoder = Chunks::new();
        for data in chunks {
            let event = SseEvent {
                name: String::new(),
                data: (*data).to_owned(),
            };
            decoder.take(&event, &[], &mut VecDeque::new()).unwrap();
        }
        decoder.finished()
    };
    assert_eq!(finished(&[]), None);
    assert_eq!(finished(&[ROLE, HELLO, USAGE]), None);
    assert_eq!(finished(&[HELLO, STOP]), Some(StopReason::EndTurn));
}

#[test]
fn errors_are_recognised_in_every_shape_and_show_no_key() {
    let errors = [
        (
            r#"{"error":{"message":"key plainsecret99","type":"server_error"}}"#,
            "model_unavailable",
        ),
        (
            r#"{"error":{"code":429,"message":"slow down"},"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}"#,
            "model_rate_limited",
        ),
        (
            r#"{"choices":[{"index":0,"delta":{},"finish_reason":"error"}]}"#,
            "model_unavailable",
        ),
        (
            r#"{"object":"error","message":"plainsecret99","type":"BadRequestError","code":400}"#,
            "model_bad_request",
        ),
        (
            r#"{"success":false,"errors":[{"code":3040,"message":"Capacity"}]}"#,
            "model_unavailable",
        ),
        ("not json plainsecret99", "model_protocol"),
        ("[1]", "model_protocol"),
        (r#"{"response":"a native reply"}"#, "model_protocol"),
        (r#"{"choices":"none"}"#, "model_protocol"),
    ];
    for (chunk, code) in errors {
        assert_eq!(follow(&[HELLO, chunk]), Err(code), "{chunk}");
    }
    let named = SseEvent {
        name: "error".to_owned(),
        data: r#"{"message":"overloaded","type":"overloaded_error"}"#.to_owned(),
    };
    let mut out = VecDeque::new();
    let error = Chunks::new().take(&named, &[], &mut out).unwrap_err();
    assert_eq!(error.code(), "model_overloaded");
}
