//! What the limits of one service have counted, behind one lock.
//!
//! One lock, because several limits decide together about a request. It is held for a few lookups, and
//! only by requests of services that have limits.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};
use penstock_balancer::{ConcurrencyLimit, RateLimit, RateRule};
use penstock_config::{KeySource, Limit, LimitKind};

/// Keys that one rate limit remembers: a few megabytes when a client sends a new one each time.
const KEYS_MAX: usize = 65_536;

/// Names a counter of the book; never used again for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket(u64);

/// The counters of a service's limits.
#[derive(Default)]
pub(super) struct Book {
    pages: Mutex<Pages>,
    secret: RandomState,
}

#[derive(Default)]
struct Pages {
    counters: BTreeMap<Ticket, Counter>,
    /// Which limit each counter belongs to.
    limits: Vec<Entry>,
    next: u64,
}

/// A limit of an API key, or of the service itself (no name).
struct Entry {
    api_key: String,
    limit: Limit,
    ticket: Ticket,
}

enum Counter {
    Rate(RateLimit),
    Concurrent {
        most: u32,
        requests: ConcurrencyLimit,
    },
}

impl Book {
    /// Takes one of everything wanted (a counter and a key in it), or nothing: then the position of the limit
    /// that refuses longest, and how long.
    pub(super) fn take(
        &self,
        wanted: &[(Ticket, u64)],
        now: Duration,
    ) -> Result<(), (usize, Duration)> {
        let counters = &mut self.pages.lock().counters;
        let refusing = wanted
            .iter()
            .enumerate()
            .filter_map(|(position, (ticket, key))| {
                // A limit that a reload has just removed refuses nobody.
                let wait = counters.get(ticket)?.refuses(*key, now)?;
                Some((position, wait))
            })
            .max_by_key(|(_, wait)| *wait);
        if let Some(refusing) = refusing {
            return Err(refusing);
        }
        for (ticket, key) in wanted {
            match counters.get_mut(ticket) {
                Some(Counter::Rate(limit)) => limit.take(*key, now),
                Some(Counter::Concurrent { requests, .. }) => requests.take(*key),
                None => {}
            }
        }
        Ok(())
    }

    /// Requests that were in progress are over.
    pub(super) fn give_back(&self, places: &[(Ticket, u64)]) {
        let counters = &mut self.pages.lock().counters;
        for (ticket, key) in places {
            if let Some(Counter::Concurrent { requests, .. }) = counters.get_mut(ticket) {
                requests.give_back(*key);
            }
        }
    }

    /// A key for these bytes, or for having none.
    pub(super) fn hash(&self, key: Option<&[u8]>) -> u64 {
        self.secret.hash_one(key)
    }

    /// Begins to bring the book to new rules.
    pub(super) fn draft(&self) -> Draft<'_> {
        let mut pages = self.pages.lock();
        let old = std::mem::take(&mut pages.limits);
        Draft { pages, old }
    }
}

impl Counter {
    fn new(kind: LimitKind) -> Self {
        match kind {
            LimitKind::Rate {
                requests,
                period,
                burst,
            } => Self::Rate(RateLimit::new(
                RateRule::new(requests, period, burst),
                KEYS_MAX,
            )),
            LimitKind::Concurrent(most) => Self::Concurrent {
                most,
                requests: ConcurrencyLimit::default(),
            },
        }
    }

    /// How long a request of this key is refused, if it is; zero when nobody knows.
    fn refuses(&self, key: u64, now: Duration) -> Option<Duration> {
        match self {
            Self::Rate(limit) => Some(limit.wait(key, now)).filter(|wait| !wait.is_zero()),
            Self::Concurrent { most, requests } => {
                (requests.count(key) >= *most).then_some(Duration::ZERO)
            }
        }
    }
}

/// The new rules, one after the other. What is not entered again is forgotten at the end.
pub(super) struct Draft<'a> {
    pages: MutexGuard<'a, Pages>,
    old: Vec<Entry>,
}

impl Draft<'_> {
    /// The counter of a limit of an API key, or of the service itself (no name). One that was there goes
    /// on; if a limit on requests at once only moves up or down, so does its counter.
    pub(super) fn enter(&mut self, api_key: &str, limit: &Limit) -> Ticket {
        let at = |found: &dyn Fn(&Limit) -> bool, old: &[Entry]| {
            old.iter()
                .position(|entry| entry.api_key == api_key && found(&entry.limit))
        };
        let known = at(&|known| known == limit, &self.old)
            .or_else(|| at(&|known| counts_the_same(known, limit), &self.old));
        let ticket = match known {
            Some(position) => self.old.swap_remove(position).ticket,
            None => {
                self.pages.next += 1;
                Ticket(self.pages.next)
            }
        };
        match (self.pages.counters.get_mut(&ticket), limit.kind) {
            (Some(Counter::Concurrent { most, .. }), LimitKind::Concurrent(new)) => *most = new,
            (Some(_), _) => {}
            (None, kind) => drop(self.pages.counters.insert(ticket, Counter::new(kind))),
        }
        self.pages.limits.push(Entry {
            api_key: api_key.to_owned(),
            limit: limit.clone(),
            ticket,
        });
        ticket
    }

    /// Forgets the limits that are gone.
    pub(super) fn commit(mut self) {
        for gone in &self.old {
            self.pages.counters.remove(&gone.ticket);
        }
    }
}

/// Whether both count requests at once by the same keys.
fn counts_the_same(one: &Limit, other: &Limit) -> bool {
    let by = |limit: &Limit| -> Option<Option<KeySource>> {
        matches!(limit.kind, LimitKind::Concurrent(_)).then(|| limit.per.clone())
    };
    by(one).is_some_and(|keys| by(other) == Some(keys))
}
