//! Weighted rendezvous: each key belongs to the entry that wins a race for it.
//!
//! An entry of weight `w` arrives at an exponentially distributed time of rate `w`, made from the key
//! and the entry alone; the first to arrive gets the key. So an entry's share is exactly in proportion
//! to its weight, and when one weight changes, keys move to or from that entry only: nobody else's
//! time has changed (Thaler and Ravishankar 1998; in this form Schindelhauer and Schomaker 2005).

use crate::draw::{mix, unit};

/// One entry in the race.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Racer {
    /// What the caller wants back.
    pub(crate) index: usize,
    /// Identity.
    pub(crate) key: u64,
    /// Share; 0 never wins.
    pub(crate) weight: u32,
}

/// Who gets the key with this hash. Costs a logarithm per entry, so it is for short lists.
pub(crate) fn winner(hash: u64, racers: impl Iterator<Item = Racer>) -> Option<usize> {
    let mut best = (f64::INFINITY, None);
    for racer in racers.filter(|racer| racer.weight > 0) {
        // Both are mixed before they meet, so that no pair of key and entry looks like another.
        let bits = mix(mix(hash).wrapping_add(mix(racer.key)));
        let time = -(1.0 - unit(bits)).ln() / f64::from(racer.weight);
        if time < best.0 {
            best = (time, Some(racer.index));
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(hash: u64, weights: &[u32]) -> Option<usize> {
        let racers = weights.iter().enumerate().map(|(index, weight)| Racer {
            index,
            key: index as u64,
            weight: *weight,
        });
        winner(hash, racers)
    }

    #[test]
    fn shares_are_in_proportion_to_weights() {
        let weights = [1, 2, 7, 0];
        let mut had = [0_u32; 4];
        for hash in 0..100_000 {
            had[owner(hash, &weights).unwrap()] += 1;
        }
        for (had, weight) in had.iter().zip(weights) {
            assert!(had.abs_diff(weight * 10_000) < 500, "{had} for {weight}");
        }
        assert_eq!(owner(1, &[0, 0]), None);
    }

    #[test]
    fn a_changed_weight_moves_keys_to_or_from_its_entry_only() {
        for hash in 0..10_000 {
            let before = owner(hash, &[50, 30, 20]);
            let after = owner(hash, &[50, 40, 20]);
            assert!(before == after || after == Some(1));
        }
    }
}
