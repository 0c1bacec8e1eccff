use super::*;

fn plain(markdown: &str) -> String {
    parse(markdown).into_iter().map(|span| span.text).collect()
}

/// Runs as `text` or `styles:text`, styles by their first letter.
fn runs(markdown: &str) -> Vec<String> {
    let letter = |style: &Style| match style {
        Style::Quote(_) => "q".to_owned(),
        Style::Pre(language) => format!("p{}", language.as_deref().unwrap_or_default()),
        Style::Code => "c".to_owned(),
        Style::Bold => "b".to_owned(),
        Style::Italic => "i".to_owned(),
        Style::Strike => "s".to_owned(),
        Style::Link(url) => format!("l({url})"),
    };
    let show = |span: Span| {
        let styles: Vec<String> = span.styles.iter().map(letter).collect();
        let styles = styles.join(" ");
        if styles.is_empty() {
            span.text
        } else {
            format!("{styles}:{}", span.text)
        }
    };
    parse(markdown).into_iter().map(show).collect()
}

#[test]
fn inline_styles_nest_and_none_is_there_twice() {
    assert_eq!(
        runs("a **b *c* ~~d~~**"),
        ["a ", "b:b ", "b i:c", "b: ", "b s:d"]
    );
    assert_eq!(runs("# A **b**"), ["b:A b"]);
    assert_eq!(runs("**a `b`**"), ["b:a ", "c:b"]);
    assert_eq!(runs("> **a `b`**"), ["q b:a ", "q c:b"]);
}

#[test]
fn links_go_to_the_web_and_nowhere_else() {
    assert_eq!(runs("[a](https://b.c)"), ["l(https://b.c):a"]);
    assert_eq!(runs("[`a`](https://b.c)"), ["l(https://b.c):a"]);
    assert_eq!(runs("![a](HTTP://b.c/d.png)"), ["l(HTTP://b.c/d.png):a"]);
    assert_eq!(runs("[a](javascript:alert(1)) [b](/c)"), ["a b"]);
    assert_eq!(
        runs(&format!("[a](https://b.c/{})", "d".repeat(2_000))),
        ["a"]
    );
}

#[test]
fn blocks_are_set_apart_by_a_blank_line() {
    assert_eq!(
        plain("# A\nb\nc\n\nd\n\n---\n\ne"),
        "A\n\nb\nc\n\nd\n\n———\n\ne"
    );
    assert_eq!(
        runs("a\n\n> b\n>\n> > c\n\nd"),
        ["a\n\n", "q:b\n\nc", "\n\nd"]
    );
    assert_eq!(
        runs("> a\n\n<!-- -->\n\n> b"),
        ["q:a", "\n\n<!-- -->\n\n", "q:b"]
    );
}

#[test]
fn lists_have_bullets_numbers_and_indents() {
    assert_eq!(
        plain("- a\n- b\n  - c\n- d\n\ne"),
        "• a\n• b\n  • c\n• d\n\ne"
    );
    assert_eq!(plain("7. a\n8. b\n\n   c"), "7. a\n8. b\nc");
    assert_eq!(plain("- [x] a\n- [ ] b"), "• ☑ a\n• ☐ b");
    assert_eq!(plain("- - a"), "• \n  • a");
}

#[test]
fn code_blocks_keep_every_character_and_the_language() {
    assert_eq!(
        runs("a\n```rust ignore\nfn b() {\n\n    *c*;\n}\n```\nd"),
        ["a\n\n", "prust:fn b() {\n\n    *c*;\n}", "\n\nd"]
    );
    assert_eq!(runs("```<b>\nx\n```"), ["p:x"]);
    assert_eq!(runs("```\n```"), [""; 0]);
    assert_eq!(runs("```py\nunclosed"), ["ppy:unclosed"]);
}

#[test]
fn tables_are_aligned_by_what_letters_take_on_a_screen() {
    let table = "| name | n |\n|---|--:|\n| **li** | 1 |\n| 你好 a | 20 |";
    assert_eq!(
        runs(table),
        ["p:name   |  n\n-------+---\nli     |  1\n你好 a | 20"]
    );
}

#[test]
fn html_is_text_and_a_break_is_a_line() {
    assert_eq!(plain("a <b>c</b><br/>d"), "a <b>c</b>\nd");
    assert_eq!(plain("<div>\na\n</div>\n\nb"), "<div>\na\n</div>\n\nb");
}

#[test]
fn images_without_a_description_are_not_invisible() {
    assert_eq!(
        runs("![](https://b.c/d.png)"),
        ["l(https://b.c/d.png):image"]
    );
}

#[test]
fn control_characters_do_not_reach_a_platform() {
    assert_eq!(plain("a\0b\u{1b}[c\td"), "ab[c\td");
    assert_eq!(plain("```\na\r\nb\n```"), "a\nb");
}
