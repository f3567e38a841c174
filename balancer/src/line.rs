//! The order in which waiting requests get the places that become free.
//!
//! Without classes, keys and homes it is the order of coming. Each of the three is a wish of the
//! operator, and none of them lets anybody wait for ever:
//!
//! - **Classes** have a delay. A class competes with the time that its oldest waiter came, plus its
//!   delay; the earliest goes first (HAProxy's `set-priority-offset` orders by the same sum). So batch
//!   work with 30 s is overtaken by whoever comes within those 30 s, and by nobody later.
//! - **Keys** share a class in turns. A key has one waiter in each round, and who comes with a new key
//!   joins the next round, behind those who wait for it already. So a key that floods the line delays
//!   the others by one of its requests per round, and a round that has begun gets no longer (start-time
//!   fair queueing, Goyal, Vin and Cheng 1996, but for the last point: there the newest keys come
//!   first, and enough of them would stop an old one).
//! - **Homes**: a request that waits for one worker only, or for any but one, is passed over by places
//!   that it may not have, and those behind it are not held up. All who may have a worker's place
//!   compete like classes.
//!
//! Whoever had a worker that failed it comes back before everybody else of its class: it had its turn.
//!
//! Everything takes logarithmic time, but for [`Line::rehome`] and, where requests have homes,
//! [`Line::displace`]. Room is taken only by those who wait.

mod ahead;
mod lane;
mod late;

use std::{collections::BTreeMap, time::Duration};

pub use self::ahead::Ahead;
use self::lane::{Flow, Lane};

/// Where in the line a request belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Turn {
    /// When it came; the same clock for all.
    pub arrived: Duration,
    /// How much later than that it counts: the delay of its class.
    pub delay: Duration,
    /// Whose it is, where keys take turns. All without a key count as one.
    pub key: Option<u64>,
    /// Whether it comes back from a worker that failed it.
    pub returned: bool,
}

/// Whose places a request waits for. Workers go by their keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Home {
    /// Those of any worker.
    #[default]
    Anywhere,
    /// Those of this worker only.
    At(u64),
    /// Those of any worker but this one, which has failed it.
    NotAt(u64),
}

/// Waiting requests, each with a `T` that is handed out when its turn comes.
#[derive(Debug)]
pub struct Line<T> {
    next_ticket: u64,
    waiters: BTreeMap<u64, Waiter<T>>,
    /// Those who compete by the same rules. No lane is empty.
    lanes: BTreeMap<LaneId, Lane>,
}

/// Whose places are waited for, and delay of the class.
type LaneId = (Home, Duration);

#[derive(Debug)]
struct Waiter<T> {
    turn: Turn,
    home: Home,
    what: T,
}

impl<T> Line<T> {
    /// A line in which nobody waits.
    pub fn new() -> Self {
        Self {
            next_ticket: 0,
            waiters: BTreeMap::new(),
            lanes: BTreeMap::new(),
        }
    }

