//! Chooses the deployment of a request.

use crate::{
    draw::Draw,
    rendezvous::{self, Racer},
    rotation::{Entry, Rotation},
};

/// How requests are split between the deployments of a service.
///
/// `workers` and `round-robin` need no rule of their own: they are [`Turns`](Self::Turns) with the
/// number of ready workers, or 1, for a weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SplitPolicy {
    /// Smooth turns: any window as long as the sum of the weights is exact. A request with a hash takes
    /// no turn but goes where [`Hash`](Self::Hash) would send it.
    Turns,
    /// The least `cost / weight`; ties at random.
    LeastConnections,
    /// At random, by weight.
    Random,
    /// By the request's hash, stable when weights change: raising a weight moves keys only to that
    /// deployment. At random when the request has no hash.
    Hash,
}

/// One deployment that takes part in a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Identity across changes; see [`key`](crate::key()).
    pub key: u64,
    /// Share of the traffic in relation to the siblings; 0 takes none.
    pub weight: u32,
}

/// What one choice may depend on.
#[derive(Debug, Clone, Copy)]
pub struct SplitQuery {
    /// Fresh random bits for every choice.
    pub seed: u64,
    /// Hash of what binds the request to a deployment.
    pub hash: Option<u64>,
}

/// Splits between the deployments of one service by one policy. Immutable, shared by all threads;
/// choosing takes no lock and allocates nothing.
#[derive(Debug)]
pub struct Splitter {
    policy: SplitPolicy,
    shares: Box<[Share]>,
    turns: WeightedSplit,
}

impl Splitter {
    /// Splits between `shares`, going on from where `previous` stands.
    pub fn new(policy: SplitPolicy, shares: Vec<Share>, previous: Option<&Self>) -> Self {
        Self {
            policy,
            turns: WeightedSplit::new(&shares, previous.map(|splitter| &splitter.turns)),
            shares: shares.into(),
        }
    }

    /// The deployment for a request, as an index into the shares. `cost` tells what one more request
    /// costs a deployment: the requests it would then have, and more if it [fails](crate::Strikes);
    /// those that `may_take` denies are passed over, in proportion. `None` when no deployment with a
    /// weight may.
    pub fn choose(
        &self,
        query: &SplitQuery,
        cost: impl Fn(usize) -> f64,
        may_take: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let open = || {
            let all = self.shares.iter().enumerate();
            all.filter(|(index, share)| share.weight > 0 && may_take(*index))
        };
        match (self.policy, query.hash) {
            (SplitPolicy::Turns, None) => self.turns.choose_where(&may_take),
            (SplitPolicy::LeastConnections, _) => least(open(), cost, &mut Draw::new(query.seed)),
            // Without a hash the race is between fresh random numbers: a weighted random choice.
            (SplitPolicy::Turns | SplitPolicy::Hash, Some(hash)) => race(open(), hash),
            (SplitPolicy::Hash, None) | (SplitPolicy::Random, _) => race(open(), query.seed),
        }
    }
}

fn race<'a>(open: impl Iterator<Item = (usize, &'a Share)>, hash: u64) -> Option<usize> {
    let racers = open.map(|(index, share)| Racer {
        index,
        key: share.key,
        weight: share.weight,
    });
    rendezvous::winner(hash, racers)
}

fn least<'a>(
    open: impl Iterator<Item = (usize, &'a Share)>,
    cost: impl Fn(usize) -> f64,
    draw: &mut Draw,
) -> Option<usize> {
    let price = |(index, share): (usize, &Share)| {
        let price = cost(index) / f64::from(share.weight);
        (price, draw.bits(), index)
    };
    open.map(price)
        .min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)))
        .map(|(.., index)| index)
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
mod tests;
