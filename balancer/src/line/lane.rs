//! Those who compete by the same rules: the same class, at home at the same worker.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// Whom a waiter shares its turns with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Flow {
    /// Those who come back from a worker that failed them. Always before the others.
    Returned,
    /// Those with this key.
    Of(Option<u64>),
}

/// The round of those who come back.
const BEFORE_ALL: u64 = 0;

/// Waiters in rounds of one per key.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// The round that is being served.
    round: u64,
    pub(super) flows: BTreeMap<Flow, Waiting>,
    /// Round, ticket and flow of the first of every flow.
    heads: BTreeSet<(u64, u64, Flow)>,
    /// Arrival and ticket of all.
    ages: BTreeSet<(Duration, u64)>,
    /// How many each flow has, without those who come back: they are no key that has too much.
    sizes: BTreeSet<(usize, Flow)>,
}

/// Those of one flow.
#[derive(Debug)]
pub(super) struct Waiting {
    /// The round that the first of them belongs to.
    round: u64,
    tickets: BTreeSet<u64>,
}

impl Lane {
    /// Puts one at the end of its flow: tickets come in rising order.
    pub(super) fn join(&mut self, flow: Flow, ticket: u64, arrived: Duration) {
        self.ages.insert((arrived, ticket));
        let round = match flow {
            Flow::Returned => BEFORE_ALL,
            Flow::Of(_) => self.round + 1,
        };
        let waiting = self.flows.entry(flow).or_insert_with(|| Waiting {
            round,
            tickets: BTreeSet::new(),
        });
        let size = waiting.tickets.len();
        if size == 0 {
            self.heads.insert((waiting.round, ticket, flow));
        }
        debug_assert!(waiting.tickets.last().is_none_or(|last| *last < ticket));
        waiting.tickets.insert(ticket);
        self.resize(flow, size, size + 1);
    }

    /// Takes out one who goes without having been served: the next of the flow moves up.
    pub(super) fn leave(&mut self, flow: Flow, ticket: u64, arrived: Duration) {
        self.remove(flow, ticket, arrived, 0);
    }

    /// Takes out the first: the next of the flow has its turn in the next round.
    pub(super) fn serve(&mut self, flow: Flow, ticket: u64, arrived: Duration) {
        let round = self.flows.get(&flow).map_or(0, |waiting| waiting.round);
        self.round = self.round.max(round);
        self.remove(flow, ticket, arrived, u64::from(flow != Flow::Returned));
    }

    /// Ticket of whoever is next.
    pub(super) fn first(&self) -> Option<u64> {
        self.heads.first().map(|&(_, ticket, _)| ticket)
    }

    /// Arrival and ticket of whoever has waited longest.
    pub(super) fn oldest(&self) -> Option<(Duration, u64)> {
        self.ages.first().copied()
    }

    /// Arrival and ticket of whoever came last.
    pub(super) fn newest(&self) -> Option<(Duration, u64)> {
        self.ages.last().copied()
    }

    /// How many the key has that has most, and the ticket of its last.
    pub(super) fn largest(&self) -> Option<(usize, u64)> {
        let (size, flow) = self.sizes.last()?;
        let last = self.flows.get(flow)?.tickets.last()?;
        Some((*size, *last))
    }

    /// The tickets of every flow, each in the order of its turns.
    pub(super) fn by_flow(&self) -> impl Iterator<Item = (Flow, impl Iterator<Item = u64>)> {
        let flows = self.flows.iter();
        flows.map(|(flow, waiting)| (*flow, waiting.tickets.iter().copied()))
    }

    /// How many a flow has.
    pub(super) fn size(&self, flow: Flow) -> usize {
        self.flows
            .get(&flow)
            .map_or(0, |waiting| waiting.tickets.len())
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.ages.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ages.is_empty()
    }

    fn remove(&mut self, flow: Flow, ticket: u64, arrived: Duration, rounds: u64) {
        self.ages.remove(&(arrived, ticket));
        let Some(waiting) = self.flows.get_mut(&flow) else {
            return;
        };
        let was_first = self.heads.remove(&(waiting.round, ticket, flow));
        let size = waiting.tickets.len();
        let was_here = waiting.tickets.remove(&ticket);
        waiting.round += rounds;
        match waiting.tickets.first() {
            Some(&next) if was_first => {
                self.heads.insert((waiting.round, next, flow));
            }
            Some(_) => {}
            None => {
                self.flows.remove(&flow);
            }
        }
        if was_here {
            self.resize(flow, size, size - 1);
        }
    }

    fn resize(&mut self, flow: Flow, from: usize, to: usize) {
        self.sizes.remove(&(from, flow));
        if to > 0 && flow != Flow::Returned {
            self.sizes.insert((to, flow));
        }
    }
}
