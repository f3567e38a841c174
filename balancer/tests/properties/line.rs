//! The line of those who wait loses nobody, serves nobody twice, and lets nobody wait for ever.

use std::{collections::BTreeMap, time::Duration};

use penstock_balancer::{Home, Line, Turn};
use proptest::{collection::vec, prelude::*};

/// Workers that requests may be at home at.
const WORKERS: u64 = 4;

/// Something that happens to a line. Numbers are taken modulo what there is.
#[derive(Debug, Clone)]
enum Event {
    Join {
        delay: u64,
        key: Option<u64>,
        home: Home,
        returned: bool,
    },
    Leave(usize),
    /// Somebody with these wishes finds no room.
    Displace {
        delay: u64,
        key: Option<u64>,
        home: Home,
        returned: bool,
    },
    Serve(u64),
    /// Everybody is at home somewhere else.
    Rehome(u64),
}

fn event() -> impl Strategy<Value = Event> {
    let join = (0..3_u64, of_few(5), home(), any::<bool>());
    prop_oneof![
        4 => join.prop_map(|(delay, key, home, returned)| Event::Join { delay, key, home, returned }),
        1 => any::<usize>().prop_map(Event::Leave),
        1 => (0..3_u64, of_few(5), home(), any::<bool>()).prop_map(
            |(delay, key, home, returned)| Event::Displace { delay, key, home, returned }
        ),
        3 => (0..WORKERS).prop_map(Event::Serve),
        1 => (0..WORKERS).prop_map(Event::Rehome),
    ]
}

fn of_few(count: u64) -> impl Strategy<Value = Option<u64>> {
    prop::option::of(0..count)
}

fn home() -> impl Strategy<Value = Home> {
    prop_oneof![
        Just(Home::Anywhere),
        (0..WORKERS).prop_map(Home::At),
        (0..WORKERS).prop_map(Home::NotAt),
    ]
}

/// One who waits, as the model sees it.
#[derive(Debug, Clone, Copy)]
struct Waiter {
    turn: Turn,
    home: Home,
}

impl Waiter {
    fn may_have(&self, worker: u64) -> bool {
        match self.home {
            Home::Anywhere => true,
            Home::At(home) => home == worker,
            Home::NotAt(home) => home != worker,
        }
    }

    fn due(&self) -> Duration {
        self.turn.arrived + self.turn.delay
    }
}

/// A line of numbered requests beside a plain list of them.
#[derive(Default)]
struct Pair {
    line: Line<u64>,
    list: BTreeMap<u64, Waiter>,
    moved: u64,
}

impl Pair {
    /// Number and line's ticket are the same, because both are counted up.
    fn join(&mut self, number: u64, waiter: Waiter) {
        assert_eq!(self.line.join(waiter.turn, waiter.home, number), number);
        self.list.insert(number, waiter);
    }

    fn leave(&mut self, nth: usize) {
        let Some(&number) = self.list.keys().nth(nth % self.list.len().max(1)) else {
            return;
        };
        assert_eq!(self.line.leave(number), Some(number));
        self.list.remove(&number);
    }

    /// Whoever gives way is due later than the newcomer, or has a key with more than its key and does
    /// not come back.
    fn displace(&mut self, turn: &Turn, home: Home) {
        let Some(number) = self.line.displace(turn, home) else {
            return;
        };
        let size = |waiter: &Waiter| {
            let same = |other: &&Waiter| {
                let (a, b) = (other.turn, waiter.turn);
                let same_key = a.returned || a.key == b.key;
                other.home == waiter.home
                    && (a.delay, a.returned) == (b.delay, b.returned)
                    && same_key
            };
            self.list.values().filter(same).count()
        };
        let newcomer = Waiter { turn: *turn, home };
        let gone = self.list[&number];
        let can_wait = gone.turn.delay > turn.delay && gone.due() > newcomer.due();
        let has_more = gone.home == home
            && gone.turn.delay == turn.delay
            && !gone.turn.returned
            && size(&gone) > size(&newcomer) + 1;
        assert!(can_wait || has_more, "{gone:?} for {newcomer:?}");
        self.list.remove(&number);
    }

