//! The frame of a report, and its tables.

use std::fmt::Write;

/// A page that is being written.
pub(crate) struct Page {
    title: String,
    /// What stands below the title, as HTML.
    pub(crate) body: String,
}

impl Page {
    pub(crate) fn new(title: &str) -> Self {
        Self {
            title: escape(title),
            body: String::new(),
        }
    }

    pub(crate) fn finish(self) -> String {
        let Self { title, body } = self;
        let style = include_str!("style.css");
        format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\">\
             <title>{title}</title>\n<style>\n{style}</style></head>\n\
             <body><h1>{title}</h1>\n{body}\n</body></html>\n"
        )
    }
}

/// A table, with the cells as text.
pub(crate) fn table<C: AsRef<str>>(heading: &[C], lines: &[Vec<String>]) -> String {
    let mut text = String::from("<table><thead><tr>");
    for cell in heading {
        let _ = write!(text, "<th>{}</th>", escape(cell.as_ref()));
    }
    text.push_str("</tr></thead><tbody>");
    for line in lines {
        text.push_str("<tr>");
        for cell in line {
            let _ = write!(text, "<td>{}</td>", escape(cell));
        }
        text.push_str("</tr>");
    }
    text.push_str("</tbody></table>");
    text
}

/// Text as HTML.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c => escaped.push(c),
        }
    }
    escaped
}
