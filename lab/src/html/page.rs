//! The frame of the report.

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
