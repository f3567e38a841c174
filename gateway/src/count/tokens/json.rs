//! Walks over the JSON of an answer as its bytes come, in whatever pieces: no tree, nothing held but a key.
//!
//! It knows the places at which the APIs of OpenAI and Anthropic tell tokens, and skips everything else. What is
//! no valid JSON is no concern here: the client gets it as it came.
#![cfg_attr(not(test), deny(clippy::indexing_slicing))] // Outside input.

use memchr::memchr2;

use super::usage::{NameHash, Usage};

/// Longest key that is looked for; all that are longer are others.
const KEY_MAX: usize = 32;

/// Places that are open at once: the deepest is `response.usage.output_tokens_details`.
const DEPTH_MAX: usize = 6;

/// An object or array of which the members count.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    #[default]
    Top,
    /// OpenAI's array, and one of it.
    Choices,
    Choice,
    /// What is new in a choice.
    Delta,
    Calls,
    Usage,
    /// The usage with which Anthropic begins: of the answer it does not know yet.
    FirstUsage,
    InputDetails,
    OutputDetails,
    /// The answer so far, as Responses tell it.
    Response,
    /// The same of Anthropic's Messages.
    Message,
    /// What is new in a block of Anthropic's.
    Block,
}

/// What a value is.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Leaf {
    #[default]
    Other,
    /// Text of the answer.
    Text,
    /// Text of the answer, or an object with some.
    Delta,
    /// Something that is part of the answer if it is there at all.
    Call,
    Model,
    Number(Number),
    At(Place),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Number {
    Input,
    Output,
    Cached,
    CacheRead,
    CacheWritten,
    Reasoning,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Mode {
    #[default]
    Between,
    Key,
    /// In the string of a value.
    Text,
    Digits,
    /// In something that does not count.
    Skip,
    SkipText,
}

/// What was in a document.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    /// Text of the answer, or part of a call.
    pub(super) has_tokens: bool,
    /// An array of choices,
    pub(super) has_choices: bool,
    /// and one in it.
    pub(super) has_choice: bool,
    /// A usage at the top.
    pub(super) has_usage: bool,
}

/// A walk, at some place of a document.
#[derive(Debug, Default)]
pub(super) struct Walk {
    mode: Mode,
    open: [Place; DEPTH_MAX],
    depth: usize,
    /// Brackets that are open in what does not count.
    skipped: u32,
    is_escaped: bool,
    wants_key: bool,
    leaf: Leaf,
    key: [u8; KEY_MAX],
    key_length: usize,
    number: u64,
    hash: u64,
    pub(super) seen: Seen,
}

impl Walk {
    /// Another document begins.
    pub(super) fn begin(&mut self) {
        (self.mode, self.depth, self.skipped) = (Mode::Between, 0, 0);
        (self.is_escaped, self.wants_key, self.leaf) = (false, false, Leaf::Other);
        self.seen = Seen::default();
    }

