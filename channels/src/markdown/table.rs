//! A Markdown table as aligned text, for platforms that have none.

use pulldown_cmark::Alignment;
use unicode_width::UnicodeWidthStr as _;

/// Columns of a terminal up to which a cell is padded; a wider cell only shifts its own row.
const PAD_MAX: usize = 40;

/// The cells as they come.
pub(super) struct Table {
    alignments: Vec<Alignment>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(alignments: Vec<Alignment>) -> Self {
        Self {
            alignments,
            rows: Vec::new(),
        }
    }

    pub(super) fn start_row(&mut self) {
        self.rows.push(Vec::new());
    }

    pub(super) fn start_cell(&mut self) {
        if let Some(row) = self.rows.last_mut() {
            row.push(String::new());
        }
    }

    pub(super) fn text(&mut self, text: &str) {
        if let Some(cell) = self.rows.last_mut().and_then(|row| row.last_mut()) {
            cell.push_str(text);
        }
    }

    /// Bytes of text in all cells.
    pub(super) fn length(&self) -> usize {
        self.rows.iter().flatten().map(String::len).sum()
    }

    /// The rows as lines, the first set apart as the head.
    pub(super) fn to_text(&self) -> String {
        let widths = self.widths();
        let mut lines = Vec::new();
        for row in &self.rows {
            let cells = row.iter().enumerate().map(|(column, cell)| {
                let width = widths.get(column).copied().unwrap_or(0);
                let alignment = self.alignments.get(column).unwrap_or(&Alignment::None);
                pad(cell, width, *alignment)
            });
            let line = cells.collect::<Vec<_>>().join(" | ");
            lines.push(line.trim_end().to_owned());
            if lines.len() == 1 {
                let rule = widths.iter().map(|width| "-".repeat(*width));
                lines.push(rule.collect::<Vec<_>>().join("-+-"));
            }
        }
        lines.join("\n")
    }

    /// Width of each column, in columns of a terminal: wide letters count twice.
    fn widths(&self) -> Vec<usize> {
        let mut widths = vec![1; self.alignments.len()];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.width().min(PAD_MAX));
            }
        }
        widths
    }
}

fn pad(cell: &str, width: usize, alignment: Alignment) -> String {
    let room = width.saturating_sub(cell.width());
    let left = match alignment {
        Alignment::None | Alignment::Left => 0,
        Alignment::Center => room / 2,
        Alignment::Right => room,
    };
    let (before, after) = (" ".repeat(left), " ".repeat(room - left));
    format!("{before}{cell}{after}")
}
