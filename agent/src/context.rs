//! What of a conversation goes with a question; pure.
//!
//! Invariants of the result, which providers ask for: it begins and ends with a user turn, roles
//! alternate, no turn is blank, and all texts together stay within the budget.

use crate::model::{Role, Turn};

const JOINT: &str = "\n\n";

/// The newest turns of a conversation (oldest first) that fit into `chars_max` characters.
///
/// Assistant turns after the last user turn are dropped: there is nothing to answer after them. If
/// even the newest turn is too long, its beginning and its end are kept. Without any user turn the
/// result is empty.
pub fn newest_turns(turns: &[Turn], chars_max: usize) -> Vec<Turn> {
    let mut chars_left = chars_max;
    let mut kept: Vec<Turn> = Vec::new();
    let asked = turns
        .iter()
        .rev()
        .filter(|turn| !turn.text.trim().is_empty())
        .skip_while(|turn| turn.role == Role::Assistant);
    for turn in asked {
        let joint = if kept.is_empty() { 0 } else { JOINT.len() };
        let chars = turn.text.chars().count() + joint;
        if chars <= chars_left {
            chars_left -= chars;
            kept.push(turn.clone());
        } else {
            if kept.is_empty() {
                kept.extend(shortened(turn, chars_max));
            }
            break;
        }
    }
    while kept
        .last()
        .is_some_and(|oldest| oldest.role == Role::Assistant)
    {
        kept.pop();
    }
    kept.reverse();
    merged(kept)
}

/// The turn with its middle left out, or nothing if what is left would be blank.
fn shortened(turn: &Turn, chars_max: usize) -> Option<Turn> {
    let chars = turn.text.chars().count();
    let mark = format!("{JOINT}[… {chars} characters, the middle left out …]{JOINT}");
    let room = chars_max.saturating_sub(mark.chars().count());
    let text: String = if room == 0 {
        turn.text.chars().take(chars_max).collect()
    } else {
        let tail = room / 2;
        let head = turn.text.chars().take(room - tail);
        head.chain(mark.chars())
            .chain(turn.text.chars().skip(chars - tail))
            .collect()
    };
    (!text.trim().is_empty()).then_some(Turn {
        role: turn.role,
        text,
    })
}

/// Joins neighbours of the same role: two questions in a row are one turn to a provider.
fn merged(turns: Vec<Turn>) -> Vec<Turn> {
    let mut out: Vec<Turn> = Vec::with_capacity(turns.len());
    for turn in turns {
        match out.last_mut() {
            Some(last) if last.role == turn.role => {
                last.text.push_str(JOINT);
                last.text.push_str(&turn.text);
            }
            _ => out.push(turn),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `u:` and `a:` prefixed texts, separated by ` | `.
    fn conversation(text: &str) -> Vec<Turn> {
        let turn = |part: &str| match part.split_once(':').unwrap() {
            ("u", text) => Turn::user(text),
            (_, text) => Turn::assistant(text),
        };
        text.split(" | ")
            .filter(|part| !part.is_empty())
            .map(turn)
            .collect()
    }

    fn check(turns: &str, chars_max: usize, expected: &str) {
        assert_eq!(
            newest_turns(&conversation(turns), chars_max),
            conversation(expected)
        );
    }

    #[test]
    fn newest_turns_are_kept_and_begin_with_the_user() {
        check("u:one | a:two | u:three", 100, "u:one | a:two | u:three");
        check("u:one | a:two | u:three", 10, "u:three");
        check("a:hello | u:one", 100, "u:one");
        check("u:old | a:older | u:new", 12, "u:new");
    }

    #[test]
    fn neighbours_merge_and_blanks_vanish() {
        check("u:one | u:two | a: | u:three", 100, "u:one\n\ntwo\n\nthree");
        check(
            "u:one | a:two | a:three | u:four",
            100,
            "u:one | a:two\n\nthree | u:four",
        );
    }

    #[test]
    fn nothing_to_answer_gives_nothing() {
        check("", 100, "");
        check("a:hello", 100, "");
        check("u:one | a:two", 100, "u:one");
        check("u:one", 0, "");
    }

    #[test]
    fn too_long_question_keeps_both_ends() {
        let question = format!("{}{}{}", "a".repeat(50), "b".repeat(900), "c".repeat(50));
        let turns = newest_turns(&[Turn::user(&question)], 150);
        assert_eq!(turns.len(), 1);
        assert!(turns[0].text.starts_with("aaaa") && turns[0].text.ends_with("cccc"));
        assert!(turns[0].text.contains("1000 characters"));
        assert_eq!(turns[0].text.chars().count(), 150);
    }

    proptest! {
        #[test]
        fn result_holds_its_invariants(
            turns in prop::collection::vec((any::<bool>(), ".{0,60}"), 0..12),
            chars_max in 0_usize..300,
        ) {
            let turns: Vec<Turn> = turns
                .into_iter()
                .map(|(user, text)| if user { Turn::user(text) } else { Turn::assistant(text) })
                .collect();
            let kept = newest_turns(&turns, chars_max);
            prop_assert!(kept.iter().map(|t| t.text.chars().count()).sum::<usize>() <= chars_max);
            prop_assert!(kept.iter().all(|turn| !turn.text.trim().is_empty()));
            for (i, turn) in kept.iter().enumerate() {
                let expected = if i % 2 == 0 { Role::User } else { Role::Assistant };
                prop_assert_eq!(turn.role, expected);
            }
            prop_assert!(kept.is_empty() || kept.len() % 2 == 1);
        }
    }
}
