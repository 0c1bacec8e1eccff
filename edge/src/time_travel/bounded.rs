//! As much of a value as fits an answer, and what was left out.
//!
//! Invariant: what is left is in its place and unaltered; every place where something is missing is
//! named, with how many members or items are missing there, so that they can be asked for.

use serde::Serialize;
use serde_json::{Map, Value};

/// Something is missing here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Omitted {
    /// Names of members and positions in lists, from the outside in.
    pub path: Vec<String>,
    /// How many members or items of it are missing.
    pub count: usize,
}

/// The value at a path, and of an object only what comes after the member `after`, of a list what
/// comes after that position. `None` when there is no such place.
pub fn at(value: &Value, path: &[String], after: Option<&str>) -> Option<Value> {
    let place = path.iter().try_fold(value, |place, name| match place {
        Value::Array(items) => items.get(name.parse::<usize>().ok()?),
        place => place.get(name),
    })?;
    Some(match (place, after) {
        (Value::Object(members), Some(after)) => {
            let rest = members.iter().filter(|(name, _)| name.as_str() > after);
            Value::Object(rest.map(|(n, v)| (n.clone(), v.clone())).collect())
        }
        (Value::Array(items), Some(after)) => {
            let skipped = after.parse::<usize>().ok()?.saturating_add(1);
            Value::Array(items.iter().skip(skipped).cloned().collect())
        }
        (place, _) => place.clone(),
    })
}

/// Leaves out what does not fit: of an object or list its last members, of one that is the first
/// not to fit its last ones in turn.
pub fn fit(value: &mut Value, bytes_max: usize) -> Vec<Omitted> {
    let mut fitting = Fitting {
        path: Vec::new(),
        omitted: Vec::new(),
    };
    fitting.fit(value, bytes_max);
    fitting.omitted
}

/// As [`fit`] for an object whose members are of different kinds: those that are small stay whole, the
/// large ones share what is left.
pub fn fit_parts(value: &mut Value, bytes_max: usize) -> Vec<Omitted> {
    let Value::Object(parts) = value else {
        return fit(value, bytes_max);
    };
    let mut by_size: Vec<(String, &mut Value)> =
        parts.iter_mut().map(|(n, v)| (n.clone(), v)).collect();
    by_size.sort_by_key(|(_, part)| size_of(part));
    let (mut left, mut waiting) = (bytes_max, by_size.len());
    let mut fitting = Fitting {
        path: Vec::new(),
        omitted: Vec::new(),
    };
    for (name, part) in by_size {
        let around = name.len() + 4;
        let share = (left / waiting.max(1)).saturating_sub(around);
        fitting.path = vec![name];
        left = left.saturating_sub(fitting.fit(part, share) + around);
        waiting -= 1;
    }
    fitting.omitted
}

struct Fitting {
    path: Vec<String>,
    omitted: Vec<Omitted>,
}

impl Fitting {
    /// Bytes that the value takes now.
    fn fit(&mut self, value: &mut Value, room: usize) -> usize {
        let size = size_of(value);
        if size <= room {
            return size;
        }
        match value {
            Value::Object(members) => {
                let all = std::mem::take(members).into_iter();
                *members = self.keep(all, room).into_iter().collect();
            }
            Value::Array(items) => {
                let all = std::mem::take(items).into_iter().enumerate();
                let all = all.map(|(n, item)| (n.to_string(), item));
                let kept = self.keep(all, room).into_iter();
                *items = kept.map(|(_, item)| item).collect();
            }
            _ => {
                *value = Value::Null;
                self.leave_out(1);
            }
        }
        size_of(value)
    }

    fn keep(
        &mut self,
        all: impl Iterator<Item = (String, Value)>,
        room: usize,
    ) -> Vec<(String, Value)> {
        let mut all = all.fuse();
        let mut kept = Vec::new();
        let mut left = room;
        for (name, mut item) in all.by_ref() {
            // A name, its quotes, colon and comma.
            let around = name.len() + 4;
            let size = size_of(&item);
            if size + around <= left {
                left -= size + around;
                kept.push((name, item));
                continue;
            }
            let is_container = matches!(&item, Value::Object(_) | Value::Array(_));
            if !is_container || left < around + EMPTY_BYTES {
                self.leave_out(1 + all.by_ref().count());
                return kept;
            }
            self.path.push(name.clone());
            let size = self.fit(&mut item, left - around);
            self.path.pop();
            left = left.saturating_sub(size + around);
            kept.push((name, item));
        }
        kept
    }

