//! Requests against drains and stops in thousands of random orders.

use std::time::Duration;

use penstock_config::{ConcurrencyRule, Rule};

use crate::{
    random::Random,
    world::{Request, Setup, World},
};

/// A deployment at zero most of the time, with everything about as long as everything else.
fn setup(random: &mut Random) -> Setup {
    let mut setup = Setup::default();
    setup.scaling.min = 0;
    setup.scaling.max = 1 + random.below(3) as u32;
    setup.scaling.idle_timeout = millis(random.below(600));
    setup.scaling.down.stable_for = Some(millis(random.below(600)));
    setup.start = millis(random.below(300));
    setup.delay = millis(random.below(150));
    // Nothing may depend on the deadline.
    setup.drain_timeout = Duration::from_secs(600);
    setup.max_concurrency = 1 + random.below(3) as u32;
    let window = millis(100 + random.below(1000));
    setup.scaling.rules = vec![Rule::Concurrency(ConcurrencyRule {
        target: 1.0,
        window,
        burst_window: window / 4,
        clear_within: None,
        anticipate: 2.0,
        headroom: 1.0,
    })];
    setup
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// One run; how many workers were started. The world panics when a worker is stopped that the
/// gateway could still use.
fn run(seed: u64, bad_network: bool) -> u32 {
    let mut random = Random::new(seed);
    let setup = setup(&mut random);
    let idle = setup.scaling.idle_timeout;
    let mut world = World::new(setup);
    world.bad_network = bad_network.then(|| Random::new(seed + 1));
    let mut arrived = 0;
    let mut next = Duration::ZERO;
    let last = Duration::from_secs(12);
    while world.elapsed() < last || (world.requests() != (0, 0) && world.elapsed() < last * 10) {
        if world.elapsed() >= next && world.elapsed() < last {
            let service = millis(random.below(200));
            world.arrive(Request {
                service,
                again: false,
            });
            arrived += 1;
            // Mostly about when the last worker is let go, sometimes in a crowd.
            next = world.elapsed()
                + match random.below(4) {
                    0 => millis(random.below(20)),
                    _ => idle + millis(random.below(2500)),
                };
        }
        world.step(millis(1 + random.below(30)));
    }
    let cut: Vec<_> = world
        .timeline
        .iter()
        .filter(|line| line.contains("cut off"))
        .collect();
    assert!(cut.is_empty(), "seed {seed}: {}", world.timeline.join("\n"));
    assert_eq!(
        world.gateway.answered,
        arrived,
        "seed {seed}: {}",
        world.timeline.join("\n")
    );
    world.control.starts_made
}

/// Kthena #1019, and the reason to count arrivals and not only who is there: a request that came and
/// went between two looks is seen.
#[test]
fn a_quick_request_between_two_ticks_wakes_exactly_one_worker() {
    for offset in (0..1000).step_by(5) {
        let mut setup = Setup::default();
        setup.scaling.min = 0;
        let mut world = World::new(setup);
        let until = |world: &mut World, end: u64| {
            while world.elapsed() < millis(end) {
                world.step(millis(7));
            }
        };
        until(&mut world, 3000 + offset);
        world.arrive(Request {
            service: millis(30),
            again: false,
        });
        until(&mut world, 20_000);
        assert_eq!(world.control.starts_made, 1, "{offset} ms");
        assert_eq!(world.gateway.answered, 1, "{offset} ms");
    }
}

/// How many orders are tried: `PROPTEST_CASES` asks for more here too.
fn orders() -> u64 {
    let asked = std::env::var("PROPTEST_CASES").ok();
    asked.and_then(|asked| asked.parse().ok()).unwrap_or(256) * 10
}

#[test]
fn a_request_at_the_instant_of_scale_to_zero_is_never_lost_in_thousands_of_orders() {
    let orders = orders();
    let starts: u32 = (0..orders).map(|seed| run(seed, false)).sum();
    assert!(
        u64::from(starts) > 2 * orders,
        "only {starts} starts: the runs do not reach zero often enough"
    );
}

#[test]
fn a_request_is_never_lost_when_reports_get_lost_or_come_twice() {
    for seed in 0..orders() / 3 {
        run(100_000 + seed, true);
    }
}
