//! A random worker, by weight.

use super::{Candidate, Query};
use crate::{draw::Draw, lottery::Lottery};

/// Draws before the free workers are counted one by one. Drawing again when one refuses keeps the
/// shares of the others in proportion.
const DRAWS_MAX: usize = 8;

pub(super) fn pick(
    candidates: &[Candidate],
    query: &Query<'_>,
    mut draw: Draw,
    lottery: &Lottery,
) -> Option<usize> {
    for _ in 0..DRAWS_MAX {
        let index = lottery.draw(&mut draw)?;
        if candidates[index].try_acquire(query) {
            return Some(index);
        }
    }
    for _ in 0..DRAWS_MAX {
        let index = among_free(candidates, query, &mut draw)?;
        if candidates[index].try_acquire(query) {
            return Some(index);
        }
    }
    candidates
        .iter()
        .position(|candidate| candidate.try_acquire(query))
}

/// One of those that are free now: each replaces the one before with a probability that makes all shares
/// right in the end (weighted reservoir sampling, Chao 1982), so that one walk is enough.
fn among_free(candidates: &[Candidate], query: &Query<'_>, draw: &mut Draw) -> Option<usize> {
    let (mut sum, mut winner) = (0_u64, None);
    for (index, candidate) in candidates.iter().enumerate() {
        if candidate.free(query).is_some() {
            let weight = u64::from(candidate.weight());
            sum += weight;
            // A random number below `sum` is below `weight` with probability `weight / sum`.
            if ((u128::from(draw.bits()) * u128::from(sum)) >> 64) < u128::from(weight) {
                winner = Some(index);
            }
        }
    }
    winner
}
