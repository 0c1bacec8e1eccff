//! What the admin API lists: finding the row a person means, deciding about it, printing it.

use super::client::call;
use super::say;
use crate::exit::{Exit, Failure};
use crate::settings::Settings;
use reqwest::Method;
use serde_json::Value;

/// Digits of an id that are enough to mean it.
const ID_CHARS_MIN: usize = 6;
/// Characters of an id that are printed.
const ID_CHARS_PRINTED: usize = 12;

/// Everyone who was let in or wants to be: devices, and people under `peers`.
pub(super) async fn list(settings: &Settings) -> Result<Value, Failure> {
    call(settings, Method::GET, "devices").await
}

/// The rows below a name of a list.
pub(super) fn rows(list: &Value, name: &str) -> Vec<Value> {
    list[name].as_array().cloned().unwrap_or_default()
}

/// Who waits and is meant by this request id or code, however the code is spelled.
pub(super) fn waiting<'a>(rows: &'a [Value], wanted: &str) -> Option<&'a Value> {
    let code = wanted.replace('-', "").to_uppercase();
    let mut rows = rows.iter();
    rows.find(|row| row["requestId"] == wanted || row["code"] == code.as_str())
}

/// The only row whose id begins like this.
pub(super) fn beginning<'a>(
    rows: &'a [Value],
    id_name: &str,
    wanted: &str,
) -> Result<&'a Value, String> {
    let wanted = wanted.to_lowercase();
    let begins = |row: &&Value| id(row, id_name).to_lowercase().starts_with(&wanted);
    let found: Vec<&Value> = match wanted.len() {
        ID_CHARS_MIN.. => rows.iter().filter(begins).collect(),
        _ => Vec::new(),
    };
    match found.as_slice() {
        [row] => Ok(row),
        _ => Err(format!(
            "{} have an id that begins with `{wanted}` (give at least {ID_CHARS_MIN} digits)",
            found.len()
        )),
    }
}

/// Nobody is meant; `see` is the command that shows who could be.
pub(super) fn nobody(why: &str, see: &str) -> Failure {
    Failure::new(Exit::Configuration, format!("{why}; see: moltbot {see}"))
}

/// Has something done about a row, and says what was.
pub(super) async fn decide(
    settings: &Settings,
    path: &str,
    row: &Value,
    name: &str,
) -> Result<(), Failure> {
    let reply = call(settings, Method::POST, path).await?;
    let pending = match reply["replication"].as_str() {
        Some("pending_replication") => " (in effect; not in the replica yet)",
        _ => "",
    };
    say(format_args!(
        "{}: {}{pending}",
        text(&reply, "message"),
        self::name(row, name)
    ));
    Ok(())
}

/// An id as the API takes it.
pub(super) fn id(row: &Value, name: &str) -> String {
    row[name].as_str().unwrap_or_default().to_owned()
}

/// The beginning of an id, to be printed.
pub(super) fn short_id(row: &Value, name: &str) -> String {
    text(row, name).chars().take(ID_CHARS_PRINTED).collect()
}

/// What somebody is called, or that it was forgotten.
pub(super) fn name(row: &Value, name: &str) -> String {
    if row["nameForgotten"] == true {
        return "(name forgotten)".to_owned();
    }
    text(row, name)
}

/// A text as it may be printed. Strangers choose names and messages: nothing in them may move the
/// cursor, colour the terminal, turn the direction of writing or begin a line that looks like ours.
pub(super) fn text(row: &Value, name: &str) -> String {
    let words = row[name].as_str().unwrap_or_default();
    let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let harmless = words.chars().filter(|c| !turns(*c));
    harmless
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_row_is_found_by_request_by_code_or_by_the_beginning_of_its_id() {
        let rows = [
            json!({ "requestId": "r1", "code": "KX49TB", "peerId": "abcdef01" }),
            json!({ "requestId": "r2", "code": "M7QWZ2", "peerId": "abcdef02" }),
        ];
        for wanted in ["r2", "m7qwz2", "M7Q-WZ2"] {
            assert_eq!(waiting(&rows, wanted).unwrap()["requestId"], "r2");
        }
        assert!(waiting(&rows, "r3").is_none());
        assert_eq!(
            beginning(&rows, "peerId", "ABCDEF02").unwrap()["requestId"],
            "r2"
        );
        for (unclear, found) in [("abcdef", "2 have"), ("abc", "0 have"), ("", "0 have")] {
            let why = beginning(&rows, "peerId", unclear).unwrap_err();
            assert!(why.starts_with(found), "{why}");
        }
    }

    #[test]
    fn what_a_stranger_wrote_cannot_touch_the_terminal() {
        let row = json!({ "name": "Li\u{1b}[2J\n\u{202e}waiting" });
        assert_eq!(text(&row, "name"), "Li [2J waiting");
    }
}
