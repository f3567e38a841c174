//! Chooses the deployment of a request by weight.

use crate::rotation::{Entry, Rotation};

/// One deployment that takes part in a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Identity across changes; see [`key`](crate::key).
    pub key: u64,
    /// Share of the traffic in relation to the siblings; 0 takes none.
    pub weight: u32,
}

/// Smooth weighted turns between deployments. Any window as long as the sum of the weights (divided by
/// their common divisor) is exact, also when many threads choose at the same time; no lock is taken.
#[derive(Debug)]
pub struct WeightedSplit {
    rotation: Rotation,
}

impl WeightedSplit {
    /// Splits between `shares`, going on from where `previous` stands.
    pub fn new(shares: &[Share], previous: Option<&Self>) -> Self {
        let entries = shares
            .iter()
            .map(|share| Entry {
                key: share.key,
                weight: share.weight,
            })
            .collect();
        Self {
            rotation: Rotation::new(entries, previous.map(|split| &split.rotation)),
        }
    }

    /// The next deployment, as an index into the shares; `None` when no share has a weight.
    pub fn choose(&self) -> Option<usize> {
        self.rotation.next(|_| true)
    }

    /// The next deployment that `may_take` the request; the turns of the others pass to their siblings
    /// in proportion. `None` when none may.
    pub fn choose_where(&self, may_take: impl FnMut(usize) -> bool) -> Option<usize> {
        self.rotation.next(may_take)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(weights: &[u32]) -> Vec<Share> {
        weights
            .iter()
            .zip(0..)
            .map(|(weight, key)| Share {
                key,
                weight: *weight,
            })
            .collect()
    }

    #[test]
    fn every_window_of_the_weight_sum_is_exact() {
        let split = WeightedSplit::new(&shares(&[90, 10]), None);
        let chosen: Vec<_> = (0..50).map(|_| split.choose().unwrap()).collect();
        for window in chosen.windows(10) {
            assert_eq!(window.iter().filter(|chosen| **chosen == 1).count(), 1);
        }
    }

    #[test]
    fn a_deployment_that_takes_nothing_now_leaves_its_share_to_the_others() {
        let split = WeightedSplit::new(&shares(&[50, 30, 20]), None);
        let mut had = [0; 3];
        for _ in 0..100 {
            had[split.choose_where(|index| index != 0).unwrap()] += 1;
        }
        assert_eq!(had, [0, 60, 40]);
    }

    #[test]
    fn a_changed_weight_goes_on_without_a_burst() {
        let mut split = WeightedSplit::new(&shares(&[95, 5]), None);
        let mut canary = 0;
        for percent in [5, 10, 20, 20, 20] {
            split = WeightedSplit::new(&shares(&[100 - percent, percent]), Some(&split));
            canary += (0..20).filter(|_| split.choose() == Some(1)).count();
        }
        // 5 % + 10 % + 3 × 20 % of 20 requests each.
        assert_eq!(canary, 15);
    }
}