    /// Looks at the next piece.
    pub(super) fn feed(&mut self, bytes: &[u8], usage: &mut Usage) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let used = match self.mode {
                Mode::Between => self.between(rest, usage),
                Mode::Key | Mode::Text | Mode::SkipText => self.string(rest, usage),
                Mode::Digits => self.digits(rest, usage),
                Mode::Skip => self.skip(rest),
            };
            rest = rest.get(used..).unwrap_or_default();
        }
    }

    fn at(&self) -> Option<Place> {
        self.open.get(self.depth.checked_sub(1)?).copied()
    }

    /// Bytes between keys and values, up to one of these.
    fn between(&mut self, rest: &[u8], usage: &mut Usage) -> usize {
        for (at, byte) in rest.iter().enumerate() {
            match byte {
                b'"' => {
                    self.is_escaped = false;
                    self.mode = match (self.wants_key, self.leaf) {
                        (true, _) => Mode::Key,
                        (false, Leaf::Text | Leaf::Delta) => Mode::Text,
                        // Every event says it again.
                        (false, Leaf::Model) if usage.model.is_none() => Mode::Text,
                        (false, _) => Mode::SkipText,
                    };
                    (self.key_length, self.hash) = (0, NameHash::EMPTY.end());
                    return at + 1;
                }
                b'{' | b'[' => {
                    self.opens(*byte == b'{');
                    if self.mode == Mode::Skip {
                        return at + 1;
                    }
                }
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    (self.wants_key, self.leaf) = (false, Leaf::Other);
                }
                b',' => {
                    self.leaf = Leaf::Other;
                    self.wants_key =
                        !matches!(self.at(), None | Some(Place::Choices | Place::Calls));
                }
                b'0'..=b'9' if matches!(self.leaf, Leaf::Number(_)) => {
                    self.number = 0;
                    self.mode = Mode::Digits;
                    return at + self.digits(rest.get(at..).unwrap_or_default(), usage);
                }
                _ => {}
            }
        }
        rest.len()
    }

    /// A bracket opens.
    fn opens(&mut self, is_object: bool) {
        let leaf = std::mem::take(&mut self.leaf);
        let place = match (self.at(), leaf, is_object) {
            (None, _, true) => Some(Place::Top),
            (Some(Place::Choices), _, true) => {
                self.seen.has_choice = true;
                Some(Place::Choice)
            }
            (Some(Place::Calls), _, _) => {
                self.seen.has_tokens = true;
                None
            }
            (_, Leaf::Text | Leaf::Call, _) => {
                self.seen.has_tokens = true;
                None
            }
            (_, Leaf::Delta, true) => Some(Place::Block),
            (_, Leaf::At(place), is_object) => {
                let is_array = matches!(place, Place::Choices | Place::Calls);
                self.seen.has_choices |= place == Place::Choices && !is_object;
                self.seen.has_usage |= place == Place::Usage && is_object && self.depth == 1;
                Some(place).filter(|_| is_array != is_object)
            }
            _ => None,
        };
        let slot = self.open.get_mut(self.depth);
        match place.zip(slot) {
            Some((place, slot)) => {
                *slot = place;
                self.depth += 1;
                self.wants_key = is_object;
            }
            None => (self.mode, self.skipped) = (Mode::Skip, 1),
        }
    }

    /// Bytes of a string, up to its end.
    fn string(&mut self, rest: &[u8], usage: &mut Usage) -> usize {
        let mut at = 0;
        if std::mem::take(&mut self.is_escaped) {
            self.text(rest.get(..1).unwrap_or_default());
            at = 1;
        }
        loop {
            let here = rest.get(at..).unwrap_or_default();
            let found = memchr2(b'"', b'\\', here);
            let end = found.unwrap_or(here.len());
            self.text(here.get(..end).unwrap_or_default());
            let Some(byte) = found.and_then(|found| here.get(found)) else {
                return rest.len();
            };
            at += end + 1;
            if *byte == b'"' {
                self.text_ends(usage);
                return at;
            }
            self.text(b"\\");
            match rest.get(at..=at) {
                Some(escaped) => self.text(escaped),
                None => self.is_escaped = true,
            }
            at += 1;
            if at > rest.len() {
                return rest.len();
            }
        }
    }

    fn text(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        match (self.mode, self.leaf) {
            (Mode::Key, _) => {
                let end = self.key_length + bytes.len();
                if let Some(free) = self.key.get_mut(self.key_length..end) {
                    free.copy_from_slice(bytes);
                }
                // Beyond the room it is none of those that count.
                self.key_length = end.min(KEY_MAX + 1);
            }
            (Mode::Text, Leaf::Text | Leaf::Delta) => self.seen.has_tokens = true,
            (Mode::Text, Leaf::Model) => {
                let mut hash = NameHash::from(self.hash);
                hash.push(bytes);
                self.hash = hash.end();
            }
            _ => {}
        }
    }

    fn text_ends(&mut self, usage: &mut Usage) {
        match self.mode {
            Mode::Key => {
                let key = self.key.get(..self.key_length).unwrap_or_default();
                self.leaf = self.at().map_or(Leaf::Other, |place| leaf_of(place, key));
                self.wants_key = false;
            }
            Mode::Text if self.leaf == Leaf::Model => usage.model = Some(self.hash),
            _ => {}
        }
        self.mode = match self.skipped {
            0 => Mode::Between,
            _ => Mode::Skip,
        };
    }

    fn digits(&mut self, rest: &[u8], usage: &mut Usage) -> usize {
        for (at, byte) in rest.iter().enumerate() {
            if !byte.is_ascii_digit() {
                self.mode = Mode::Between;
                if let Leaf::Number(number) = std::mem::take(&mut self.leaf) {
                    *number.of(usage) = Some(self.number);
                }
                return at;
            }
            let digit = u64::from(byte - b'0');
            self.number = self.number.saturating_mul(10).saturating_add(digit);
        }
        rest.len()
    }

    /// Bytes of what does not count, up to its end or to a string in it.
    fn skip(&mut self, rest: &[u8]) -> usize {
        for (at, byte) in rest.iter().enumerate() {
            match byte {
                b'"' => {
                    (self.mode, self.is_escaped) = (Mode::SkipText, false);
                    return at + 1;
                }
                b'{' | b'[' => self.skipped = self.skipped.saturating_add(1),
                b'}' | b']' => {
                    self.skipped -= 1;
                    if self.skipped == 0 {
                        self.mode = Mode::Between;
                        return at + 1;
                    }
                }
                _ => {}
            }
        }
        rest.len()
    }
}

