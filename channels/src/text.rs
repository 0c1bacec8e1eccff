//! Cuts a reply into messages that a platform takes.
//!
//! Invariant: the pieces, put together, are the text; none is longer than the limit; a code block
//! that is cut is closed and opened again, so every piece reads well by itself.

/// The fence of a code block.
const FENCE: &str = "```";

/// Cuts a text into pieces of at most `chars_max` characters: between paragraphs if possible, else
/// between lines, else between words, at last anywhere between characters.
///
/// `chars_max` must leave room for a fence; below 16 it counts as 16.
pub fn split(text: &str, chars_max: usize) -> Vec<String> {
    let chars_max = chars_max.max(16);
    let mut pieces = Vec::new();
    let mut rest = text;
    let mut fence: Option<String> = None;
    while !rest.is_empty() {
        let opening = fence
            .as_ref()
            .map(|fence| format!("{fence}\n"))
            .unwrap_or_default();
        let closing = format!("\n{FENCE}");
        let room = chars_max - opening.chars().count() - closing.chars().count();
        let whole = rest.chars().count() + opening.chars().count() <= chars_max;
        let (head, tail) = if whole { (rest, "") } else { cut(rest, room) };
        let mut piece = format!("{opening}{head}");
        fence = open_fence(&piece).filter(|_| !tail.is_empty());
        if fence.is_some() {
            piece.push_str(&closing);
        }
        pieces.push(piece);
        rest = tail;
    }
    pieces
}

/// The best place within the first `room` characters; the separator goes with neither side.
fn cut(text: &str, room: usize) -> (&str, &str) {
    let end = text
        .char_indices()
        .nth(room)
        .map_or(text.len(), |(at, _)| at);
    let window = text.get(..end).unwrap_or(text);
    for separator in ["\n\n", "\n", " "] {
        // A cut in the first half would leave too little in the piece.
        let found = window.rfind(separator).filter(|at| *at > window.len() / 2);
        if let Some((head, tail)) = found.and_then(|at| text.split_at_checked(at)) {
            return (head, tail.strip_prefix(separator).unwrap_or(tail));
        }
    }
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// The opening line of the code block that is open at the end of a piece, at most ten characters
/// of it.
fn open_fence(piece: &str) -> Option<String> {
    let mut open = None;
    for line in piece
        .lines()
        .map(str::trim_start)
        .filter(|line| line.starts_with(FENCE))
    {
        open = match open {
            None => Some(line.chars().take(10).collect()),
            Some(_) => None,
        };
    }
    open
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, chars_max: usize, expected: &[&str]) {
        let pieces = split(text, chars_max);
        assert_eq!(pieces, expected);
        assert!(
            pieces
                .iter()
                .all(|piece| piece.chars().count() <= chars_max),
            "{pieces:?}"
        );
    }

    #[test]
    fn short_texts_stay_whole() {
        check("hello", 20, &["hello"]);
        check("", 20, &[]);
    }

    #[test]
    fn cuts_fall_between_paragraphs_lines_and_words() {
        check(
            "one two three\n\nfour five six",
            20,
            &["one two three", "four five six"],
        );
        check(
            "one two three four five",
            20,
            &["one two three", "four five"],
        );
        check(
            &"你好".repeat(11),
            20,
            &[&"你好".repeat(8), &"你好".repeat(3)],
        );
    }

    #[test]
    fn a_cut_code_block_is_closed_and_opened_again() {
        let pieces = split("```rust\nlet a = 1;\nlet b = 2;\nlet c = 3;\n```", 30);
        assert!(pieces.len() > 1);
        for piece in &pieces {
            assert_eq!(piece.matches(FENCE).count(), 2, "{piece}");
            assert!(piece.starts_with("```rust"), "{piece}");
        }
    }
}
