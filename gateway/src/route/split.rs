//! Chooses the deployment of a request that names none: rules come first, then the split.

mod rule;
mod sticky;

use std::{collections::BTreeSet, ops::RangeInclusive, sync::Arc, time::Duration};

use http::HeaderValue;
use penstock_balancer::{Share, SplitPolicy, SplitQuery, Splitter, key};
use penstock_config::{
    Service, Split, WhenCold,
    fleet::{DeploymentFleet, Phase, ServiceFleet, WorkerState},
};

use crate::{base::luck, fleet::deployment::DeploymentState, request::request_key::RequestHead};

/// How the requests of one service are split between its deployments. Immutable: another one takes
/// over when settings, weights in force, pauses or, where they count, numbers of workers change.
pub(crate) struct ServiceSplit {
    /// The tier that requests go to.
    first: Tier,
    /// Those that they may go to from there, in their order. Empty where all deployments are of one tier.
    above: Box<[Tier]>,
    /// What it was made of.
    shares: Shares,
    /// Whether choosing needs random numbers.
    draws: bool,
    /// Positions of the deployments that the service's rules lead to.
    rule_targets: Vec<usize>,
    /// Which deployments leave their share to the others while they have no worker. Empty when none
    /// does, which is the usual case.
    spills: Box<[bool]>,
}

/// The deployment of a request.
pub(crate) struct Choice {
    /// Its position in the order of names.
    pub(crate) deployment: usize,
    /// A `Set-Cookie` that binds the client to it from now on.
    pub(crate) cookie: Option<HeaderValue>,
    /// Whether the request may go to a higher tier.
    pub(crate) may_overflow: bool,
}

impl ServiceSplit {
    /// The split of `fleet`, going on from where `previous` stands.
    pub(crate) fn new(fleet: &ServiceFleet, previous: Option<&Self>) -> Self {
        let spec = &*fleet.spec;
        let shares = Shares::of(fleet);
        let spills = spec.deployments.values();
        let spills: Box<[bool]> = spills
            .map(|deployment| deployment.when_cold == WhenCold::Spill)
            .collect();
        let position = |name| spec.deployments.keys().position(|known| known == name);
        let tier = |number| Tier::new(fleet, number, &shares.all, previous);
        let mut above = shares.tiers.iter().skip(1);
        Self {
            first: tier(shares.tiers[0]),
            above: above.by_ref().map(|number| tier(*number)).collect(),
            draws: policy(spec) != SplitPolicy::Turns,
            shares,
            rule_targets: spec
                .matches
                .iter()
                .map(|rule| position(&rule.to).expect("a checked rule leads to a deployment"))
                .collect(),
            spills: if spills.contains(&true) {
                spills
            } else {
                Box::default()
            },
        }
    }

    /// Whether it still is what `fleet` asks for, if the settings did not change.
    pub(crate) fn suits(&self, fleet: &ServiceFleet) -> bool {
        self.shares == Shares::of(fleet)
    }

    /// The weights in force, in the order of names.
    pub(crate) fn weights(&self) -> impl Iterator<Item = u32> {
        self.shares.all.iter().map(|share| share.weight)
    }

    /// Chooses among `deployments` at `now`. `None` when none of them takes requests.
    pub(crate) fn choose(
        &self,
        spec: &Service,
        deployments: &[Arc<DeploymentState>],
        head: &RequestHead<'_>,
        now: Duration,
    ) -> Option<Choice> {
        if let Some(deployment) = self.choose_by_rule(spec, head) {
            return Some(Choice {
                deployment,
                cookie: None,
                // Whoever wrote the rule wants it there.
                may_overflow: false,
            });
        }
        self.choose_bound(spec, head, |hash| match self.first.only {
            Some(only) => Some(only),
            None => self.choose_by(hash, deployments, now),
        })
    }

    /// Whether a deployment that `may_take` a request gets any.
    pub(crate) fn has_one(&self, may_take: impl Fn(usize) -> bool) -> bool {
        let mut shares = self.shares.all.iter().enumerate();
        shares.any(|(index, share)| share.weight > 0 && may_take(index))
    }

