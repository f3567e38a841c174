//! Nobody who is served after workers were lost was told then that it cannot be in its time.

use std::{collections::BTreeMap, time::Duration};

use penstock_balancer::{Crew, Home, LeastWaits, Line, Turn, Work};
use proptest::{collection::vec, prelude::*};

use crate::eta::{Service, chances, seen, service};

/// What happens at some time.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// A place becomes free, if it is still there.
    Free(u64),
    /// So many places are lost, with what is in flight there.
    Lose(usize),
    /// So many new ones come.
    Come(usize),
    /// Somebody joins.
    Join(u64),
    /// Somebody leaves.
    Leave(u64),
}

/// A line before places that come and go, in virtual time.
struct World<'a, C> {
    service: &'a Service,
    chance: C,
    work: Option<Work>,
    /// By nanoseconds, and a number that tells equals apart.
    events: BTreeMap<(u64, u64), Event>,
    made: u64,
    line: Line<u64>,
    /// Place and request that it has, if it has one.
    places: BTreeMap<u64, Option<Turn>>,
    /// When new places come, and how many.
    coming: Vec<(u64, usize)>,
    /// How long new places take at least, in nanoseconds.
    start: u64,
    /// Whether what was in flight on a lost place comes back.
    comes_back: bool,
    /// When each who waits can be served at the earliest, by what was told.
    told: BTreeMap<u64, u64>,
}

fn nanos(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}

impl<C: FnMut() -> f64> World<'_, C> {
    fn at(&mut self, time: u64, event: Event) {
        self.made += 1;
        self.events.insert((time, self.made), event);
    }

    /// Lets everything happen; the first who was served too early for what was told, if one was.
    fn run(&mut self) -> Option<String> {
        let mut tickets = BTreeMap::new();
        while let Some(((now, _), event)) = self.events.pop_first() {
            match event {
                Event::Free(place) => {
                    self.places.entry(place).and_modify(|had| *had = None);
                }
                Event::Come(count) => {
                    self.coming.retain(|(at, _)| *at > now);
                    for _ in 0..count {
                        self.made += 1;
                        self.places.insert(self.made, None);
                    }
                }
                Event::Join(who) => {
                    let turn = self.turn(now);
                    tickets.insert(who, self.line.join(turn, Home::Anywhere, who));
                }
                Event::Leave(who) => {
                    tickets.get(&who).map(|ticket| self.line.leave(*ticket));
                }
                Event::Lose(count) => self.lose(count, now),
            }
            if let Some(wrong) = self.serve(now) {
                return Some(wrong);
            }
        }
        None
    }

    fn turn(&mut self, now: u64) -> Turn {
        let key = ((self.chance)() * 6.0) as u64;
        Turn {
            arrived: Duration::from_nanos(now),
            delay: Duration::from_secs(10 * ((self.chance)() * 3.0) as u64),
            key: (key > 2).then_some(key),
            returned: false,
        }
    }

    fn serve(&mut self, now: u64) -> Option<String> {
        let free: Vec<u64> = self
            .places
            .iter()
            .filter(|(_, had)| had.is_none())
            .map(|(p, _)| *p)
            .collect();
        for place in free {
            let Some(who) = self.line.serve(place) else {
                break;
            };
            if let Some(least) = self.told.get(&who)
                && now + 1000 < *least
            {
                return Some(format!("{who} is served at {now}, told not before {least}"));
            }
            let turn = self.turn(now);
            self.places.insert(place, Some(turn));
            let takes = self.service.time((self.chance)());
            self.at(now + nanos(takes), Event::Free(place));
        }
        None
    }

    /// Some places are gone, and everybody who waits is told for how long at least.
    fn lose(&mut self, count: usize, now: u64) {
        // Only those that were there come again: more would be sooner than anybody was told.
        let count = count.min(self.places.len());
        for _ in 0..count {
            let Some((_, had)) = self.places.pop_first() else {
                break;
            };
            if let Some(turn) = had.filter(|_| self.comes_back) {
                let turn = Turn {
                    returned: true,
                    ..turn
                };
                // Whoever it is was told nothing.
                self.line.join(turn, Home::Anywhere, u64::MAX);
            }
        }
        let at = now + nanos(self.start as f64 / 1e9 * (1.0 + (self.chance)()));
        self.coming.push((at, count));
        self.at(at, Event::Come(count));
        let soonest = self.coming.iter().map(|(at, _)| at - now).min();
        let soonest = soonest.unwrap_or(0).min(self.start);
        let more: usize = self.coming.iter().map(|(_, count)| count).sum();
        let there = self.places.len();
        let crew = Crew {
            now: there as f64,
            later: Some((Duration::from_nanos(soonest), (there + more) as f64)),
        };
        let leasts = LeastWaits::new(self.line.len(), &crew, self.work.as_ref());
        let told = &mut self.told;
        let nobody = self.line.take_late(|ahead, who| {
            let least = leasts.of(ahead).as_nanos();
            let least = now + u64::try_from(least).unwrap_or(u64::MAX / 2);
            if *who != u64::MAX {
                let known = told.entry(*who).or_default();
                *known = least.max(*known);
            }
            false
        });
        assert!(nobody.is_empty());
    }
}

proptest! {
    /// Whatever classes and keys they have, whoever comes, leaves or comes back meanwhile, and however
    /// soon others come in place of those that are lost.
    #[test]
    fn who_is_served_after_losses_was_not_told_that_it_cannot_be(
        service in service(),
        places in 1..12_usize,
        (waiting, newcomers) in (0..600_u64, 0..100_u64),
        losses in vec((0.0..60.0_f64, 1..6_usize), 1..4),
        (start, comes_back) in (0.0..100.0_f64, any::<bool>()),
        (known, leaving) in (0..5_000_usize, 0.0..0.3_f64),
        seed in any::<u64>(),
    ) {
        let mut chance = chances(seed);
        let left = (known as f64 * leaving / (1.0 - leaving)) as u64;
        let work = Work::learn(&seen(&service, known, &mut chance), left);
        let mut world = World {
            service: &service,
            chance,
            work,
            events: BTreeMap::new(),
            made: 0,
            line: Line::new(),
            places: BTreeMap::new(),
            coming: Vec::new(),
            start: nanos(start),
            comes_back,
            told: BTreeMap::new(),
        };
        world.at(0, Event::Come(places));
        for who in 0..waiting + newcomers {
            let later = if who < waiting { 0.0 } else { 60.0 * (world.chance)() };
            world.at(nanos(later), Event::Join(who));
            if (world.chance)() < leaving {
                let leaves = later + 120.0 * (world.chance)();
                world.at(nanos(leaves), Event::Leave(who));
            }
        }
        for (at, count) in losses {
            world.at(nanos(at), Event::Lose(count));
        }
        let wrong = world.run();
        prop_assert!(wrong.is_none(), "{wrong:?}");
    }
}
