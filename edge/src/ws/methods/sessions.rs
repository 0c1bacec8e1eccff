//! `sessions.*`: the conversations.

use crate::gateway::Running;
use crate::limits::SESSIONS_MAX;
use crate::present;
use crate::stamp;
use crate::ws::frame::{Failure, Params};
use moltbot_core::content::Content;
use moltbot_core::ids::{Seq, SessionId};
use moltbot_core::session::Session;
use serde_json::{Value, json};

/// A line with its words, if they are known.
type End = (Seq, Option<Content>);
/// A session with its first and last line, and whether a run is under way.
type Row = (SessionId, Session, Option<End>, Option<End>, bool);

pub(super) fn list(running: &Running, params: &Params) -> Result<Value, Failure> {
    let limit = params.number_opt("limit")?.map_or(SESSIONS_MAX, |n| {
        usize::try_from(n)
            .unwrap_or(usize::MAX)
            .clamp(1, SESSIONS_MAX)
    });
    let (mut rows, count): (Vec<Row>, usize) = running.view.read(|model| {
        let sessions = &model.state.sessions;
        let mut newest: Vec<_> = sessions.iter().collect();
        newest.sort_unstable_by_key(|(_, session)| std::cmp::Reverse(session.last));
        newest.truncate(limit);
        let row = |(id, session): (&SessionId, &Session)| {
            let words = model.transcripts.words(id).cloned().unwrap_or_default();
            let first = model.transcripts.first(id);
            let first = first.map(|line| (line.seq, words.first));
            let last = model.transcripts.last(id);
            let last = last.map(|line| (line.seq, words.last));
            let is_running = model.state.runs.of_session(id).next().is_some();
            (id.clone(), session.clone(), first, last, is_running)
        };
        (newest.into_iter().map(row).collect(), sessions.len())
    });
    let info = running.model.info();
    let preview = |end: Option<End>| {
        let (seq, words) = end?;
        present::preview(running, words.as_ref(), seq)
    };
    let rows: Vec<Value> = rows
        .drain(..)
        .map(|(id, session, first, last, is_running)| {
            json!({
                "key": session.key,
                "sessionId": id,
                "kind": "direct",
                "derivedTitle": preview(first),
                "lastMessagePreview": preview(last),
                "channel": present::channel(&session.key),
                "updatedAt": session.last_at.0,
                "lastSeq": session.last,
                "running": is_running,
                "modelProvider": info.provider,
                "model": info.model,
            })
        })
        .collect();
    Ok(json!({
        "ts": stamp::now().0,
        "count": count,
        "defaults": { "modelProvider": info.provider, "model": info.model, "contextTokens": null },
        "sessions": rows,
        "shippedSeq": running.shipped_seq(),
    }))
}
