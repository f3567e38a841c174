//! What it costs to pick a worker, and how hashing compares with its alternatives.
//!
//! `cargo bench --bench pick` prints the table of spread and movement first, then the times. Run it on
//! a quiet machine. Every pick includes taking the place at the gate and giving it back.

use std::{hint::black_box, sync::Arc, time::Duration};

use consistent_hash::{DefaultHash, Node, StaticHashRing};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use penstock_balancer::{
    Candidate, Gate, Overflow, Picker, Policy, Query, RetryBudget, Share, Vitals, WeightedSplit,
    key,
};

/// 64 is the most that `least-connections` looks at one by one.
const SIZES: [u32; 5] = [10, 64, 100, 1_000, 10_000];

const POLICIES: [(&str, Policy); 7] = [
    ("round-robin", Policy::RoundRobin),
    ("least-connections", Policy::LeastConnections),
    ("random", Policy::Random),
    ("hash", Policy::Hash(Overflow::WhenFull)),
    (
        "hash, bounded load",
        Policy::Hash(Overflow::AboveMean(1.25)),
    ),
    ("hash, waiting", Policy::Hash(Overflow::Never)),
    ("peak-ewma", Policy::PeakEwma),
];

/// Points of a worker on the ring; pingora's number.
const RING_POINTS: usize = 160;

fn workers(count: u32) -> Vec<Candidate> {
    (0..count)
        .map(|slot| Candidate {
            key: key(&slot.to_le_bytes()),
            slot,
            weight: 1,
            vitals: Arc::new(Vitals::new(Some(100), false)),
        })
        .collect()
}

fn query(number: u64, in_flight: u32) -> Query<'static> {
    let bits = key(&number.to_le_bytes());
    Query {
        seed: bits,
        now: Duration::from_millis(number >> 16),
        hash: Some(bits),
        in_flight: Some(in_flight),
        avoid: &[],
    }
}

/// A picker whose workers have five requests each, more or less.
fn busy(policy: Policy, count: u32) -> Picker {
    let picker = Picker::new(policy, workers(count), None);
    for (index, worker) in picker.candidates().iter().enumerate() {
        for _ in 0..3 + index % 5 {
            assert!(worker.vitals.gate().try_acquire());
        }
        worker
            .vitals
            .succeeded(Duration::from_millis(50), Duration::ZERO);
    }
    picker
}

fn picks(c: &mut Criterion) {
    for (name, policy) in POLICIES {
        let mut group = c.benchmark_group(name);
        for count in SIZES {
            let picker = busy(policy, count);
            let mut number = 0;
            group.bench_function(BenchmarkId::from_parameter(count), |b| {
                b.iter(|| {
                    number += 1;
                    if let Some(index) = picker.pick(black_box(&query(number, 5 * count))) {
                        picker.candidates()[index].vitals.gate().release();
                    }
                });
            });
        }
        group.finish();
    }
}

fn rebuilds(c: &mut Criterion) {
    let mut group = c.benchmark_group("new picker after a change");
    for (name, policy) in POLICIES {
        let all = workers(1_000);
        let before = Picker::new(policy, all[1..].to_vec(), None);
        group.bench_function(name, |b| {
            b.iter(|| Picker::new(policy, all.clone(), Some(&before)));
        });
    }
    group.finish();
}

fn parts(c: &mut Criterion) {
    let mut group = c.benchmark_group("parts");
    let gate = Gate::new(Some(100));
    group.bench_function("acquire and release", |b| {
        b.iter(|| black_box(&gate).try_acquire() && gate.release() == 0);
    });
    let share = |key, weight| Share { key, weight };
    let split = WeightedSplit::new(&[share(1, 90), share(2, 10)], None);
    group.bench_function("weighted split", |b| b.iter(|| black_box(&split).choose()));
    let budget = RetryBudget::new(Default::default(), Duration::ZERO);
    group.bench_function("retry budget, paying in", |b| {
        b.iter(|| black_box(&budget).request())
    });
    group.bench_function("hash of a 36-byte header", |b| {
        b.iter(|| key(black_box(b"0d4b7e0e-6a3c-4b5e-9f43-2f7b4ad3c1aa")));
    });
    group.finish();
}

