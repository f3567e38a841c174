//! Nobody is told of a longer least wait than it then has.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use penstock_balancer::{Crew, Home, Line, Turn, Work, least_wait};
use proptest::{collection::vec, prelude::*};

/// How long requests keep their places: everything from all alike to a few that take almost everything.
#[derive(Debug, Clone)]
pub(crate) enum Service {
    Alike(f64),
    Between(f64, f64),
    Exponential(f64),
    Either { short: f64, long: f64, share: f64 },
}

impl Service {
    /// That of the request that `chance`, 0 to 1, stands for.
    pub(crate) fn time(&self, chance: f64) -> f64 {
        match self {
            Self::Alike(time) => *time,
            Self::Between(least, more) => least + more * chance,
            Self::Exponential(mean) => -mean * (1.0 - chance).ln(),
            Self::Either { short, share, .. } if chance < *share => *short,
            Self::Either { long, .. } => *long,
        }
    }
}

pub(crate) fn service() -> impl Strategy<Value = Service> {
    let time = || 0.002..60.0_f64;
    prop_oneof![
        time().prop_map(Service::Alike),
        (time(), time()).prop_map(|(least, more)| Service::Between(least, more)),
        time().prop_map(Service::Exponential),
        (time(), time(), 0.01..0.99_f64).prop_map(|(one, other, share)| Service::Either {
            short: one.min(other),
            long: one.max(other),
            share,
        }),
    ]
}

/// A deterministic stream of numbers between 0 and 1.
pub(crate) fn chances(mut seed: u64) -> impl FnMut() -> f64 {
    move || {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// What was seen of `count` requests: how long they took, by buckets that double, each counted as the
/// least that its bucket holds.
pub(crate) fn seen(
    service: &Service,
    count: usize,
    chance: &mut impl FnMut() -> f64,
) -> Vec<(Duration, u64)> {
    let mut buckets = vec![0_u64; 24];
    for _ in 0..count {
        let millis = (service.time(chance()) * 1000.0) as u64;
        let bucket = (u64::BITS - millis.leading_zeros()) as usize;
        buckets[bucket.min(23)] += 1;
    }
    let least = |bucket: usize| if bucket == 0 { 0 } else { 1 << (bucket - 1) };
    let buckets = buckets.into_iter().enumerate();
    buckets
        .map(|(bucket, count)| (Duration::from_millis(least(bucket)), count))
        .collect()
}

proptest! {
    /// Requests in flight end when they like, `later` places come as early as they can, and of those
    /// ahead some leave; whoever is behind them all gets a place no earlier than it could count on.
    #[test]
    fn who_is_served_was_not_told_that_it_cannot_be(
        service in service(),
        places in 0..20_usize,
        (start, more) in (0.0..100.0_f64, 1..20_usize),
        ahead in 0..2_000_usize,
        (known, leaving) in (0..5_000_usize, 0.0..0.3_f64),
        seed in any::<u64>(),
    ) {
        let mut chance = chances(seed);
        let left = (known as f64 * leaving / (1.0 - leaving)) as u64;
        let work = Work::learn(&seen(&service, known, &mut chance), left);
        let crew = Crew {
            now: places as f64,
            later: Some((Duration::from_secs_f64(start), (places + more) as f64)),
        };
        let least = least_wait(ahead, &crew, work.as_ref()).as_secs_f64();
        // When each place is free next.
        let mut free: BinaryHeap<Reverse<u64>> = BinaryHeap::new();
        let nanos = |seconds: f64| (seconds * 1e9) as u64;
        for _ in 0..places {
            free.push(Reverse(nanos(service.time(chance()) * chance())));
        }
        for _ in 0..more {
            free.push(Reverse(nanos(start)));
        }
        for _ in 0..ahead {
            if chance() >= leaving {
                let Reverse(at) = free.pop().unwrap();
                free.push(Reverse(at + nanos(service.time(chance()))));
            }
        }
        let Reverse(served_at) = free.pop().unwrap();
        let served = served_at as f64 / 1e9;
        prop_assert!(served >= least - 1e-6, "served after {served} s, told at least {least} s");
    }

    /// Whatever classes, keys and homes those ahead have.
    #[test]
    fn at_least_so_many_are_served_before(
        joins in vec((0..4_u64, prop::option::of(0..4_u64), 0..4_u64, any::<bool>()), 0..60),
        serves in vec((0..60_usize, 1..4_u64), 0..20),
        own in (0..4_u64, prop::option::of(0..4_u64), 0..4_u64, any::<bool>()),
        worker in 1..4_u64,
    ) {
        let mut line = Line::new();
        let of = |(delay, key, home, returned): (u64, Option<u64>, u64, bool), at: u64| {
            let turn = Turn {
                arrived: Duration::from_secs(at),
                delay: Duration::from_secs(delay * 10),
                key,
                returned,
            };
            (turn, if home == 0 { Home::Anywhere } else { Home::At(home) })
        };
        let count = joins.len() as u64;
        for (at, join) in joins.into_iter().enumerate() {
            let (turn, home) = of(join, at as u64);
            line.join(turn, home, false);
            for _ in serves.iter().filter(|(after, _)| *after == at) {
                line.serve(worker);
            }
        }
        let (turn, home) = of(own, count);
        let ahead = line.ahead(&turn, home);
        prop_assert!(ahead.least <= ahead.likely && ahead.likely <= line.len());
        line.join(turn, home, true);
        let at = if let Home::At(at) = home { at } else { worker };
        let mut before = 0;
        while let Some(own) = line.serve(at) {
            if own {
                prop_assert!(ahead.least <= before, "{ahead:?}, and {before} were before it");
                return Ok(());
            }
            before += 1;
        }
        prop_assert!(false, "it was never served");
    }
}