impl Number {
    fn of(self, usage: &mut Usage) -> &mut Option<u64> {
        match self {
            Self::Input => &mut usage.input,
            Self::Output => &mut usage.output,
            Self::Cached => &mut usage.cached,
            Self::CacheRead => &mut usage.cache_read,
            Self::CacheWritten => &mut usage.cache_written,
            Self::Reasoning => &mut usage.reasoning,
        }
    }
}

/// What the member of this key is.
fn leaf_of(place: Place, key: &[u8]) -> Leaf {
    match (place, key) {
        (Place::Top, b"choices") => Leaf::At(Place::Choices),
        (Place::Top | Place::Response, b"usage") => Leaf::At(Place::Usage),
        (Place::Message, b"usage") => Leaf::At(Place::FirstUsage),
        (Place::Top | Place::Response | Place::Message, b"model") => Leaf::Model,
        (Place::Top, b"response") => Leaf::At(Place::Response),
        (Place::Top, b"message") => Leaf::At(Place::Message),
        (Place::Top, b"delta") => Leaf::Delta,
        (Place::Choice, b"delta") => Leaf::At(Place::Delta),
        (Place::Choice, b"text")
        | (Place::Delta, b"content" | b"reasoning_content" | b"reasoning" | b"refusal")
        | (Place::Block, b"text" | b"thinking" | b"partial_json") => Leaf::Text,
        (Place::Delta, b"tool_calls") => Leaf::At(Place::Calls),
        (Place::Delta, b"function_call") => Leaf::Call,
        (Place::Usage, b"completion_tokens" | b"output_tokens") => Leaf::Number(Number::Output),
        (Place::Usage | Place::FirstUsage, _) => leaf_of_usage(key),
        (Place::InputDetails, b"cached_tokens") => Leaf::Number(Number::Cached),
        (Place::OutputDetails, b"reasoning_tokens") => Leaf::Number(Number::Reasoning),
        _ => Leaf::Other,
    }
}

fn leaf_of_usage(key: &[u8]) -> Leaf {
    match key {
        b"prompt_tokens" | b"input_tokens" => Leaf::Number(Number::Input),
        b"cache_read_input_tokens" => Leaf::Number(Number::CacheRead),
        b"cache_creation_input_tokens" => Leaf::Number(Number::CacheWritten),
        b"reasoning_tokens" => Leaf::Number(Number::Reasoning),
        b"prompt_tokens_details" | b"input_tokens_details" => Leaf::At(Place::InputDetails),
        b"completion_tokens_details" | b"output_tokens_details" => Leaf::At(Place::OutputDetails),
        _ => Leaf::Other,
    }
}