    /// Lets a request wait. Returns its ticket, with which it may [`leave`](Self::leave).
    pub fn join(&mut self, turn: Turn, home: Home, what: T) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.enter_lane(ticket, turn, home);
        self.waiters.insert(ticket, Waiter { turn, home, what });
        ticket
    }

    /// Takes a request out of the line; `None` if it is not in it any more.
    pub fn leave(&mut self, ticket: u64) -> Option<T> {
        self.remove(ticket, Lane::leave)
    }

    /// Whoever is next for a place at this worker.
    pub fn first(&self, worker: u64) -> Option<&T> {
        let ticket = self.next(worker)?;
        Some(&self.waiters.get(&ticket)?.what)
    }

    /// Takes out whoever is [`first`](Self::first), because it gets the place.
    pub fn serve(&mut self, worker: u64) -> Option<T> {
        let ticket = self.next(worker)?;
        self.remove(ticket, Lane::serve)
    }

    /// Of those who wait for places of several workers the next of every kind, in no order: what they
    /// wish tells which places to look for. Who then gets a place is up to [`serve`](Self::serve).
    pub fn seekers(&self) -> impl Iterator<Item = &T> {
        let lanes = self.lanes_at(Home::Anywhere).chain(self.lanes_not_at());
        lanes.filter_map(|(_, lane)| Some(&self.waiters.get(&lane.first()?)?.what))
    }

    /// Takes out whoever should give way to a request for which there is no room: one of a class that
    /// can wait, if it is due later; or else, where keys take turns, the last of the key that has most,
    /// if the request's own key would still not have more. So what fills the line first is not
    /// all there is in it. Whoever comes back counts as a key of their own here, but as none that
    /// must give way.
    pub fn displace(&mut self, turn: &Turn, home: Home) -> Option<T> {
        let due = turn.arrived.saturating_add(turn.delay);
        let patient = self
            .lanes
            .iter()
            .filter(|((_, delay), _)| *delay > turn.delay);
        let last = patient.filter_map(|((_, delay), lane)| {
            let (arrived, ticket) = lane.newest()?;
            Some((arrived.saturating_add(*delay), ticket))
        });
        let later = last.max().filter(|(last, _)| *last > due);
        let ticket = later.map(|(_, ticket)| ticket).or_else(|| {
            let lane = self.lanes.get(&(home, turn.delay))?;
            let (most, ticket) = lane.largest()?;
            (most > lane.size(flow(turn)) + 1).then_some(ticket)
        })?;
        self.leave(ticket)
    }

    /// Asks anew where everybody is at home, after workers came or went. Rounds begin again if anybody
    /// moved. Takes `n log n`.
    pub fn rehome(&mut self, mut home: impl FnMut(&T) -> Home) {
        let mut moved = false;
        for waiter in self.waiters.values_mut() {
            let now = home(&waiter.what);
            moved |= now != waiter.home;
            waiter.home = now;
        }
        if moved {
            self.lanes.clear();
            let waiters = self.waiters.iter();
            let all: Vec<_> = waiters.map(|(t, w)| (*t, w.turn, w.home)).collect();
            for (ticket, turn, home) in all {
                self.enter_lane(ticket, turn, home);
            }
        }
    }

    /// Takes everybody out.
    pub fn clear(&mut self) -> impl Iterator<Item = T> + use<T> {
        self.lanes.clear();
        let waiters = std::mem::take(&mut self.waiters);
        waiters.into_values().map(|waiter| waiter.what)
    }

    /// When the one that joined first of all came.
    pub fn first_arrival(&self) -> Option<Duration> {
        let (_, waiter) = self.waiters.first_key_value()?;
        Some(waiter.turn.arrived)
    }

    /// Requests waiting.
    pub fn len(&self) -> usize {
        self.waiters.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    fn enter_lane(&mut self, ticket: u64, turn: Turn, home: Home) {
        let lane = self.lanes.entry((home, turn.delay)).or_default();
        lane.join(flow(&turn), ticket, turn.arrived);
    }

    fn remove(&mut self, ticket: u64, way: fn(&mut Lane, Flow, u64, Duration)) -> Option<T> {
        let Waiter { turn, home, what } = self.waiters.remove(&ticket)?;
        let id = (home, turn.delay);
        if let Some(lane) = self.lanes.get_mut(&id) {
            way(lane, flow(&turn), ticket, turn.arrived);
            if lane.is_empty() {
                self.lanes.remove(&id);
            }
        }
        Some(what)
    }

    /// The ticket of whoever is next: of the lane whose oldest waiter is due first.
    fn next(&self, worker: u64) -> Option<u64> {
        let elsewhere = self.lanes_not_at();
        let lanes = self
            .lanes_at(Home::Anywhere)
            .chain(self.lanes_at(Home::At(worker)))
            .chain(elsewhere.filter(|((home, _), _)| *home != Home::NotAt(worker)));
        let due = lanes.filter_map(|(&(_, delay), lane)| {
            let (arrived, ticket) = lane.oldest()?;
            Some(((arrived.saturating_add(delay), ticket), lane))
        });
        let (_, lane) = due.min_by_key(|(due, _)| *due)?;
        lane.first()
    }

    fn lanes_at(&self, home: Home) -> impl Iterator<Item = (&LaneId, &Lane)> {
        self.lanes
            .range((home, Duration::ZERO)..=(home, Duration::MAX))
    }

    /// Few: as many as there are workers that just failed requests which wait for others now.
    fn lanes_not_at(&self) -> impl Iterator<Item = (&LaneId, &Lane)> {
        self.lanes.range((Home::NotAt(0), Duration::ZERO)..)
    }
}

impl<T> Default for Line<T> {
    fn default() -> Self {
        Self::new()
    }
}

fn flow(turn: &Turn) -> Flow {
    if turn.returned {
        Flow::Returned
    } else {
        Flow::Of(turn.key)
    }
}

#[cfg(test)]
mod tests;
