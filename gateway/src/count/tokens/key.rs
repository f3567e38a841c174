//! Sums of one API key's requests for a model.

use std::sync::atomic::{AtomicU64, Ordering};

use super::meter::{Ended, Parts};
use crate::count::spread;

/// What tokens are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Input,
    Cached,
    Output,
    Reasoning,
    /// Of the output, what was counted from pieces.
    Estimated,
}

impl Kind {
    pub(crate) const ALL: [(Self, &'static str); 5] = [
        (Self::Input, "input"),
        (Self::Cached, "cached"),
        (Self::Output, "output"),
        (Self::Reasoning, "reasoning"),
        (Self::Estimated, "estimated"),
    ];
}

/// How the tokens of requests are known.
pub(crate) const KNOWN_BY: [&str; 3] = ["reported", "estimated", "unknown"];

/// One API key's requests for a model.
#[derive(Debug, Default)]
pub(crate) struct KeyMeter {
    tokens: [AtomicU64; Kind::ALL.len()],
    known_by: [AtomicU64; KNOWN_BY.len()],
    first_tokens: AtomicU64,
    /// In microseconds.
    parts: [AtomicU64; Parts::NAMES.len()],
}

pub(super) fn read(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

pub(super) fn add(count: &AtomicU64, more: u64) {
    if more > 0 {
        count.fetch_add(more, Ordering::Relaxed);
    }
}

impl KeyMeter {
    pub(super) fn count(&self, ended: &Ended<'_>) {
        let told = &ended.told;
        let estimated = if told.is_estimated { told.output } else { 0 };
        let tokens = [
            told.input,
            told.cached,
            told.output,
            told.reasoning,
            estimated,
        ];
        self.tokens
            .iter()
            .zip(tokens)
            .for_each(|(sum, more)| add(sum, more));
        let known_by = match (told.is_known, told.is_estimated) {
            (false, _) => &self.known_by[2],
            (true, true) => &self.known_by[1],
            (true, false) => &self.known_by[0],
        };
        add(known_by, 1);
        if let Some(first) = ended.first {
            add(&self.first_tokens, 1);
            let parts = self.parts.iter().zip(first.all());
            parts.for_each(|(sum, part)| add(sum, spread::micros(part)));
        }
    }

    pub(crate) fn tokens(&self, kind: Kind) -> u64 {
        read(&self.tokens[kind as usize])
    }

    /// Requests, in the order of [`KNOWN_BY`].
    pub(crate) fn known_by(&self) -> [u64; KNOWN_BY.len()] {
        self.known_by.each_ref().map(read)
    }

    pub(crate) fn first_tokens(&self) -> u64 {
        read(&self.first_tokens)
    }

    /// Microseconds, in the order of [`Parts::NAMES`].
    pub(crate) fn parts(&self) -> [u64; Parts::NAMES.len()] {
        self.parts.each_ref().map(read)
    }
}
