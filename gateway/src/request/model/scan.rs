//! Finds the model that a JSON body names at its top level, and watches that it names no other one.
//!
//! A body is passed on as soon as its model is known, and what comes behind is watched as it passes: should it
//! name a model once more, it is cut off there, and the worker never gets the end of it. So router and worker
//! cannot disagree about which model it was, whichever of the two the worker would have taken, and no more of
//! a body is held than comes before its model.
#![cfg_attr(not(test), deny(clippy::indexing_slicing))] // Outside input.

use super::{
    text::NoText,
    walk::{Step, Walk},
};

/// Longest name of a model that is looked up, in bytes.
pub(crate) const NAME_MAX: usize = 800;

/// The parameter by which a client asks for the usage of a stream.
pub(crate) const STREAM_OPTIONS: &str = "stream_options";

/// Why no model can be told by a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is not what it should be, in words.
    Malformed(&'static str),
    /// The model is named twice.
    Twice,
    /// The model is something else than a text.
    NotText,
    /// Its name is longer than any.
    TooLong,
}

impl Fault {
    /// In words for the client.
    pub(crate) fn detail(self) -> &'static str {
        match self {
            Self::Malformed(why) => why,
            Self::Twice => "the request names its model twice",
            Self::NotText => "`model` must be a string",
            Self::TooLong => "`model` is longer than the name of any model",
        }
    }
}

/// Whether a key is the one of the model.
pub(super) fn is_model(key: &str) -> Result<bool, Fault> {
    match key {
        "model" => Ok(true),
        // There are workers for which these are the same.
        _ if key.eq_ignore_ascii_case("model") => Err(Fault::Malformed(
            "the request has a parameter that differs from `model` in case alone",
        )),
        _ => Ok(false),
    }
}

/// What is known of a body.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    walk: Walk,
    is_model: bool,
    model: Option<Box<str>>,
    is_stream: bool,
    /// Whether it asks for a stream of events.
    streams: bool,
    /// Whether it says what such a stream is to tell.
    has_options: bool,
}

impl Scan {
    /// Looks at the next piece.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) -> Result<(), Fault> {
        while !bytes.is_empty() {
            let (used, step) = self.walk.step(bytes).map_err(Fault::Malformed)?;
            bytes = bytes.get(used..).unwrap_or_default();
            match step {
                Step::Key => {
                    let key = self.walk.text().read();
                    self.is_stream = key == Ok("stream");
                    self.has_options |= key == Ok(STREAM_OPTIONS);
                    self.is_model = key.map_or(Ok(false), is_model)?;
                    if self.is_model && self.model.is_some() {
                        return Err(Fault::Twice);
                    }
                    if self.is_model {
                        self.walk.want(NAME_MAX);
                    }
                }
                Step::Member if std::mem::take(&mut self.is_model) => {
                    let text = self.walk.text().read().map_err(|no_text| match no_text {
                        NoText::TooLong => Fault::TooLong,
                        NoText::Other => Fault::NotText,
                        NoText::Malformed => Fault::Malformed("`model` is not valid text"),
                    });
                    self.model = Some(text?.into());
                }
                Step::Member if std::mem::take(&mut self.is_stream) => {
                    self.streams = self.walk.is_true();
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether it asks for a stream of events, as far as it has come.
    pub(crate) fn streams(&self) -> bool {
        self.streams
    }

    /// Whether it says what such a stream is to tell.
    pub(crate) fn has_options(&self) -> bool {
        self.has_options
    }

    /// The model, once it has come.
    pub(crate) fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// Whether nothing more can come.
    pub(crate) fn is_done(&self) -> bool {
        self.walk.is_done()
    }
}

#[cfg(test)]
mod tests;
