//! The place of a value in a file: `services.chat.scaling.rules[0].target`.

use std::fmt;

/// Keys and indexes from the root to a value. The order puts what is below a path right behind it.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KeyPath(Vec<Segment>);

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Segment {
    /// Of a table.
    Key(String),
    /// Of an array.
    Index(usize),
}

impl KeyPath {
    /// The path of a key of this table.
    pub(crate) fn key(&self, key: &str) -> Self {
        self.with(Segment::Key(key.to_owned()))
    }

    /// The path of an element of this array.
    pub(crate) fn index(&self, index: usize) -> Self {
        self.with(Segment::Index(index))
    }

    fn with(&self, segment: Segment) -> Self {
        let mut segments = Vec::with_capacity(self.0.len() + 1);
        segments.extend_from_slice(&self.0);
        segments.push(segment);
        Self(segments)
    }

    pub(crate) fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// Whether the value may hold an API key: one that somebody wrote in place of its hash, perhaps.
    pub(crate) fn is_secret(&self) -> bool {
        let is = |at: usize, name: &str| matches!(self.0.get(at), Some(Segment::Key(key)) if key == name);
        let of_api_keys = is(2, "api_keys") && (self.0.len() <= 4 || is(4, "sha256"));
        let of_tokens = is(1, "tokens") && (self.0.len() <= 3 || is(3, "sha256"));
        is(0, "services") && (of_api_keys || is(2, "deployment_hosts"))
            || is(0, "admin") && of_tokens
    }

    /// Whether this is `other` or below it.
    pub(crate) fn starts_with(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Key(key) => {
                    let dot = if position > 0 { "." } else { "" };
                    let bare = !key.is_empty()
                        && key
                            .bytes()
                            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
                    if bare {
                        write!(f, "{dot}{key}")?
                    } else {
                        write!(f, "{dot}{key:?}")?
                    }
                }
                Segment::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}
