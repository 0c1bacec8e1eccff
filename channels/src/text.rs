//! Where a text is cut so that every part fits one message of a platform.
//!
//! Invariant: the parts are in order and do not overlap; none is longer than the limit; what lies
//! between them is white space; no grapheme is cut, unless it alone is longer than the limit.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation as _;

/// What a platform counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// UTF-16 code units.
    Utf16,
    /// Unicode scalar values.
    Char,
}

impl Unit {
    /// Length of a text.
    pub fn count(self, text: &str) -> usize {
        match self {
            Self::Utf16 => text.encode_utf16().count(),
            Self::Char => text.chars().count(),
        }
    }
}

/// Cuts a text into byte ranges of at most `max` units: between paragraphs if possible, else
/// between lines, else between words, at last between graphemes. White space around a cut belongs
/// to no part; a part is never blank. `max` below 2 counts as 2 (one character of any kind).
pub fn split(text: &str, max: usize, unit: Unit) -> Vec<Range<usize>> {
    let max = max.max(2);
    let mut parts = Vec::new();
    let mut start = 0;
    while let Some(rest) = text.get(start..).filter(|rest| !rest.is_empty()) {
        let (head, tail) = cut(rest, max, unit);
        let blank_lines = leading_blank_lines(rest.get(..head).unwrap_or_default());
        let part = rest.get(blank_lines..head).unwrap_or_default().trim_end();
        if !part.is_empty() {
            parts.push(start + blank_lines..start + blank_lines + part.len());
        }
        start += tail;
    }
    parts
}

/// Bytes of the lines at the beginning that hold nothing; the indentation of the first other line
/// stays.
fn leading_blank_lines(text: &str) -> usize {
    let content = text.len() - text.trim_start().len();
    let blank = text.get(..content).unwrap_or_default();
    blank.rfind('\n').map_or(0, |at| at + 1)
}

/// Where the first part ends and where the next begins, in bytes.
fn cut(text: &str, max: usize, unit: Unit) -> (usize, usize) {
    let mut count = 0;
    // The last place of each kind, best kind first: end of the head, begin of the tail.
    let mut places: [Option<(usize, usize)>; 3] = [None; 3];
    let mut after_line = false;
    for (at, grapheme) in text.grapheme_indices(true) {
        let end = at + grapheme.len();
        let is_line = matches!(grapheme, "\n" | "\r\n");
        let place = Some((at, end));
        // A separator may lie just beyond the limit: it goes with neither side.
        match &mut places {
            [paragraph, _, _] if is_line && after_line => *paragraph = place,
            [_, line, _] if is_line => *line = place,
            [_, _, word] if grapheme == " " => *word = place,
            _ => {}
        }
        after_line = is_line;
        count += unit.count(grapheme);
        if count > max {
            return best(&places, at).unwrap_or_else(|| anywhere(text, at, max, unit));
        }
    }
    (text.len(), text.len())
}

/// The best place that does not leave more than half of the room empty; else the last one.
fn best(places: &[Option<(usize, usize)>; 3], room: usize) -> Option<(usize, usize)> {
    let known = || places.iter().flatten().copied().filter(|place| place.0 > 0);
    known()
        .find(|place| place.0 > room / 2)
        .or_else(|| known().max_by_key(|place| place.0))
}

/// Before the grapheme at `at`; within it when it is the first.
fn anywhere(text: &str, at: usize, max: usize, unit: Unit) -> (usize, usize) {
    if at > 0 {
        return (at, at);
    }
    let mut end = 0;
    let mut count = 0;
    for c in text.chars() {
        count += unit.count(c.encode_utf8(&mut [0; 4]));
        if count > max {
            break;
        }
        end += c.len_utf8();
    }
    (end, end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, max: usize, expected: &[&str]) {
        let parts = split(text, max, Unit::Utf16);
        let parts: Vec<&str> = parts.into_iter().map(|part| &text[part]).collect();
        assert_eq!(parts, expected);
    }

    #[test]
    fn short_texts_stay_whole_and_blank_ones_vanish() {
        check("hello", 20, &["hello"]);
        check("", 20, &[]);
        check(" \n\n  ", 20, &[]);
    }

    #[test]
    fn cuts_fall_between_paragraphs_lines_and_words() {
        check("one two three\n\nfour", 18, &["one two three", "four"]);
        check(
            "one two\nthree four five",
            12,
            &["one two", "three four", "five"],
        );
        check(
            "one two three four five",
            20,
            &["one two three four", "five"],
        );
        check("aaaaa bbbbb", 5, &["aaaaa", "bbbbb"]);
        check(&"你好".repeat(11), 20, &[&"你好".repeat(10), "你好"]);
    }

    #[test]
    fn indentation_of_the_next_line_is_kept() {
        check("fn a() {\n    b();\n}", 10, &["fn a() {", "    b();\n}"]);
    }

    #[test]
    fn graphemes_are_not_cut_unless_one_alone_is_too_long() {
        let family = "👨‍👩‍👧‍👦";
        check(&family.repeat(2), 12, &[family, family]);
        check("e\u{301}e\u{301}", 3, &["e\u{301}", "e\u{301}"]);
        let parts = split(family, 4, Unit::Utf16);
        assert!(parts.len() > 1);
    }

    fn without_space(text: &str) -> String {
        text.split_whitespace().collect()
    }

    proptest! {
        #[test]
        fn parts_fit_are_in_order_and_lose_nothing(
            text in "([a-z]{1,9}|[ \n]{1,3}|\\PC|👨‍👩‍👧|é|你好){0,120}",
            max in 2_usize..40,
        ) {
            for unit in [Unit::Utf16, Unit::Char] {
                let parts = split(&text, max, unit);
                let mut end = 0;
                let mut all = String::new();
                for part in parts {
                    prop_assert!(part.start >= end);
                    end = part.end;
                    let part = &text[part];
                    prop_assert!(unit.count(part) <= max);
                    prop_assert!(!part.trim().is_empty());
                    all.push_str(part);
                }
                prop_assert_eq!(without_space(&all), without_space(&text));
            }
        }

        #[test]
        fn every_cut_is_between_graphemes(text in "(\\PC|👨‍👩‍👧|🇩🇪|e\u{301}| \u{301}){0,60}", max in 12_usize..40) {
            let boundaries: Vec<usize> = text.grapheme_indices(true).map(|(at, _)| at).collect();
            let longest = text.graphemes(true).map(|g| Unit::Utf16.count(g)).max().unwrap_or(0);
            prop_assume!(longest <= max);
            for part in split(&text, max, Unit::Utf16) {
                prop_assert!(part.start == 0 || boundaries.contains(&part.start));
                prop_assert!(part.end == text.len() || boundaries.contains(&part.end));
            }
        }
    }
}