/// A way from a hash to a worker, without its load.
type Lookup = Box<dyn Fn(u64) -> u32>;

/// Prepares a lookup among the workers in these slots.
type Prepare = fn(&[u32]) -> Lookup;

/// What we use: rendezvous by darts.
fn darts(slots: &[u32]) -> Lookup {
    let mut all = workers(slots.iter().max().map_or(0, |last| last + 1));
    all.retain(|worker| slots.contains(&worker.slot));
    let picker = Picker::new(Policy::Hash(Overflow::WhenFull), all, None);
    Box::new(move |hash| {
        let query = Query {
            hash: Some(hash),
            ..query(0, 0)
        };
        let index = picker.pick(&query).expect("nothing is in flight");
        picker.candidates()[index].vitals.gate().release();
        picker.candidates()[index].slot
    })
}

/// Rendezvous that asks every worker; equal weights, so that it needs no logarithm.
fn rendezvous(slots: &[u32]) -> Lookup {
    let salted: Vec<(u64, u32)> = slots
        .iter()
        .map(|slot| (key(&slot.to_le_bytes()), *slot))
        .collect();
    let score = |hash: u64, salt: u64| {
        let product = u128::from(hash ^ salt) * u128::from(salt | 1);
        (product as u64) ^ (product >> 64) as u64
    };
    Box::new(move |hash| {
        let best = salted.iter().max_by_key(|(salt, _)| score(hash, *salt));
        best.expect("there are workers").1
    })
}

/// The ring of the `consistent_hash` crate.
fn ring(slots: &[u32]) -> Lookup {
    let nodes = slots
        .iter()
        .map(|slot| Node::new(*slot).quantity(RING_POINTS));
    let ring = StaticHashRing::new(DefaultHash, nodes);
    Box::new(move |hash| {
        ring.calc_candidates(&hash)
            .next()
            .expect("there are workers")
            .key
    })
}

const LOOKUPS: [(&str, Prepare); 3] =
    [("darts", darts), ("rendezvous", rendezvous), ("ring", ring)];

fn lookups(c: &mut Criterion) {
    println!(
        "{:12} {:>6}  {:>5} {:>5}  {:>12}",
        "", "workers", "max", "min", "moved × n"
    );
    for count in SIZES {
        for (name, make) in LOOKUPS {
            spread_and_movement(name, make, count);
        }
    }
    for (name, make) in LOOKUPS {
        let mut group = c.benchmark_group(format!("lookup, {name}"));
        for count in SIZES {
            let lookup = make(&(0..count).collect::<Vec<_>>());
            let mut number = 0_u64;
            group.bench_function(BenchmarkId::from_parameter(count), |b| {
                b.iter(|| {
                    number += 1;
                    lookup(black_box(key(&number.to_le_bytes())))
                });
            });
        }
        group.finish();
    }
}

/// Prints the largest and smallest share in relation to the mean, and what one lost worker moves in
/// relation to its own share (1.00 is the least possible).
fn spread_and_movement(name: &str, make: Prepare, count: u32) {
    let (all, lost) = ((0..count).collect::<Vec<u32>>(), count / 2);
    let fewer: Vec<u32> = all.iter().copied().filter(|slot| *slot != lost).collect();
    let (before, after) = (make(&all), make(&fewer));
    let keys = 300 * count;
    let mut had = vec![0_u32; count as usize];
    let mut moved = 0_u32;
    for number in 0..keys {
        let hash = key(&number.to_be_bytes());
        let owner = before(hash);
        had[owner as usize] += 1;
        // Asking every worker is slow: a part of the keys is enough to see what moves.
        if number < 100_000 {
            moved += u32::from(owner != after(hash));
        }
    }
    let share = |had: Option<&u32>| f64::from(*had.expect("there are workers")) / 300.0;
    let movement = f64::from(moved) / f64::from(keys.min(100_000)) * f64::from(count);
    println!(
        "{name:12} {count:>6}  {:>5.2} {:>5.2}  {movement:>12.2}",
        share(had.iter().max()),
        share(had.iter().min()),
    );
}

criterion_group!(benches, picks, parts, rebuilds, lookups);
criterion_main!(benches);
