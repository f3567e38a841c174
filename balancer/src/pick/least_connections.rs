//! The worker with the least `(in_flight + 1) / weight`.
//!
//! Up to [`EXACT_SCAN_MAX`] workers all are looked at. Above, two random ones are compared: that needs no
//! order of all workers, costs the same for any number, and leaves the longest queue only
//! `ln ln n / ln 2 + O(1)` above the mean (Mitzenmacher 2001, "The power of two choices").

use super::{Candidate, Query};
use crate::draw::Draw;

/// Up to this many workers `least-connections` looks at all of them.
pub const EXACT_SCAN_MAX: usize = 64;

/// Pairs drawn before all workers are looked at. When nine of ten workers are full, one of eight pairs
/// still holds a free one with probability 81 %; a full scan is correct in any case, only slower.
const PAIRS_MAX: usize = 8;

/// Scans that may each lose the place they found to another thread. After that the first gate that
/// lets us in is good enough: this many others found a place in the meantime.
const SCANS_MAX: usize = 8;

pub(super) fn pick(candidates: &[Candidate], query: &Query<'_>, mut draw: Draw) -> Option<usize> {
    if candidates.len() > EXACT_SCAN_MAX
        && let Some(index) = pick_of_two(candidates, query, &mut draw)
    {
        return Some(index);
    }
    for _ in 0..SCANS_MAX {
        let index = least(candidates, query, &mut draw)?;
        if candidates[index].try_acquire(query) {
            return Some(index);
        }
    }
    candidates
        .iter()
        .position(|candidate| candidate.try_acquire(query))
}

fn pick_of_two(candidates: &[Candidate], query: &Query<'_>, draw: &mut Draw) -> Option<usize> {
    for _ in 0..PAIRS_MAX {
        let (a, b) = draw.two_below(candidates.len());
        let (one, other) = (&candidates[a], &candidates[b]);
        let index = match (one.free(query), other.free(query)) {
            (Some(x), Some(y)) if is_less(y, other, x, one) => b,
            (Some(_), _) => a,
            (None, Some(_)) => b,
            (None, None) => continue,
        };
        if candidates[index].try_acquire(query) {
            return Some(index);
        }
    }
    None
}

/// The least loaded one that is free. Ties go to the one that a random order puts first.
fn least(candidates: &[Candidate], query: &Query<'_>, draw: &mut Draw) -> Option<usize> {
    let order = draw.bits();
    let mut best: Option<(usize, u32, u64)> = None;
    for (index, candidate) in candidates.iter().enumerate() {
        let Some(in_flight) = candidate.free(query) else {
            continue;
        };
        // A different order of the indexes for every `order`.
        let rank = (index as u64 ^ order).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let better = best.is_none_or(|(leader, least, least_rank)| {
            let leader = &candidates[leader];
            is_less(in_flight, candidate, least, leader)
                || (!is_less(least, leader, in_flight, candidate) && rank < least_rank)
        });
        if better {
            best = Some((index, in_flight, rank));
        }
    }
    best.map(|(index, ..)| index)
}

/// Whether `(x + 1) / weight of a < (y + 1) / weight of b`, without a division.
fn is_less(x: u32, a: &Candidate, y: u32, b: &Candidate) -> bool {
    (u64::from(x) + 1) * u64::from(b.weight()) < (u64::from(y) + 1) * u64::from(a.weight())
}