    /// Chooses in the lowest of these tiers that has a deployment which `may_take` the request. `None` when
    /// none has.
    pub(crate) fn choose_in(
        &self,
        tiers: RangeInclusive<u8>,
        deployments: &[Arc<DeploymentState>],
        (hash, now): (Option<u64>, Duration),
        may_take: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let cost = |index: usize| deployments[index].cost(now);
        let mut all = std::iter::once(&self.first).chain(&self.above);
        all.find_map(|tier| {
            if !tiers.contains(&tier.number) {
                return None;
            }
            match tier.only {
                Some(only) => may_take(only).then_some(only),
                None => tier.splitter.choose(&self.query(hash), cost, &may_take),
            }
        })
    }

    /// Chooses anew for a request whose deployment was paused before it had a worker, maybe so short a
    /// time ago that this split does not know yet. `None` when there is no other.
    pub(crate) fn choose_another(
        &self,
        spec: &Service,
        deployments: &[Arc<DeploymentState>],
        head: &RequestHead<'_>,
        now: Duration,
    ) -> Option<Choice> {
        if self.choose_by_rule(spec, head).is_some() {
            return None;
        }
        let cost = |index: usize| deployments[index].cost(now);
        let may_take = |index: usize| !deployments[index].view().is_paused();
        self.choose_bound(spec, head, |hash| {
            let splitter = &self.first.splitter;
            splitter.choose(&self.query(hash), cost, may_take)
        })
    }

    /// Chooses with what binds the request to a deployment.
    fn choose_bound(
        &self,
        spec: &Service,
        head: &RequestHead<'_>,
        choose: impl FnOnce(Option<u64>) -> Option<usize>,
    ) -> Option<Choice> {
        let (hash, cookie) = self.binding(spec, head);
        Some(Choice {
            deployment: choose(hash)?,
            cookie,
            may_overflow: !self.above.is_empty(),
        })
    }

    /// The deployment that a rule of the service leads to.
    fn choose_by_rule(&self, spec: &Service, head: &RequestHead<'_>) -> Option<usize> {
        let mut rules = spec.matches.iter().zip(&self.rule_targets);
        let (_, target) = rules.find(|(rule, _)| rule::fits(rule, head))?;
        Some(*target)
    }

    /// What binds the request to a deployment, and a cookie to be set for that.
    pub(crate) fn binding(
        &self,
        spec: &Service,
        head: &RequestHead<'_>,
    ) -> (Option<u64>, Option<HeaderValue>) {
        match &spec.sticky {
            Some(sticky) => sticky::binding(sticky, head),
            None => (self.hash(spec, head), None),
        }
    }

    fn query(&self, hash: Option<u64>) -> SplitQuery {
        SplitQuery {
            // Turns need no luck.
            seed: if self.draws { luck::number() } else { 0 },
            hash,
        }
    }

    /// The hash that a split by hash goes by.
    fn hash(&self, spec: &Service, head: &RequestHead<'_>) -> Option<u64> {
        let by_hash = spec.split == Split::Hash;
        let hash = spec.hash.as_ref().filter(|_| by_hash)?;
        head.hash(&hash.by)
    }

    fn choose_by(
        &self,
        hash: Option<u64>,
        deployments: &[Arc<DeploymentState>],
        now: Duration,
    ) -> Option<usize> {
        let query = self.query(hash);
        let Tier {
            splitter, shares, ..
        } = &self.first;
        let cost = |index: usize| deployments[index].cost(now);
        let chosen = splitter.choose(&query, cost, |_| true)?;
        let is_away = |index: usize| {
            self.spills.get(index) == Some(&true) && !deployments[index].view().has_ready()
        };
        let may_take = |index: usize| !is_away(index);
        let has_sibling = || {
            let mut shares = shares.iter().enumerate();
            shares.any(|(index, share)| share.weight > 0 && may_take(index))
        };
        // When all are cold, the request waits where it belongs.
        if may_take(chosen) || !has_sibling() {
            return Some(chosen);
        }
        // Its share wakes it all the same: without it the deployment would stay at zero for ever.
        deployments[chosen].spilled();
        let sibling = splitter.choose(&query, cost, may_take);
        sibling.or(Some(chosen))
    }
}