    fn leave_out(&mut self, count: usize) {
        self.omitted.push(Omitted {
            path: self.path.clone(),
            count,
        });
    }
}

/// Room below which an object is left out as a whole.
const EMPTY_BYTES: usize = 64;

fn size_of(value: &Value) -> usize {
    match value {
        Value::Object(members) => object_size(members),
        Value::Array(items) => 2 + items.iter().map(|item| size_of(item) + 1).sum::<usize>(),
        other => other.to_string().len(),
    }
}

fn object_size(members: &Map<String, Value>) -> usize {
    let one = |(name, value): (&String, &Value)| name.len() + 4 + size_of(value);
    2 + members.iter().map(one).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn many(count: usize) -> Value {
        let members = (0..count).map(|n| {
            (
                format!("id{n:04}"),
                json!({ "n": n, "text": "x".repeat(40) }),
            )
        });
        Value::Object(members.collect())
    }

    #[test]
    fn what_fits_is_left_alone() {
        let whole = json!({ "a": [1, 2], "b": {} });
        let mut value = whole.clone();
        assert_eq!(fit(&mut value, 1_000), []);
        assert_eq!(value, whole);
    }

    #[test]
    fn what_does_not_fit_is_named_and_can_be_asked_for() {
        let whole =
            json!({ "config": { "a": 1 }, "devices": many(100), "runs": {}, "sessions": many(50) });
        for room in [200, 1_000, 3_000, 8_000] {
            let mut value = whole.clone();
            let omitted = fit(&mut value, room);
            assert!(
                value.to_string().len() <= room,
                "{room}: {}",
                value.to_string().len()
            );
            assert!(!omitted.is_empty());
            let mut seen = 0;
            for place in &omitted {
                let there = at(&value, &place.path, None).unwrap();
                let last = there
                    .as_object()
                    .and_then(|there| there.keys().next_back().cloned());
                let rest = at(&whole, &place.path, last.as_deref()).unwrap();
                assert_eq!(rest.as_object().unwrap().len(), place.count);
                seen += place.count;
            }
            assert!(seen > 0);
        }
        assert_eq!(
            at(&whole, &["config".into(), "a".into()], None),
            Some(json!(1))
        );
        assert_eq!(at(&whole, &["nothing".into()], None), None);
        assert_eq!(at(&json!([1, 2, 3]), &[], Some("0")), Some(json!([2, 3])));
    }

    #[test]
    fn a_large_part_does_not_push_the_small_ones_out() {
        let whole = json!({ "a": many(500), "b": { "k": 1 }, "c": many(100), "d": {} });
        let mut value = whole.clone();
        let omitted = fit_parts(&mut value, 20_000);
        assert!(value.to_string().len() <= 20_000);
        assert_eq!(
            (&value["b"], &value["c"], &value["d"]),
            (&whole["b"], &whole["c"], &whole["d"])
        );
        assert_eq!(omitted.len(), 1);
        assert_eq!(omitted[0].path, ["a"]);
        assert_eq!(
            value["a"].as_object().unwrap().len() + omitted[0].count,
            500
        );
    }

    #[test]
    fn a_list_is_cut_at_its_end_and_a_text_is_left_out() {
        let mut value = json!({ "list": (0..100).collect::<Vec<_>>() });
        let omitted = fit(&mut value, 120);
        assert_eq!(omitted.len(), 1);
        assert_eq!(omitted[0].path, ["list"]);
        assert_eq!(
            value["list"].as_array().unwrap().len() + omitted[0].count,
            100
        );
        let mut value = json!("x".repeat(100));
        assert_eq!(fit(&mut value, 50).len(), 1);
        assert_eq!(value, Value::Null);
    }
}
