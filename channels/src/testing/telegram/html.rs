//! Telegram's HTML, read as strictly as Telegram does
//! (<https://core.telegram.org/bots/api#html-style>).

/// Tags that Telegram knows.
const TAGS: [&str; 16] = [
    "a",
    "b",
    "strong",
    "i",
    "em",
    "s",
    "strike",
    "del",
    "u",
    "ins",
    "code",
    "pre",
    "blockquote",
    "tg-spoiler",
    "tg-emoji",
    "span",
];

/// What is read. The error is what Telegram says after "Bad Request: can't parse entities: ".
pub fn visible(html: &str) -> Result<String, String> {
    let mut text = String::new();
    let mut open: Vec<String> = Vec::new();
    let mut at = 0;
    while let Some(rest) = html.get(at..).filter(|rest| !rest.is_empty()) {
        if let Some(inside) = rest.strip_prefix('<') {
            let end = inside.find('>');
            let end = end.ok_or_else(|| format!("Unclosed start tag at byte offset {at}"))?;
            tag(inside.get(..end).unwrap_or_default(), at, &mut open)?;
            at += end + 2;
        } else {
            let (c, length) = character(rest);
            text.push(c);
            at += length;
        }
    }
    match open.last() {
        Some(name) => Err(format!(
            "Can't find end tag corresponding to start tag \"{name}\""
        )),
        None => Ok(text),
    }
}

fn tag(inside: &str, at: usize, open: &mut Vec<String>) -> Result<(), String> {
    if let Some(name) = inside.strip_prefix('/') {
        let expected = open.pop();
        let expected = expected.ok_or_else(|| format!("Unexpected end tag at byte offset {at}"))?;
        if !name.eq_ignore_ascii_case(&expected) && !name.is_empty() {
            return Err(format!(
                "Unmatched end tag at byte offset {at}, expected \"</{expected}>\", found \"</{name}>\""
            ));
        }
        return Ok(());
    }
    let name = inside.split([' ', '\n', '\t']).next().unwrap_or_default();
    let name = name.to_ascii_lowercase();
    if !TAGS.contains(&name.as_str()) {
        return Err(format!(
            "Unsupported start tag \"{name}\" at byte offset {at}"
        ));
    }
    let attributes = inside.get(name.len()..).unwrap_or_default().trim();
    if !attributes.is_empty() && !is_one_attribute(attributes) {
        return Err(format!(
            "Expected equal sign in declaration of an attribute of the tag \"{name}\" at byte offset {at}"
        ));
    }
    open.push(name);
    Ok(())
}

/// `name="value"`.
fn is_one_attribute(text: &str) -> bool {
    let value = text.split_once("=\"").and_then(|(name, rest)| {
        let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphabetic());
        is_name.then(|| rest.strip_suffix('"')).flatten()
    });
    value.is_some_and(|value| !value.contains('"'))
}

/// The character at the beginning, and how many bytes it takes.
fn character(html: &str) -> (char, usize) {
    let entities = [
        ("&lt;", '<'),
        ("&gt;", '>'),
        ("&amp;", '&'),
        ("&quot;", '"'),
    ];
    for (entity, c) in entities {
        if html.starts_with(entity) {
            return (c, entity.len());
        }
    }
    let c = html.chars().next().unwrap_or_default();
    (c, c.len_utf8())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proper_markup_is_read_and_the_rest_refused_in_telegrams_words() {
        let table = [
            ("a <b>b <i>c</i></b> &lt;d&gt;", Ok("a b c <d>")),
            ("<a href=\"https://b.c/?d=1&amp;e\">f</a>", Ok("f")),
            ("<pre><code class=\"language-rs\">x</code></pre>", Ok("x")),
            (
                "<b>a",
                Err("Can't find end tag corresponding to start tag \"b\""),
            ),
            ("a</b>", Err("Unexpected end tag at byte offset 1")),
            (
                "<b>a</i>",
                Err("Unmatched end tag at byte offset 4, expected \"</b>\", found \"</i>\""),
            ),
            (
                "<div>",
                Err("Unsupported start tag \"div\" at byte offset 0"),
            ),
            ("1 < 2", Err("Unclosed start tag at byte offset 2")),
        ];
        for (html, expected) in table {
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(visible(html), expected, "{html}");
        }
    }
}
