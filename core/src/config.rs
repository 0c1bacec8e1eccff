//! Configuration: a typed document of known paths, changed by events.
//!
//! Invariant: every recorded value was valid when it was set; a value never holds a secret, only a
//! reference to one (`env:NAME`). Paths this binary does not know are kept but not used.

use crate::actor::Scope;
use crate::command::Command;
use crate::decide::Draft;
use crate::error::Rejection;
use crate::event::ConfigChanged;
use crate::ids::Seq;
use crate::limits::CONFIG_VALUE_BYTES_MAX;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The configuration after the record `changed`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Config {
    values: BTreeMap<String, String>,
    /// The record that last changed it.
    pub changed: Seq,
}

/// What a value must be.
enum Rule {
    Text { chars_max: usize },
    Integer { min: i64, max: i64 },
    OneOf(&'static [&'static str]),
}

/// The known paths.
const RULES: &[(&str, Rule)] = &[
    ("assistant.name", Rule::Text { chars_max: 64 }),
    ("assistant.instructions", Rule::Text { chars_max: 8_000 }),
    ("model.name", Rule::Text { chars_max: 200 }),
    (
        "model.max_tokens",
        Rule::Integer {
            min: 1,
            max: 65_536,
        },
    ),
    ("storage.ack", Rule::OneOf(&["local", "replicated"])),
    ("run.timeout_s", Rule::Integer { min: 5, max: 3_600 }),
    (
        "telegram.dm_policy",
        Rule::OneOf(&["pairing", "open", "allowlist", "disabled"]),
    ),
    (
        "discord.dm_policy",
        Rule::OneOf(&["pairing", "open", "allowlist", "disabled"]),
    ),
    (
        "slack.dm_policy",
        Rule::OneOf(&["pairing", "open", "allowlist", "disabled"]),
    ),
    ("workspace.exclude", Rule::Text { chars_max: 4_000 }),
];

impl Config {
    /// The text at a path.
    pub fn text(&self, path: &str) -> Option<String> {
        self.value(path)?.as_str().map(str::to_owned)
    }

    /// The number at a path.
    pub fn integer(&self, path: &str) -> Option<i64> {
        self.value(path)?.as_i64()
    }

    fn value(&self, path: &str) -> Option<Value> {
        serde_json::from_str(self.values.get(path)?).ok()
    }

    /// The whole document as nested JSON.
    pub fn to_json(&self) -> Value {
        let mut document = Value::Object(serde_json::Map::new());
        for (path, text) in &self.values {
            let mut place = &mut document;
            for part in path.split('.') {
                let Value::Object(map) = place else { break };
                place = map
                    .entry(part)
                    .or_insert_with(|| Value::Object(serde_json::Map::new()));
            }
            *place = serde_json::from_str(text).unwrap_or_default();
        }
        document
    }

    pub(crate) fn evolve(&mut self, seq: Seq, event: &ConfigChanged) {
        match &event.value {
            Some(value) => self.values.insert(event.path.clone(), value.clone()),
            None => self.values.remove(&event.path),
        };
        self.changed = seq;
    }
}

pub(crate) fn change(
    draft: &mut Draft,
    command: &Command,
    changes: &[(String, Option<String>)],
    base: Option<Seq>,
) -> Result<(), Rejection> {
    draft.require(&command.actor, Scope::Admin)?;
    let config = &draft.state.config;
    if base.is_some_and(|base| base != config.changed) {
        return Err(Rejection::new(
            "config_conflict",
            "config changed since last load; re-run config.get and retry",
        ));
    }
    for (path, value) in changes {
        if let Some(value) = value {
            check(path, value)?;
        }
    }
    // Of several changes of one path the last one counts.
    let wanted: BTreeMap<&String, &Option<String>> = changes.iter().map(|(p, v)| (p, v)).collect();
    for (path, value) in wanted {
        if config.values.get(path) != value.as_ref() {
            draft.push(ConfigChanged {
                path: path.clone(),
                value: value.clone(),
            });
        }
    }
    Ok(())
}

