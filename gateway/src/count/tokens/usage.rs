//! Tokens of one request.

/// What an answer has told so far; the newest word counts.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Of the prompt; Anthropic leaves out those of the cache.
    pub(super) input: Option<u64>,
    /// Of the prompt, read from the cache: OpenAI's part of `input`.
    pub(super) cached: Option<u64>,
    /// Anthropic's, beside `input`.
    pub(super) cache_read: Option<u64>,
    pub(super) cache_written: Option<u64>,
    pub(super) output: Option<u64>,
    /// Part of `output`.
    pub(super) reasoning: Option<u64>,
    /// Hash of the model that has answered.
    pub(super) model: Option<u64>,
}

/// Tokens of a request, and how they are known.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Told {
    /// Of the prompt, those of the cache among them.
    pub(crate) input: u64,
    pub(crate) cached: u64,
    pub(crate) output: u64,
    /// Of the answer, those that the client need not see.
    pub(crate) reasoning: u64,
    /// Whether `output` was counted from pieces of the answer, because the worker had not told it.
    pub(crate) is_estimated: bool,
    /// Whether the prompt was told.
    pub(crate) has_input: bool,
    /// Whether anything is known at all.
    pub(crate) is_known: bool,
}

impl Usage {
    /// What it comes to, where so many pieces of text came.
    pub(super) fn told(&self, pieces: u64) -> Told {
        let beside = self.cache_read.unwrap_or(0);
        let beside = beside.saturating_add(self.cache_written.unwrap_or(0));
        let is_estimated = self.output.is_none() && pieces > 0;
        Told {
            input: self.input.unwrap_or(0).saturating_add(beside),
            cached: self.cached.or(self.cache_read).unwrap_or(0),
            output: self.output.unwrap_or(pieces),
            reasoning: self.reasoning.unwrap_or(0),
            is_estimated,
            has_input: self.input.is_some(),
            is_known: is_estimated || self.output.is_some() || self.input.is_some(),
        }
    }
}

/// A hash of a name of which the bytes come in pieces (FNV-1a).
#[derive(Debug, Clone, Copy)]
pub(super) struct NameHash(u64);

impl From<u64> for NameHash {
    /// What has come of it.
    fn from(hash: u64) -> Self {
        Self(hash)
    }
}

impl NameHash {
    pub(super) const EMPTY: Self = Self(0xcbf2_9ce4_8422_2325);

    pub(super) fn of(name: &str) -> u64 {
        let mut hash = Self::EMPTY;
        hash.push(name.as_bytes());
        hash.end()
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    pub(super) fn end(self) -> u64 {
        self.0
    }
}