    fn rehome(&mut self, shift: u64) {
        self.moved += shift;
        let home = |number: u64| match (number + self.moved) % (2 * WORKERS + 1) {
            0 => Home::Anywhere,
            at if at <= WORKERS => Home::At(at - 1),
            not_at => Home::NotAt(not_at - WORKERS - 1),
        };
        self.line.rehome(|number| home(*number));
        for (number, waiter) in &mut self.list {
            waiter.home = home(*number);
        }
    }

    /// Serves one; who it was.
    fn serve(&mut self, worker: u64) -> Option<Waiter> {
        let first = self.line.first(worker).copied();
        let served = self.line.serve(worker);
        assert_eq!(first, served);
        let somebody = self.list.values().any(|waiter| waiter.may_have(worker));
        assert_eq!(
            served.is_some(),
            somebody,
            "a place goes to waste, or to nobody"
        );
        let waiter = self.list.remove(&served?).expect("nobody is served twice");
        assert!(waiter.may_have(worker));
        Some(waiter)
    }
}

proptest! {
    #[test]
    fn nobody_is_lost_served_twice_or_sent_to_a_foreign_worker(events in vec(event(), 1..200)) {
        let mut pair = Pair::default();
        let mut number = 0;
        for (second, event) in (0..).zip(events) {
            match event {
                Event::Join { delay, key, home, returned } => {
                    let turn = Turn {
                        arrived: Duration::from_secs(second),
                        delay: Duration::from_secs(delay * 10),
                        key,
                        returned,
                    };
                    pair.join(number, Waiter { turn, home });
                    number += 1;
                }
                Event::Leave(nth) => pair.leave(nth),
                Event::Displace { delay, key, home, returned } => {
                    let turn = Turn {
                        arrived: Duration::from_secs(second),
                        delay: Duration::from_secs(delay * 10),
                        key,
                        returned,
                    };
                    pair.displace(&turn, home);
                }
                Event::Serve(worker) => {
                    let before = pair.list.clone();
                    if let Some(served) = pair.serve(worker) {
                        prop_assert!(is_of_the_class_due_first(&served, &before, worker));
                    }
                }
                Event::Rehome(shift) => pair.rehome(shift),
            }
            prop_assert_eq!(pair.line.len(), pair.list.len());
            let seek = |waiter: &Waiter| !matches!(waiter.home, Home::At(_));
            prop_assert_eq!(pair.line.seekers().next().is_some(), pair.list.values().any(seek));
        }
        let left: Vec<u64> = pair.line.clear().collect();
        prop_assert_eq!(left, pair.list.into_keys().collect::<Vec<_>>());
    }

    #[test]
    fn without_keys_nobody_is_overtaken_by_one_who_is_due_later(
        joins in vec((0..3_u64, home(), 0..WORKERS), 1..200),
    ) {
        let mut pair = Pair::default();
        for (number, (delay, home, worker)) in (0..).zip(joins) {
            let turn = Turn {
                arrived: Duration::from_secs(number),
                delay: Duration::from_secs(delay * 10),
                ..Turn::default()
            };
            pair.join(number, Waiter { turn, home });
            // Two of three come on top, so that the line grows.
            if number % 3 == 0 && let Some(served) = pair.serve(worker) {
                let first = pair.list.values().filter(|waiter| waiter.may_have(worker));
                prop_assert!(first.map(Waiter::due).min().is_none_or(|due| due >= served.due()));
            }
        }
    }

    #[test]
    fn every_key_has_one_turn_in_each_round(
        joins in vec(0..6_u64, 1..300),
    ) {
        let mut line = Line::new();
        for key in &joins {
            line.join(Turn { key: Some(*key), ..Turn::default() }, Home::Anywhere, *key);
        }
        let mut left = joins.iter().fold(BTreeMap::new(), |mut counts, key| {
            *counts.entry(*key).or_insert(0_u32) += 1;
            counts
        });
        while !left.is_empty() {
            let mut round: Vec<u64> = (0..left.len()).filter_map(|_| line.serve(0)).collect();
            round.sort_unstable();
            prop_assert_eq!(&round, &left.keys().copied().collect::<Vec<_>>());
            left.retain(|_, count| {
                *count -= 1;
                *count > 0
            });
        }
        prop_assert!(line.is_empty());
    }
}