/// The deployments of one tier.
struct Tier {
    number: u8,
    splitter: Splitter,
    /// Those of other tiers have none.
    shares: Box<[Share]>,
    /// The only deployment with a weight, if there is but one.
    only: Option<usize>,
}

impl Tier {
    fn new(
        fleet: &ServiceFleet,
        number: u8,
        all: &[Share],
        previous: Option<&ServiceSplit>,
    ) -> Self {
        let own = |(part, share): (&DeploymentFleet, &Share)| Share {
            weight: match part.spec.tier == number {
                true => share.weight,
                false => 0,
            },
            ..*share
        };
        let shares: Vec<Share> = fleet.deployments.iter().zip(all).map(own).collect();
        let before = previous.and_then(|previous| {
            let mut tiers = std::iter::once(&previous.first).chain(&previous.above);
            tiers.find(|tier| tier.number == number)
        });
        let before = before.map(|tier| &tier.splitter);
        Self {
            number,
            splitter: Splitter::new(policy(&fleet.spec), shares.clone(), before),
            only: only(&shares),
            shares: shares.into(),
        }
    }
}

/// What each deployment gets of what its tier gets.
#[derive(PartialEq)]
struct Shares {
    /// In the order of names.
    all: Vec<Share>,
    /// The tiers that take requests, in their order; at least one.
    tiers: Vec<u8>,
}

impl Shares {
    /// A paused deployment gets nothing: unlike one that is cold it will have no worker however long its
    /// share waits. A tier of which all are paused is passed over. Only when all there are are paused,
    /// requests are refused where the weights say.
    fn of(fleet: &ServiceFleet) -> Self {
        let numbers = |fits: fn(&DeploymentFleet) -> bool| {
            let parts = fleet.deployments.iter().filter(|part| fits(part));
            BTreeSet::from_iter(parts.map(|part| part.spec.tier))
        };
        let running = numbers(|part| takes(part) && !is_paused(part));
        let mut tiers: Vec<u8> = match running.is_empty() {
            true => numbers(takes).into_iter().take(1).collect(),
            false => running.iter().copied().collect(),
        };
        if tiers.is_empty() {
            tiers.push(0);
        }
        let parts = |tier: u8| {
            let parts = fleet.deployments.iter();
            parts.filter(move |part| part.spec.tier == tier && takes(part))
        };
        let share = |part: &DeploymentFleet| {
            let tier = part.spec.tier;
            let is_open = |part: &DeploymentFleet| {
                takes(part) && (!running.contains(&tier) || !is_paused(part))
            };
            let by_workers = fleet.spec.split == Split::Workers
                // While nobody has a worker, requests wait where the weights say.
                && parts(tier).any(|part| is_open(part) && ready(part) > 0);
            Share {
                key: key(part.spec.name.as_str().as_bytes()),
                weight: match fleet.spec.split {
                    _ if !is_open(part) => 0,
                    Split::RoundRobin => 1,
                    Split::Workers if by_workers => ready(part),
                    _ => part.weight,
                },
            }
        };
        Self {
            all: fleet.deployments.iter().map(share).collect(),
            tiers,
        }
    }
}

fn only(shares: &[Share]) -> Option<usize> {
    let mut takers = shares
        .iter()
        .enumerate()
        .filter(|(_, share)| share.weight > 0);
    let (first, _) = takers.next()?;
    takers.next().is_none().then_some(first)
}

fn takes(part: &DeploymentFleet) -> bool {
    part.spec.takes_traffic && part.weight > 0
}

fn is_paused(part: &DeploymentFleet) -> bool {
    matches!(part.phase, Phase::Paused { .. })
}

fn ready(part: &DeploymentFleet) -> u32 {
    let ready = part.workers.iter();
    let ready = ready.filter(|worker| worker.state == WorkerState::Ready);
    u32::try_from(ready.count()).unwrap_or(u32::MAX)
}

fn policy(spec: &Service) -> SplitPolicy {
    match spec.split {
        Split::Weights | Split::Workers | Split::RoundRobin => SplitPolicy::Turns,
        Split::LeastConnections => SplitPolicy::LeastConnections,
        Split::Random => SplitPolicy::Random,
        Split::Hash => SplitPolicy::Hash,
    }
}

#[cfg(test)]
mod tests;
