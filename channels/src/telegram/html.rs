//! Markdown → messages in Telegram's HTML (<https://core.telegram.org/bots/api#html-style>).
//!
//! Invariant: every piece is balanced by itself and reads like its part of the whole: what is open
//! at a cut is closed and opened again. Only the tags named in [`open`] appear; everything else is
//! escaped.

use std::ops::Range;

use crate::channel::Piece;
use crate::markdown::{Span, Style, parse};
use crate::text::{Unit, split};

/// Bytes of markup that Telegram reads in one message, with some room.
const MARKUP_BYTES_MAX: usize = 30_000;
/// Ends a reply that is longer than a reply may be.
const CUT_OFF: &str = "\n\n[…]";

/// At most `pieces_max` pieces of at most `units_max` visible UTF-16 units.
pub(super) fn render(markdown: &str, units_max: usize, pieces_max: usize) -> Vec<Piece> {
    let spans = parse(markdown);
    let text: String = spans.iter().map(|span| span.text.as_str()).collect();
    let parts = parts(&spans, &text, 0..text.len(), units_max);
    let mut pieces: Vec<Piece> = parts
        .iter()
        .take(pieces_max)
        .map(|part| piece(&spans, &text, part.clone()))
        .collect();
    if parts.len() > pieces_max {
        let room = units_max.saturating_sub(Unit::Utf16.count(CUT_OFF));
        cut_off(&mut pieces, &spans, &text, parts.get(pieces_max - 1), room);
    }
    pieces
}

/// Makes the last piece say that more was to come.
fn cut_off(
    pieces: &mut [Piece],
    spans: &[Span],
    text: &str,
    part: Option<&Range<usize>>,
    room: usize,
) {
    let shorter = part.and_then(|part| parts(spans, text, part.clone(), room).into_iter().next());
    if let (Some(last), Some(part)) = (pieces.last_mut(), shorter) {
        *last = piece(spans, text, part);
        last.markup.push_str(CUT_OFF);
        last.plain.push_str(CUT_OFF);
    }
}

/// Ranges of the text of which each fits a message, also with its markup.
fn parts(spans: &[Span], text: &str, whole: Range<usize>, units_max: usize) -> Vec<Range<usize>> {
    let begin = whole.start;
    let cuts = split(text.get(whole).unwrap_or_default(), units_max, Unit::Utf16);
    let mut fitting = Vec::new();
    for cut in cuts {
        let part = begin + cut.start..begin + cut.end;
        // Dense markup is rare; halves are soon small enough.
        if units_max > 2 && markup(spans, part.clone()).len() > MARKUP_BYTES_MAX {
            fitting.extend(parts(spans, text, part, units_max / 2));
        } else {
            fitting.push(part);
        }
    }
    fitting
}

fn piece(spans: &[Span], text: &str, part: Range<usize>) -> Piece {
    Piece {
        markup: markup(spans, part.clone()),
        plain: text.get(part).unwrap_or_default().to_owned(),
    }
}

/// The markup of a range of the text.
fn markup(spans: &[Span], part: Range<usize>) -> String {
    let mut html = String::new();
    let mut stack: Vec<&Style> = Vec::new();
    let mut at = 0;
    for span in spans {
        let begin = part.start.max(at).saturating_sub(at);
        let end = part.end.min(at + span.text.len()).saturating_sub(at);
        at += span.text.len();
        let Some(text) = span.text.get(begin..end).filter(|text| !text.is_empty()) else {
            continue;
        };
        let shared = stack
            .iter()
            .zip(&span.styles)
            .take_while(|(a, b)| **a == *b);
        let shared = shared.count();
        for style in stack.drain(shared..).rev() {
            html.push_str(close(style));
        }
        for style in span.styles.iter().skip(shared) {
            open(&mut html, style);
            stack.push(style);
        }
        escape(&mut html, text);
    }
    for style in stack.into_iter().rev() {
        html.push_str(close(style));
    }
    html
}

fn open(html: &mut String, style: &Style) {
    let tag = match style {
        Style::Quote(_) => "<blockquote>",
        Style::Pre(None) => "<pre>",
        Style::Pre(Some(language)) => {
            html.push_str("<pre><code class=\"language-");
            escape(html, language);
            "\">"
        }
        Style::Code => "<code>",
        Style::Bold => "<b>",
        Style::Italic => "<i>",
        Style::Strike => "<s>",
        Style::Link(url) => {
            html.push_str("<a href=\"");
            escape(html, url);
            "\">"
        }
    };
    html.push_str(tag);
}

fn close(style: &Style) -> &'static str {
    match style {
        Style::Quote(_) => "</blockquote>",
        Style::Pre(None) => "</pre>",
        Style::Pre(Some(_)) => "</code></pre>",
        Style::Code => "</code>",
        Style::Bold => "</b>",
        Style::Italic => "</i>",
        Style::Strike => "</s>",
        Style::Link(_) => "</a>",
    }
}

fn escape(html: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            c => html.push(c),
        }
    }
}

#[cfg(test)]
mod tests;