/// Whether nobody of another class, or at home elsewhere, who could have had the place, is the
/// oldest of its kind and due before the oldest of the kind of `served`.
fn is_of_the_class_due_first(served: &Waiter, before: &BTreeMap<u64, Waiter>, worker: u64) -> bool {
    let kind = |waiter: &Waiter| (waiter.home, waiter.turn.delay);
    let fit = before.values().filter(|waiter| waiter.may_have(worker));
    let own = before
        .values()
        .filter(|waiter| kind(waiter) == kind(served));
    fit.map(Waiter::due).min() == own.map(Waiter::due).min()
}

#[test]
fn a_key_that_floods_delays_another_by_one_request_per_request() {
    let mut line = Line::new();
    let of = |key| Turn {
        key: Some(key),
        ..Turn::default()
    };
    for _ in 0..1_000 {
        line.join(of(1), Home::Anywhere, "flood");
    }
    // Ten of the flood are served before the other comes, and it comes again with every answer.
    for _ in 0..10 {
        line.serve(0);
    }
    for _ in 0..100 {
        line.join(of(2), Home::Anywhere, "other");
        assert_eq!(line.serve(0), Some("flood"));
        assert_eq!(line.serve(0), Some("other"));
    }
}

#[test]
fn keys_that_come_without_end_do_not_stop_an_old_one() {
    const FLOOD: usize = 30;
    let mut line = Line::new();
    for _ in 0..FLOOD {
        line.join(
            Turn {
                key: Some(0),
                ..Turn::default()
            },
            Home::Anywhere,
            0,
        );
    }
    // With every place comes a new key, so the line never gets shorter.
    let mut had = 0;
    for (key, places) in (1..).zip(1..) {
        line.join(
            Turn {
                key: Some(key),
                ..Turn::default()
            },
            Home::Anywhere,
            key,
        );
        had += usize::from(line.serve(0) == Some(0));
        if had == FLOOD {
            break;
        }
        assert!(
            places < FLOOD * FLOOD,
            "the old key had {had} of {places} places"
        );
    }
}

#[test]
fn a_delayed_class_waits_its_delay_and_what_came_before_it() {
    let mut line = Line::new();
    let at = |second| Turn {
        arrived: Duration::from_secs(second),
        ..Turn::default()
    };
    let batch = Turn {
        delay: Duration::from_secs(30),
        ..at(0)
    };
    line.join(batch, Home::Anywhere, "batch");
    // More interactive requests than places: one place a second, two that come.
    let waited = (1..).find(|&second| {
        line.join(at(second), Home::Anywhere, "interactive");
        line.join(at(second), Home::Anywhere, "interactive");
        line.serve(0) == Some("batch")
    });
    // Those of 29 seconds were before it, two a second.
    assert_eq!(waited, Some(2 * 29 + 1));
}

#[test]
fn places_of_a_worker_pass_by_those_who_wait_for_others() {
    let mut line = Line::new();
    for number in 0..10_000 {
        line.join(Turn::default(), Home::At(1), number);
    }
    line.join(Turn::default(), Home::At(2), 10_000);
    assert_eq!(line.serve(2), Some(10_000));
    assert_eq!(line.serve(2), None);
    assert!(line.seekers().next().is_none());
    assert_eq!(line.serve(1), Some(0));
}
