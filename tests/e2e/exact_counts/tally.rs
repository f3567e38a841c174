//! What clients saw.

use std::{collections::BTreeMap, iter::Sum};

/// Requests by what became of them.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Whole answers by status and, where the gateway made them, reason.
    answers: BTreeMap<(u16, String), u64>,
    /// Requests that the client broke off when a worker had them.
    left: u64,
}

impl Tally {
    pub(super) fn answered(&mut self, status: u16, reason: &str) {
        *self.answers.entry((status, reason.to_owned())).or_default() += 1;
    }

    pub(super) fn left(&mut self) {
        self.left += 1;
    }

    /// All of them.
    pub(super) fn requests(&self) -> u64 {
        self.left + self.answers.values().sum::<u64>()
    }

    /// How many requests the gateway must have booked with each status.
    pub(super) fn codes(&self) -> BTreeMap<u16, u64> {
        let mut codes = BTreeMap::from([(499, self.left)]);
        for ((code, _), count) in &self.answers {
            *codes.entry(*code).or_default() += count;
        }
        codes
    }

    /// Answers of the gateway itself by their reason.
    pub(super) fn reasons(&self) -> impl Iterator<Item = (&str, u64)> {
        let mut reasons = BTreeMap::<&str, u64>::new();
        for ((_, reason), count) in &self.answers {
            if !reason.is_empty() {
                *reasons.entry(reason).or_default() += count;
            }
        }
        reasons.into_iter()
    }

    /// Tries that reached a worker, but for those that were repeated.
    pub(super) fn reached_workers(&self) -> u64 {
        let reached = |reason: &str| reason.is_empty() || reason == "upstream_reset";
        let answered = self
            .answers
            .iter()
            .filter(|((_, reason), _)| reached(reason));
        self.left + answered.map(|(_, count)| count).sum::<u64>()
    }
}

impl Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(tallies: I) -> Self {
        let mut all = Self::default();
        for tally in tallies {
            all.left += tally.left;
            for (answer, count) in tally.answers {
                *all.answers.entry(answer).or_default() += count;
            }
        }
        all
    }
}
