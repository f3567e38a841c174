//! Lines with a label on the left and text on the right, broken where the terminal ends.

use anstyle::{AnsiColor, Style};

use super::time::Times;
use crate::status::printable;

pub(super) const BOLD: Style = Style::new().bold();
pub(super) const DIM: Style = Style::new().dimmed();
pub(super) const WON: Style = AnsiColor::Green.on_default();
pub(super) const WRONG: Style = AnsiColor::Red.on_default();
pub(super) const LIMIT: Style = AnsiColor::Yellow.on_default();

/// Where texts begin.
const INDENT: usize = 12;

/// A text is never broken into pieces shorter than this, however narrow the terminal.
const WIDTH_MIN: usize = 24;

/// How a page is written.
pub(super) struct Page {
    /// `None`: no line is broken.
    columns: Option<usize>,
    pub(super) times: Times,
}

impl Page {
    pub(super) fn new(columns: Option<usize>, times: Times) -> Self {
        Self { columns, times }
    }

    /// A text below a label, which stands only before its first line.
    pub(super) fn item(&self, label: &str, text: &str, style: Style) -> String {
        let mut lines = String::new();
        let mut label = label;
        for line in self.broken(text, INDENT) {
            lines += &format!("  {DIM}{label:<width$}{DIM:#}", width = INDENT - 2);
            lines += &format!("{style}{line}{style:#}\n");
            label = "";
        }
        lines
    }

    /// Several texts below one label; nothing when there are none.
    pub(super) fn items<'t>(
        &self,
        label: &str,
        texts: impl IntoIterator<Item = (&'t str, Style)>,
    ) -> String {
        let mut label = label;
        let mut lines = String::new();
        for (text, style) in texts {
            lines += &self.item(label, text, style);
            label = "";
        }
        lines
    }

    /// A headline, whose further lines are indented.
    pub(super) fn headline(&self, text: &str) -> String {
        let mut indent = "";
        let mut lines = String::new();
        for line in self.broken(text, 4) {
            lines += &format!("{indent}{BOLD}{line}{BOLD:#}\n");
            indent = "    ";
        }
        lines
    }

    /// The text in lines that leave room for so many columns before them. A text that begins with
    /// spaces or a mark goes on where its words began.
    fn broken(&self, text: &str, before: usize) -> Vec<String> {
        let text = printable(text);
        let Some(columns) = self.columns else {
            return vec![text];
        };
        let width = columns.saturating_sub(before).max(WIDTH_MIN);
        let words = text.trim_start_matches([' ', '*']);
        let hang = text.len() - words.len();
        let mut lines = vec![text[..hang].to_owned()];
        for word in words.split(' ') {
            let last = lines.last_mut().expect("there is always a line");
            let length = last.chars().count();
            if length > hang && length + 1 + word.chars().count() > width {
                lines.push(format!("{:hang$}{word}", ""));
            } else {
                if length > hang {
                    last.push(' ');
                }
                last.push_str(word);
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    fn page(columns: Option<usize>) -> Page {
        Page::new(columns, Times::of(TimeZone::UTC))
    }

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn a_text_is_broken_between_words_and_goes_on_where_it_began() {
        let text = "* 3 for concurrency 5.0 at 2 per worker";
        let lines = page(Some(40)).item("rules", text, Style::new());
        assert_eq!(
            plain(&lines),
            "  rules     * 3 for concurrency 5.0 at 2\n              per worker\n"
        );
        assert!(plain(&lines).lines().all(|line| line.len() <= 40));
        let whole = page(None).item("rules", text, Style::new());
        assert_eq!(plain(&whole), format!("  rules     {text}\n"));
    }

    #[test]
    fn a_word_that_is_too_long_stands_alone_and_whole() {
        let word = "x".repeat(60);
        let lines = page(Some(30)).item("a", &format!("one {word} two"), Style::new());
        assert_eq!(
            plain(&lines),
            format!("  a         one\n            {word}\n            two\n")
        );
    }
}
