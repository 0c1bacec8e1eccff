//! The assistant's Markdown as runs of styled text, the form from which every platform's markup is
//! written.
//!
//! Invariant: the texts of the runs, put together, are what a reader sees. Styles nest as they
//! stand in [`Span::styles`], outermost first, none twice; code carries no style but a quotation.
//! Raw HTML is text like any other.

mod table;

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

use self::table::Table;

/// A run of text with the same style.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// What is read.
    pub text: String,
    /// How it looks, outermost first.
    pub styles: Vec<Style>,
}

/// How a run of text looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Style {
    /// A block quotation; the number tells neighbours apart.
    Quote(u32),
    /// A block of code, with the language if it was named.
    Pre(Option<String>),
    /// Code within a line.
    Code,
    /// Bold.
    Bold,
    /// Italic.
    Italic,
    /// Struck through.
    Strike,
    /// A link to a web address.
    Link(String),
}

/// Longest address a link may have, in bytes; beyond it the text stays without the link.
const URL_BYTES_MAX: usize = 2_000;
/// Longest name of a code block's language, in bytes.
const LANGUAGE_BYTES_MAX: usize = 40;

/// Reads Markdown (`CommonMark` with tables, strikethrough and task lists). Control characters
/// besides line ends and tabs are left out: platforms refuse or swallow them.
pub fn parse(markdown: &str) -> Vec<Span> {
    let options =
        Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    let mut writer = Writer::default();
    let shown = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
    let markdown: String = markdown.chars().filter(shown).collect();
    for event in Parser::new_ext(&markdown, options) {
        writer.event(event);
    }
    writer.spans
}

#[derive(Default)]
struct Writer {
    spans: Vec<Span>,
    styles: Vec<Style>,
    /// Line ends that are due before the next text.
    gap: usize,
    /// The number of the next item of each open list.
    lists: Vec<Option<u64>>,
    /// An item has begun and has no text yet: its first block stays on the line of the bullet.
    item_is_fresh: bool,
    /// Quotations so far, and those that are open: inner ones are part of the outer.
    quotes: u32,
    quotes_open: u32,
    table: Option<Table>,
    /// Where the description of the open image begins, in bytes of text.
    image_from: usize,
}