fn check(path: &str, text: &str) -> Result<(), Rejection> {
    let invalid = |why: String| Rejection::new("config_invalid", format!("`{path}` {why}"));
    let Some((_, rule)) = RULES.iter().find(|(known, _)| *known == path) else {
        let known: Vec<&str> = RULES.iter().map(|(path, _)| *path).collect();
        return Err(invalid(format!(
            "is not a setting; there are {}",
            known.join(", ")
        )));
    };
    if text.len() > CONFIG_VALUE_BYTES_MAX {
        return Err(invalid(format!(
            "is longer than {CONFIG_VALUE_BYTES_MAX} bytes"
        )));
    }
    let value: Value =
        serde_json::from_str(text).map_err(|_| invalid("is not a JSON value".to_owned()))?;
    match (rule, &value) {
        (Rule::Text { chars_max }, Value::String(text)) if text.chars().count() <= *chars_max => {
            Ok(())
        }
        (Rule::Text { chars_max }, _) => Err(invalid(format!(
            "must be a text of at most {chars_max} characters"
        ))),
        (Rule::Integer { min, max }, value)
            if value.as_i64().is_some_and(|n| (*min..=*max).contains(&n)) =>
        {
            Ok(())
        }
        (Rule::Integer { min, max }, _) => Err(invalid(format!(
            "must be a whole number from {min} to {max}"
        ))),
        (Rule::OneOf(words), Value::String(text)) if words.contains(&text.as_str()) => Ok(()),
        (Rule::OneOf(words), _) => Err(invalid(format!("must be one of {}", words.join(", ")))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actor::Actor;
    use crate::command::Action;
    use crate::testing::{Scene, device};

    fn set(changes: &[(&str, Option<&str>)], base: Option<Seq>) -> Action {
        let owned =
            |(path, value): &(&str, Option<&str>)| ((*path).to_owned(), value.map(str::to_owned));
        Action::ChangeConfig {
            changes: changes.iter().map(owned).collect(),
            base,
        }
    }

    #[test]
    fn a_value_is_checked_before_it_is_set() {
        let check = |path: &str, value: &str, expected: &str| {
            let action = set(&[(path, Some(value))], None);
            Scene::default().check(&Actor::Local, action, expected);
        };
        check("run.timeout_s", "30", "config_changed");
        check("run.timeout_s", "4", "!config_invalid");
        check("run.timeout_s", "30.5", "!config_invalid");
        check("run.timeout_s", "\"30\"", "!config_invalid");
        check("slack.dm_policy", "\"allowlist\"", "config_changed");
        check("slack.dm_policy", "\"friends\"", "!config_invalid");
        check("assistant.name", "\"Ada\"", "config_changed");
        check(
            "assistant.name",
            &format!("\"{}\"", "x".repeat(65)),
            "!config_invalid",
        );
        check("assistant.name", "Ada", "!config_invalid");
        check("assistant", "\"Ada\"", "!config_invalid");
        let long = format!("\"{}\"", "\\u0041".repeat(8_000));
        check("assistant.instructions", &long, "!config_invalid");
    }

    #[test]
    fn a_change_based_on_an_older_configuration_is_a_conflict() {
        let mut scene = Scene::default();
        let name = |name, base| set(&[("assistant.name", Some(name))], base);
        scene.check(
            &Actor::Local,
            name("\"Ada\"", Some(Seq::ZERO)),
            "config_changed",
        );
        scene.check(
            &Actor::Local,
            name("\"Bob\"", Some(Seq::ZERO)),
            "!config_conflict",
        );
        let base = Some(scene.state.config.changed);
        scene.check(&Actor::Local, name("\"Bob\"", base), "config_changed");
        scene.check(&Actor::Local, name("\"Cy\"", None), "config_changed");
    }

    #[test]
    fn only_an_administrator_changes_it() {
        let mut scene = Scene::founded();
        let change = || set(&[("run.timeout_s", Some("30"))], None);
        scene.check(&device("talker"), change(), "!missing_scope");
        scene.check(&device("admin"), change(), "config_changed");
        scene.check(&device("admin"), change(), "");
    }

    #[test]
    fn changes_are_made_together_and_the_last_of_a_path_counts() {
        let mut scene = Scene::default();
        let (first, second) = (("run.timeout_s", Some("30")), ("run.timeout_s", Some("60")));
        let wrong = ("assistant.name", Some("1"));
        scene.check(&Actor::Local, set(&[first, wrong], None), "!config_invalid");
        scene.check(&Actor::Local, set(&[second], None), "config_changed");
        scene.check(&Actor::Local, set(&[first, second], None), "");
        let both = set(&[("assistant.name", Some("\"Ada\"")), first], None);
        scene.check(&Actor::Local, both, "config_changed config_changed");
        let document = serde_json::json!({"assistant": {"name": "Ada"}, "run": {"timeout_s": 30}});
        assert_eq!(scene.state.config.to_json(), document);
        assert_eq!(scene.state.config.integer("run.timeout_s"), Some(30));
        scene.check(
            &Actor::Local,
            set(&[("run.timeout_s", None)], None),
            "config_changed",
        );
        assert_eq!(scene.state.config.integer("run.timeout_s"), None);
    }
}
