//! HTTP/1.1 messages taken out of bytes, and told in words: a reader of its own, which shares nothing with
//! those it judges.

use std::fmt::Write as _;

/// One message, or what there is of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Message {
    /// The request line or the status line.
    start: String,
    /// Field lines as they came.
    lines: Vec<String>,
    /// The body as it came, with its framing.
    raw: Vec<u8>,
    /// The body without its framing.
    body: Vec<u8>,
    trailers: Vec<String>,
    /// Whether it came to its end.
    pub(crate) is_whole: bool,
}

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Request,
    Answer,
    /// An answer to HEAD: it has no body.
    AnswerToHead,
}

/// Takes the message that `bytes` begin with, and says how many bytes it takes; `None` while its head is not
/// whole. `ended`: no more bytes will come.
pub(crate) fn take(bytes: &[u8], kind: Kind, ended: bool) -> Option<(Message, usize)> {
    let end = find(bytes, b"\r\n\r\n")?;
    // One character for each byte.
    let head: String = bytes[..end].iter().map(|byte| char::from(*byte)).collect();
    let mut lines = head.split("\r\n").map(str::to_owned);
    let mut message = Message {
        start: lines.next().unwrap_or_default(),
        lines: lines.collect(),
        ..Message::default()
    };
    let rest = &bytes[end + 4..];
    let length = message.value("content-length");
    let taken = if message.has_no_body(kind) {
        message.is_whole = true;
        0
    } else if message.value("transfer-encoding").is_some() {
        message.take_chunks(rest)
    } else if let Some(length) = length.and_then(|length| length.parse::<usize>().ok()) {
        message.is_whole = rest.len() >= length;
        message.body = rest[..length.min(rest.len())].to_vec();
        message.body.len()
    } else {
        message.body = rest.to_vec();
        message.is_whole = ended;
        rest.len()
    };
    message.raw = rest[..taken].to_vec();
    Some((message, end + 4 + taken))
}

impl Message {
    pub(crate) fn status(&self) -> &str {
        self.start.get(9..12).unwrap_or_default()
    }

    pub(crate) fn is_interim(&self) -> bool {
        self.status().starts_with('1') && self.status() != "101"
    }

    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.lines.iter().find_map(|line| {
            let (given, value) = line.split_once(':')?;
            given.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    fn has_no_body(&self, kind: Kind) -> bool {
        match kind {
            Kind::Request => {
                self.value("transfer-encoding").is_none() && self.value("content-length").is_none()
            }
            Kind::AnswerToHead => true,
            Kind::Answer => {
                self.status().starts_with('1') || ["204", "304"].contains(&self.status())
            }
        }
    }

    /// Takes chunks and trailers, as far as they have come.
    fn take_chunks(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        loop {
            let Some(line) = find(&bytes[at..], b"\r\n") else {
                return bytes.len();
            };
            let size = String::from_utf8_lossy(&bytes[at..at + line]).into_owned();
            let size = size.split(';').next().unwrap_or_default().trim().to_owned();
            let Ok(size) = usize::from_str_radix(&size, 16) else {
                return bytes.len();
            };
            at += line + 2;
            if size == 0 {
                return at + self.take_trailers(&bytes[at..]);
            }
            let end = (at + size).min(bytes.len());
            self.body.extend_from_slice(&bytes[at..end]);
            if end + 2 > bytes.len() {
                return bytes.len();
            }
            at = end + 2;
        }
    }

    fn take_trailers(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while let Some(line) = find(&bytes[at..], b"\r\n") {
            let text = String::from_utf8_lossy(&bytes[at..at + line]).into_owned();
            at += line + 2;
            if line == 0 {
                self.is_whole = true;
                return at;
            }
            self.trailers.push(text);
        }
        bytes.len()
    }

    /// Leaves out fields by `leaves`, which is told their names in lower case and their values.
    pub(crate) fn without(mut self, leaves: impl Fn(&Self, &str, &str) -> bool) -> Self {
        let lines = self.lines.clone();
        self.lines = lines
            .into_iter()
            .filter(|line| {
                let (name, value) = line.split_once(": ").unwrap_or((line, ""));
                !leaves(&self, &name.to_ascii_lowercase(), value)
            })
            .collect();
        self
    }

    /// All of it, byte for byte.
    pub(crate) fn exact(&self) -> String {
        let mut text = format!("{}\n", self.start);
        for line in &self.lines {
            let _ = writeln!(text, "{}", escape(line.as_bytes()));
        }
        text.push('\n');
        if !self.raw.is_empty() {
            let _ = writeln!(text, "{}", escape(&self.raw).replace("\\r\\n", "\n"));
        }
        text + self.end()
    }

    /// What it says: names without case, fields in the order of their names, the body without its framing.
    pub(crate) fn meaning(&self) -> String {
        let lower = |line: &String| match line.split_once(':') {
            Some((name, value)) => format!("{}: {}", name.to_ascii_lowercase(), value.trim()),
            None => line.clone(),
        };
        let sorted = |lines: &[String]| {
            let mut lines = lines.iter().map(lower).collect::<Vec<_>>();
            // Stable, because the order of lines with one name means something.
            lines.sort_by_key(|line| line.split(':').next().map(str::to_owned));
            lines
                .iter()
                .map(|line| format!("{}\n", escape(line.as_bytes())))
                .collect::<String>()
        };
        let mut text = format!("{}\n{}\n", self.start.trim_end(), sorted(&self.lines));
        if !self.body.is_empty() {
            let _ = writeln!(text, "{}", escape(&self.body));
        }
        text + &sorted(&self.trailers) + self.end()
    }

    fn end(&self) -> &'static str {
        match self.is_whole {
            true => "",
            false => "(cut off)\n",
        }
    }
}

/// Where `part` is in `bytes`.
pub(crate) fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}

fn escape(bytes: &[u8]) -> String {
    bytes
        .escape_ascii()
        .to_string()
        .replace("\\\"", "\"")
        .replace("\\'", "'")
}
