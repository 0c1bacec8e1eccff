use super::*;
use crate::testing::telegram::html::visible;
use proptest::prelude::*;

const UNITS_MAX: usize = 4_096;

/// The markup of a Markdown text that fits one message.
fn check(markdown: &str, expected: &str) {
    let pieces = render(markdown, UNITS_MAX, 16);
    let markup: Vec<&str> = pieces.iter().map(|piece| piece.markup.as_str()).collect();
    assert_eq!(markup, [expected]);
    assert_eq!(visible(expected), Ok(pieces[0].plain.clone()));
}

#[test]
fn markdown_becomes_telegrams_tags() {
    check(
        "**a** *b* ~~c~~ `d<e>`",
        "<b>a</b> <i>b</i> <s>c</s> <code>d&lt;e&gt;</code>",
    );
    check("# Title\ntext & more", "<b>Title</b>\n\ntext &amp; more");
    check(
        "[a \"b\"](https://c.d/?e=\"f\"&g)",
        "<a href=\"https://c.d/?e=&quot;f&quot;&amp;g\">a &quot;b&quot;</a>",
    );
    check(
        "```rust\nlet a = \"<b>\";\n```",
        "<pre><code class=\"language-rust\">let a = &quot;&lt;b&gt;&quot;;</code></pre>",
    );
    check("    indented", "<pre>indented</pre>");
    check(
        "> a\n> **b**\n\nc",
        "<blockquote>a\n<b>b</b></blockquote>\n\nc",
    );
    check("1. a\n   - b", "1. a\n  • b");
    check(
        "| a | b |\n|---|---|\n| 1 | 2 |",
        "<pre>a | b\n--+--\n1 | 2</pre>",
    );
    check(
        "<script>alert(1)</script>",
        "&lt;script&gt;alert(1)&lt;/script&gt;",
    );
}

#[test]
fn what_is_open_at_a_cut_is_closed_and_opened_again() {
    let pieces = render("```rust\nlet a = 1;\nlet b = 2;\n```", 12, 16);
    let markup: Vec<&str> = pieces.iter().map(|piece| piece.markup.as_str()).collect();
    assert_eq!(
        markup,
        [
            "<pre><code class=\"language-rust\">let a = 1;</code></pre>",
            "<pre><code class=\"language-rust\">let b = 2;</code></pre>",
        ]
    );
    let pieces = render("> **aaa bbb**", 4, 16);
    let markup: Vec<&str> = pieces.iter().map(|piece| piece.markup.as_str()).collect();
    assert_eq!(
        markup,
        [
            "<blockquote><b>aaa</b></blockquote>",
            "<blockquote><b>bbb</b></blockquote>"
        ]
    );
}

#[test]
fn a_reply_of_too_many_messages_says_that_it_was_cut_off() {
    let pieces = render(&"word ".repeat(5_000), 1_000, 16);
    assert_eq!(pieces.len(), 16);
    let last = pieces.last().unwrap();
    assert!(last.markup.ends_with(CUT_OFF) && last.plain.ends_with(CUT_OFF));
    assert!(
        pieces
            .iter()
            .all(|piece| Unit::Utf16.count(&piece.plain) <= 1_000)
    );
    assert_eq!(render(&"a".repeat(16_000), 1_000, 16).len(), 16);
    assert!(
        !render(&"a".repeat(16_000), 1_000, 16)[15]
            .plain
            .ends_with(CUT_OFF)
    );
}

#[test]
fn dense_markup_takes_more_messages_and_none_is_too_large() {
    let link = format!("[a](https://b.c/{}) ", "d".repeat(1_900));
    let pieces = render(&link.repeat(100), UNITS_MAX, 16);
    assert!(pieces.len() > 1);
    for piece in &pieces {
        assert!(piece.markup.len() <= MARKUP_BYTES_MAX);
        assert_eq!(visible(&piece.markup), Ok(piece.plain.clone()));
    }
}

fn without_space(text: &str) -> String {
    text.split_whitespace().collect()
}

/// What holds for the pieces of any text.
fn assert_sound(markdown: &str, units_max: usize) -> Result<(), TestCaseError> {
    let pieces = render(markdown, units_max, usize::MAX);
    let mut read = String::new();
    for piece in &pieces {
        // The server's reader knows Telegram's tags only, and refuses what is not balanced.
        let seen = visible(&piece.markup);
        prop_assert_eq!(seen.as_ref(), Ok(&piece.plain), "{}", piece.markup);
        prop_assert!(Unit::Utf16.count(&piece.plain) <= units_max);
        prop_assert!(!piece.plain.trim().is_empty());
        read.push_str(&piece.plain);
    }
    let text: String = parse(markdown).into_iter().map(|span| span.text).collect();
    prop_assert_eq!(without_space(&read), without_space(&text));
    Ok(())
}

/// Markdown with the words that a reader of it sees, in order.
fn document() -> impl Strategy<Value = (String, Vec<String>)> {
    let word = "[a-z]{1,8}|[一-龥]{1,3}|é{1,2}|👍";
    let inline = (0..6_u8, word).prop_map(|(style, word)| {
        let markdown = match style {
            0 => format!("**{word}**"),
            1 => format!("*{word}*"),
            2 => format!("~~{word}~~"),
            3 => format!("`{word}`"),
            4 => format!("[{word}](https://example.com/?a=1&b=<>)").replace("<>", "2"),
            _ => word.clone(),
        };
        (markdown, word)
    });
    let line = proptest::collection::vec(inline, 1..8);
    let block = (0..7_u8, line).prop_map(|(kind, line)| {
        let (markdown, words): (Vec<String>, Vec<String>) = line.into_iter().unzip();
        let (marked, plain) = (markdown.join(" "), words.join(" "));
        let block = match kind {
            0 => format!("# {marked}"),
            1 => format!("- {marked}\n- {marked}"),
            2 => format!("> {marked}"),
            3 => format!("```py\n{plain}\n```"),
            4 => format!("| {plain} |\n|---|"),
            5 => format!("1. {marked}\n   > {marked}"),
            _ => marked,
        };
        let twice = matches!(kind, 1 | 5);
        let words = if twice {
            [words.clone(), words].concat()
        } else {
            words
        };
        (block, words)
    });
    proptest::collection::vec(block, 1..12).prop_map(|blocks| {
        let (blocks, words): (Vec<String>, Vec<Vec<String>>) = blocks.into_iter().unzip();
        (blocks.join("\n\n"), words.concat())
    })
}

proptest! {
    #[test]
    fn pieces_of_any_text_are_balanced_fit_and_lose_nothing(
        text in "([*_~`#>|<&\\[\\]()!\\-\n ]|[a-z]{1,4}|\\PC|```|\\| a \\|\n|\\|---\\|\n|<b>|&amp;|👨‍👩‍👧){0,80}",
        units_max in 8_usize..200,
    ) {
        // Long enough for the longest grapheme of the pattern, so that none is cut.
        assert_sound(&text, units_max)?;
    }

    #[test]
    fn every_word_of_a_document_is_read_in_order((markdown, words) in document(), units_max in 16_usize..300) {
        assert_sound(&markdown, units_max)?;
        let read: String = render(&markdown, units_max, usize::MAX)
            .iter()
            .map(|piece| piece.plain.clone() + " ")
            .collect();
        let marks = |c: char| "•|-+.".contains(c) || c.is_ascii_digit();
        let read: String = read.replace(marks, "").split_whitespace().collect();
        prop_assert_eq!(read, words.concat());
    }
}