impl Writer {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Code(text) => self.code(&text),
            Event::InlineHtml(html) if is_line_break(&html) => self.line_break(),
            Event::Text(text)
            | Event::Html(text)
            | Event::InlineHtml(text)
            | Event::InlineMath(text)
            | Event::DisplayMath(text)
            | Event::FootnoteReference(text) => self.text(&text),
            Event::SoftBreak | Event::HardBreak => self.line_break(),
            Event::Rule => {
                self.block();
                self.text("———");
            }
            Event::TaskListMarker(is_done) => self.text(if is_done { "☑ " } else { "☐ " }),
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Paragraph | Tag::HtmlBlock => self.block(),
            Tag::Heading { .. } => {
                self.block();
                self.styles.push(Style::Bold);
            }
            Tag::BlockQuote(_) => self.start_quote(),
            Tag::CodeBlock(kind) => {
                self.block();
                self.styles.push(Style::Pre(language(&kind)));
            }
            Tag::List(first) => {
                self.block();
                self.lists.push(first);
            }
            Tag::Item => self.start_item(),
            Tag::Table(alignments) => {
                self.block();
                self.table = Some(Table::new(alignments));
            }
            Tag::TableHead | Tag::TableRow => {
                if let Some(table) = &mut self.table {
                    table.start_row();
                }
            }
            Tag::TableCell => {
                if let Some(table) = &mut self.table {
                    table.start_cell();
                }
            }
            Tag::Emphasis => self.styles.push(Style::Italic),
            Tag::Strong => self.styles.push(Style::Bold),
            Tag::Strikethrough => self.styles.push(Style::Strike),
            Tag::Link { dest_url, .. } => self.styles.push(Style::Link(dest_url.into_string())),
            Tag::Image { dest_url, .. } => {
                self.styles.push(Style::Link(dest_url.into_string()));
                self.image_from = self.length();
            }
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::BlockQuote(_) => self.end_quote(),
            TagEnd::CodeBlock => {
                self.trim_line_end();
                self.styles.pop();
            }
            TagEnd::HtmlBlock => self.trim_line_end(),
            TagEnd::List(_) => {
                self.lists.pop();
            }
            TagEnd::Item => self.item_is_fresh = false,
            TagEnd::Table => {
                if let Some(table) = self.table.take() {
                    self.push(&table.to_text(), &[Style::Pre(None)]);
                }
            }
            TagEnd::Image => {
                if self.length() == self.image_from {
                    self.text("image");
                }
                self.styles.pop();
            }
            TagEnd::Heading(_)
            | TagEnd::Emphasis
            | TagEnd::Strong
            | TagEnd::Strikethrough
            | TagEnd::Link => {
                self.styles.pop();
            }
            _ => {}
        }
    }

    /// Bytes of text so far.
    fn length(&self) -> usize {
        let table = self.table.as_ref().map_or(0, Table::length);
        table + self.spans.iter().map(|span| span.text.len()).sum::<usize>()
    }

    /// A block begins: a blank line before it, within a list only a new line.
    fn block(&mut self) {
        if std::mem::take(&mut self.item_is_fresh) {
            return;
        }
        let lines = if self.lists.is_empty() { 2 } else { 1 };
        self.gap = self.gap.max(lines);
    }

    fn start_quote(&mut self) {
        self.block();
        if self.quotes_open == 0 {
            self.quotes += 1;
            self.styles.push(Style::Quote(self.quotes));
        }
        self.quotes_open += 1;
    }

    fn end_quote(&mut self) {
        self.quotes_open = self.quotes_open.saturating_sub(1);
        if self.quotes_open == 0 {
            self.styles.pop();
        }
    }

    fn start_item(&mut self) {
        // Two lists may open at once: the inner one begins its own line all the same.
        if !self.spans.is_empty() {
            self.gap = self.gap.max(1);
        }
        let mut bullet = "  ".repeat(self.lists.len().saturating_sub(1));
        match self.lists.last_mut() {
            Some(Some(number)) => {
                bullet.push_str(&number.to_string());
                bullet.push_str(". ");
                *number = number.saturating_add(1);
            }
            _ => bullet.push_str("• "),
        }
        self.text(&bullet);
        self.item_is_fresh = true;
    }

    fn line_break(&mut self) {
        match &mut self.table {
            Some(table) => table.text(" "),
            None => self.text("\n"),
        }
    }

    fn text(&mut self, text: &str) {
        match &mut self.table {
            Some(table) => table.text(text),
            None => self.push(text, &[]),
        }
    }

    fn code(&mut self, text: &str) {
        match &mut self.table {
            Some(table) => table.text(text),
            None => self.push(text, &[Style::Code]),
        }
    }

    /// Appends text in the open styles and these.
    fn push(&mut self, text: &str, more: &[Style]) {
        if text.is_empty() {
            return;
        }
        self.item_is_fresh = false;
        let styles = effective(self.styles.iter().chain(more));
        let gap = std::mem::take(&mut self.gap);
        if let Some(last) = self.spans.last().filter(|_| gap > 0) {
            let shared = last.styles.iter().zip(&styles);
            let quote = shared
                .take_while(|(a, b)| a == b && matches!(a, Style::Quote(_)))
                .map(|(style, _)| style.clone())
                .collect();
            self.append(&"\n".repeat(gap), quote);
        }
        self.append(text, styles);
    }

    fn append(&mut self, text: &str, styles: Vec<Style>) {
        match self.spans.last_mut().filter(|last| last.styles == styles) {
            Some(last) => last.text.push_str(text),
            None => self.spans.push(Span {
                text: text.to_owned(),
                styles,
            }),
        }
    }

    /// The end of the last line of a block of code is no line of its own.
    fn trim_line_end(&mut self) {
        let Some(last) = self.spans.last_mut() else {
            return;
        };
        if last.text.ends_with('\n') {
            last.text.pop();
        }
        if last.text.is_empty() {
            self.spans.pop();
        }
    }
}

/// The styles that show: none twice, no useless link, code without any but a quotation, and a link
/// rather than code within it.
fn effective<'a>(open: impl Iterator<Item = &'a Style>) -> Vec<Style> {
    let mut styles: Vec<Style> = Vec::new();
    for style in open {
        let same = |other: &Style| std::mem::discriminant(other) == std::mem::discriminant(style);
        let is_useless = match style {
            Style::Link(url) => !is_web_address(url),
            Style::Code => styles.iter().any(|s| matches!(s, Style::Link(_))),
            _ => false,
        };
        if !is_useless && !styles.iter().any(same) {
            styles.push(style.clone());
        }
    }
    let code = styles.iter().find(|s| matches!(s, Style::Pre(_))).cloned();
    let code = code.or_else(|| styles.contains(&Style::Code).then_some(Style::Code));
    if let Some(code) = code {
        styles.retain(|style| matches!(style, Style::Quote(_)));
        styles.push(code);
    }
    styles
}

fn is_web_address(url: &str) -> bool {
    let begins = ["http://", "https://", "mailto:", "tg://"]
        .iter()
        .any(|scheme| {
            url.get(..scheme.len())
                .is_some_and(|s| s.eq_ignore_ascii_case(scheme))
        });
    begins
        && url.len() <= URL_BYTES_MAX
        && !url.chars().any(|c| c.is_control() || c.is_whitespace())
}

fn is_line_break(html: &str) -> bool {
    let name = html.trim_start_matches('<').trim_end_matches('>');
    name.trim_end_matches('/').trim().eq_ignore_ascii_case("br")
}

/// The first word of a fence, if it can be the name of a language.
fn language(kind: &CodeBlockKind<'_>) -> Option<String> {
    let CodeBlockKind::Fenced(info) = kind else {
        return None;
    };
    let word = info.split([' ', ',', '{']).next().unwrap_or_default();
    let is_name = |c: char| c.is_ascii_alphanumeric() || "+#-_.".contains(c);
    let fits = !word.is_empty() && word.len() <= LANGUAGE_BYTES_MAX && word.chars().all(is_name);
    fits.then(|| word.to_owned())
}

#[cfg(test)]
mod tests;
