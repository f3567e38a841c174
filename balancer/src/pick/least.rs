//! The cheapest worker: of all, or of two random ones.
//!
//! Comparing two random workers needs no order of all, costs the same for any number, and leaves the
//! longest queue only `ln ln n / ln 2 + O(1)` above the mean (Mitzenmacher 2001, "The power of two
//! choices").

use super::{Candidate, Query};
use crate::{
    draw::{Draw, mix},
    lottery::Lottery,
};

/// Up to this many workers `least-connections` looks at all of them.
pub const EXACT_SCAN_MAX: usize = 64;

/// Pairs drawn before all workers are looked at. When nine of ten workers are full, one of eight pairs
/// still holds a free one with probability 81 %; a full scan is correct in any case, only slower.
const PAIRS_MAX: usize = 8;

/// Scans that may each lose the place they found to another thread. After that the first gate that
/// lets us in is good enough: this many others found a place in the meantime.
const SCANS_MAX: usize = 8;

/// Picks by `cost`, which is told the requests in flight. With `pairs` two random workers are
/// compared, without all.
pub(super) fn pick(
    candidates: &[Candidate],
    query: &Query<'_>,
    mut draw: Draw,
    pairs: Option<&Lottery>,
    cost: impl Fn(&Candidate, u32) -> f64,
) -> Option<usize> {
    if let Some(lottery) = pairs {
        for _ in 0..PAIRS_MAX {
            let Some(pair) = lottery.draw_two(&mut draw) else {
                break;
            };
            if let Some(index) = better(candidates, query, pair, &cost)
                && candidates[index].try_acquire(query)
            {
                return Some(index);
            }
        }
    }
    for _ in 0..SCANS_MAX {
        let index = least(candidates, query, &mut draw, &cost)?;
        if candidates[index].try_acquire(query) {
            return Some(index);
        }
    }
    candidates
        .iter()
        .position(|candidate| candidate.try_acquire(query))
}

/// The cheaper one of two; the first when they are equal, since the pair has a random order.
fn better(
    candidates: &[Candidate],
    query: &Query<'_>,
    (a, b): (usize, usize),
    cost: impl Fn(&Candidate, u32) -> f64,
) -> Option<usize> {
    let price = |index: usize| {
        let candidate = &candidates[index];
        candidate
            .free(query)
            .map(|in_flight| cost(candidate, in_flight))
    };
    match (price(a), price(b)) {
        (Some(x), Some(y)) if y < x => Some(b),
        (Some(_), _) => Some(a),
        (None, Some(_)) => Some(b),
        (None, None) => None,
    }
}

/// The cheapest of all that are free. Ties go to the one that a random order puts first.
fn least(
    candidates: &[Candidate],
    query: &Query<'_>,
    draw: &mut Draw,
    cost: impl Fn(&Candidate, u32) -> f64,
) -> Option<usize> {
    let order = draw.bits();
    // A different order of the indexes for every `order`.
    let rank = |index: usize| mix(index as u64 ^ order);
    let mut best = f64::INFINITY;
    let mut winner = None;
    for (index, candidate) in candidates.iter().enumerate() {
        let Some(in_flight) = candidate.free(query) else {
            continue;
        };
        let price = cost(candidate, in_flight);
        let wins = winner
            .is_none_or(|leader| price < best || (price == best && rank(index) < rank(leader)));
        if wins {
            (best, winner) = (price, Some(index));
        }
    }
    winner
}
