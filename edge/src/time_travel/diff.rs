//! What changed between two values: added, removed, changed, with before and after.
//!
//! Invariant: applied to the first value, the changes give the second. Objects are compared member by
//! member, lists by what stands between their common beginning and end; sealed content as a whole.

use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// What happened to a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It has another value.
    Changed,
}

/// A change of one place.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// What happened.
    pub change: Kind,
    /// Names of members and positions in lists, from the outside in; the first is the part.
    pub path: Vec<String>,
    /// What was there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// What is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// The changes from one value to another, sorted by place.
pub fn diff(before: &Value, after: &Value) -> Vec<Change> {
    let mut changes = Changes::default();
    changes.compare(before, after);
    changes.found
}

#[derive(Default)]
struct Changes {
    path: Vec<String>,
    found: Vec<Change>,
}

impl Changes {
    fn compare(&mut self, before: &Value, after: &Value) {
        match (before, after) {
            (before, after) if before == after => {}
            (Value::Object(old), Value::Object(new)) if !is_content(old) && !is_content(new) => {
                let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
                for name in names {
                    self.at(name, old.get(name), new.get(name));
                }
            }
            (Value::Array(old), Value::Array(new)) => self.compare_lists(old, new),
            _ => self.note(Some(before), Some(after)),
        }
    }

    fn compare_lists(&mut self, old: &[Value], new: &[Value]) {
        let same_start = old.iter().zip(new).take_while(|(a, b)| a == b).count();
        let (old_rest, new_rest) = (old.split_at(same_start).1, new.split_at(same_start).1);
        let ends = old_rest.iter().rev().zip(new_rest.iter().rev());
        let same_end = ends.take_while(|(a, b)| a == b).count();
        let (old_end, new_end) = (old_rest.len() - same_end, new_rest.len() - same_end);
        for n in 0..old_end.max(new_end) {
            let old_item = old_rest.get(n).filter(|_| n < old_end);
            let new_item = new_rest.get(n).filter(|_| n < new_end);
            self.at(&(same_start + n).to_string(), old_item, new_item);
        }
    }

    fn at(&mut self, name: &str, before: Option<&Value>, after: Option<&Value>) {
        self.path.push(name.to_owned());
        match (before, after) {
            (Some(before), Some(after)) => self.compare(before, after),
            (before, after) => self.note(before, after),
        }
        self.path.pop();
    }

    fn note(&mut self, before: Option<&Value>, after: Option<&Value>) {
        let change = match (before, after) {
            (None, _) => Kind::Added,
            (_, None) => Kind::Removed,
            _ => Kind::Changed,
        };
        self.found.push(Change {
            change,
            path: self.path.clone(),
            before: before.cloned(),
            after: after.cloned(),
        });
    }
}

fn is_content(members: &Map<String, Value>) -> bool {
    members.len() == 2 && members.contains_key("key") && members.contains_key("sealed")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(before: &Value, after: &Value, expected: &[&str]) {
        let line = |change: &Change| {
            let place = change.path.join("/");
            match (&change.before, &change.after) {
                (None, Some(after)) => format!("+ {place}: {after}"),
                (Some(before), None) => format!("- {place}: {before}"),
                (Some(before), Some(after)) => format!("~ {place}: {before} {after}"),
                (None, None) => format!("? {place}"),
            }
        };
        let lines: Vec<String> = diff(before, after).iter().map(line).collect();
        assert_eq!(lines, expected);
        assert_eq!(diff(after, before).len(), expected.len(), "and back");
    }

    #[test]
    fn members_are_added_removed_and_changed_at_their_place() {
        let before = json!({ "a": { "x": 1, "y": [1], "z": {} }, "b": {} });
        let after = json!({ "a": { "x": 2, "y": [1], "w": { "k": 1 } }, "b": {} });
        check(
            &before,
            &after,
            &["+ a/w: {\"k\":1}", "~ a/x: 1 2", "- a/z: {}"],
        );
        check(&before, &before, &[]);
    }

    #[test]
    fn of_a_list_only_what_differs_counts() {
        check(&json!([1, 2]), &json!([1, 2, 3]), &["+ 2: 3"]);
        check(&json!([1, 2, 3]), &json!([1, 3]), &["- 1: 2"]);
        check(
            &json!([0, 1, 2]),
            &json!([1, 2, 3]),
            &["~ 0: 0 1", "~ 1: 1 2", "~ 2: 2 3"],
        );
        check(
            &json!([{ "a": 1 }, 2]),
            &json!([{ "a": 3 }, 2]),
            &["~ 0/a: 1 3"],
        );
        check(&json!([]), &json!({}), &["~ : [] {}"]);
    }

    #[test]
    fn sealed_content_is_one_thing() {
        let sealed = |text: &str| json!({ "n": { "key": "k", "sealed": text } });
        let expected = "~ n: {\"key\":\"k\",\"sealed\":\"00\"} {\"key\":\"k\",\"sealed\":\"01\"}";
        check(&sealed("00"), &sealed("01"), &[expected]);
    }
}
