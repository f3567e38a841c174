//! Rollouts in simulated time: what they do, and how often they are wrong.

mod timelines;
mod world;

use std::time::Duration;

use penstock_config::fleet::{ClientOutcomes, LatencyHistogram, Outcomes};

use self::world::{Behaviour, GOOD, World};
use super::*;

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn a_good_canary_goes_through_all_steps() {
    let mut world = World::new(GOOD, GOOD, 1);
    let steps: Vec<Event> = world
        .play(HOUR)
        .into_iter()
        .filter(|event| !matches!(event, Event::Held(_)))
        .collect();
    let shares = [1, 5, 25, 50, 100].map(Event::Stepped);
    assert_eq!(steps[..5], shares);
    assert_eq!(steps[5], Event::Done(100));
    assert_eq!(
        (world.run.memory.share(), world.run.workers_min()),
        (100, 0)
    );
    assert!(world.now >= 5 * world.rollout.interval);
}

/// The promise: not more often than `1 - confidence`, over the whole rollout and both criteria,
/// although somebody looks every second. With siblings as bad as the canary, where the error test
/// has nothing to go by but the comparison, and with an error rate of just what is accepted.
#[test]
fn a_canary_as_good_as_its_siblings_is_rarely_rolled_back() {
    const RUNS: u64 = 400;
    let accepted = Behaviour {
        failures: 0.01,
        ..GOOD
    };
    let bad = Behaviour {
        failures: 0.08,
        ..GOOD
    };
    for (canary, siblings) in [(GOOD, GOOD), (bad, bad), (accepted, GOOD)] {
        let mut wrong = 0;
        for seed in 0..RUNS {
            let mut world = World::new(canary, siblings, seed * 7919);
            world.rollout.steps = vec![5, 50];
            world.run = Run::new(Memory::new("v2".to_owned(), &world.rollout, 0));
            world.play(HOUR);
            wrong += u64::from(world.is_rolled_back());
        }
        // Three standard deviations above 5 % of 400.
        assert!(wrong <= 33, "{wrong} of {RUNS}");
    }
}

#[test]
fn a_clearly_bad_canary_is_rolled_back_soon_after_its_hundredth_request() {
    let failing = Behaviour {
        failures: 0.2,
        ..GOOD
    };
    let slow = Behaviour {
        median: Duration::from_millis(400),
        ..GOOD
    };
    for canary in [failing, slow] {
        let mut late = 0;
        for seed in 0..100 {
            let mut world = World::new(canary, GOOD, seed);
            world.play(HOUR);
            assert!(world.is_rolled_back(), "{:?}", world.run.memory);
            assert_eq!(world.run.memory.share(), 0);
            late += u32::from(world.requests() > 130);
        }
        assert!(late <= 5, "{late} of 100 needed more than 130 requests");
    }
}

#[test]
fn a_canary_that_is_a_little_worse_is_found_out_before_it_has_everything() {
    // Three times the accepted rate; the siblings fail half a percent.
    let canary = Behaviour {
        failures: 0.03,
        ..GOOD
    };
    let mut found = 0;
    for seed in 0..100 {
        let mut world = World::new(canary, GOOD, seed);
        world.play(2 * HOUR);
        found += u32::from(world.is_rolled_back() && world.run.memory.taken < 5);
    }
    assert!(found >= 95, "{found} of 100");
}

#[test]
fn too_little_traffic_makes_a_step_last_and_says_so() {
    let mut world = World::new(GOOD, GOOD, 3);
    world.per_second = 10;
    let events = world.play(Duration::from_secs(300));
    assert_eq!(events[0], Event::Stepped(1));
    assert_eq!(events[1], Event::Held(Hold::Interval));
    assert!(matches!(
        events[2],
        Event::Held(Hold::TooFewRequests { needed: 100, .. })
    ));
    assert_eq!((events.len(), world.run.memory.share()), (3, 1));
}

#[test]
fn a_step_waits_for_ready_workers_and_asks_for_them() {
    let mut world = World::new(GOOD, GOOD, 4);
    (
        world.facts.ready,
        world.facts.workers_max,
        world.facts.current,
    ) = (0, 8, 1_000);
    assert!(matches!(
        world.second(),
        Some(Event::Held(Hold::Workers {
            ready: 0,
            needed: 1,
            share: 1
        }))
    ));
    assert_eq!((world.run.workers_min(), world.run.memory.share()), (1, 0));
    world.facts.ready = 1;
    assert_eq!(world.second(), Some(Event::Stepped(1)));
    // 5 % and 25 % of 1,000 at 100 per worker are 0.5 and 2.5 workers.
    let events = world.play(HOUR);
    assert!(events.contains(&Event::Stepped(5)));
    let waits = Hold::Workers {
        ready: 1,
        needed: 3,
        share: 25,
    };
    assert_eq!(events.last(), Some(&Event::Held(waits)));
    assert_eq!((world.run.workers_min(), world.run.memory.share()), (3, 5));
    world.facts.ready = 3;
    assert_eq!(world.second(), Some(Event::Stepped(25)));
    // As many as it may have must do.
    (world.facts.workers_max, world.facts.current) = (3, 1_000_000);
    assert!(world.play(2 * HOUR).contains(&Event::Done(100)));
}

#[test]
fn what_the_earlier_revision_does_is_not_counted() {
    let mut world = World::new(GOOD, GOOD, 5);
    world.facts.outdated = 2;
    assert_eq!(world.second(), Some(Event::Held(Hold::Outdated(2))));
    world.facts.totals.canary.failed = 10_000;
    world.facts.outdated = 0;
    assert_eq!(world.second(), Some(Event::Stepped(1)));
    assert!(world.play(HOUR).contains(&Event::Done(100)));
}

#[test]
fn a_canary_whose_workers_are_gone_for_good_is_rolled_back_at_once() {
    let mut world = World::new(GOOD, GOOD, 6);
    (world.facts.ready, world.facts.down) = (0, Some("exit status 1".to_owned()));
    let held = world.second();
    assert_eq!(
        held,
        Some(Event::Held(Hold::StartFailed("exit status 1".to_owned())))
    );
    (world.facts.ready, world.facts.down) = (1, None);
    assert_eq!(world.second(), Some(Event::Stepped(1)));
    (world.facts.ready, world.facts.down) = (0, Some("exit status 1".to_owned()));
    let why = "no worker answers: exit status 1".to_owned();
    assert_eq!(world.second(), Some(Event::RolledBack(why)));
    assert_eq!(world.second(), None);
}

#[test]
fn weights_set_by_hand_stop_it_and_it_goes_on_with_fresh_eyes() {
    let mut world = World::new(GOOD, GOOD, 7);
    world.play(Duration::from_secs(70));
    let share = world.run.memory.share();
    world.facts.by_hand = true;
    assert_eq!(world.second(), Some(Event::Held(Hold::ByHand)));
    world.facts.totals.canary.failed += 5_000;
    assert_eq!(world.second(), None);
    world.facts.by_hand = false;
    assert_begins_the_step_again(&mut world, share);
}

#[test]
fn it_rests_while_a_deployment_is_stopped_and_no_worker_of_the_canary_is_no_fault() {
    let mut world = World::new(GOOD, GOOD, 7);
    world.play(Duration::from_secs(70));
    let share = world.run.memory.share();
    world.facts.stopped = Some("next".to_owned());
    world.facts.down = Some("nothing answers".to_owned());
    let held = Hold::Stopped("next".to_owned());
    assert_eq!(world.second(), Some(Event::Held(held)));
    assert_eq!(world.run.workers_min(), 0);
    world.facts.totals.canary.failed += 5_000;
    assert_eq!(world.second(), None);
    (world.facts.stopped, world.facts.down) = (None, None);
    assert_begins_the_step_again(&mut world, share);
}

/// Whatever was counted in the meantime.
fn assert_begins_the_step_again(world: &mut World, share: u32) {
    let events = world.play(HOUR);
    assert_eq!(
        events[0],
        Event::Held(Hold::Interval),
        "{share} % begins again"
    );
    assert_eq!(events.last(), Some(&Event::Done(100)));
}

#[test]
fn a_paused_one_does_not_go_on_but_back_if_it_must() {
    let mut world = World::new(GOOD, GOOD, 8);
    world.second();
    world.run.memory.stage = Stage::Paused;
    let events = world.play(Duration::from_secs(1_000));
    assert_eq!(events, [Event::Held(Hold::Paused)]);
    world.canary.failures = 0.9;
    let events = world.play(HOUR);
    assert!(matches!(events[..], [Event::RolledBack(_)]), "{events:?}");
}

#[test]
fn after_a_restart_of_control_the_step_is_judged_by_what_comes_then() {
    let mut world = World::new(GOOD, GOOD, 9);
    world.play(Duration::from_secs(100));
    let memory = world.run.memory.clone();
    let text = serde_json::to_string(&memory).expect("JSON");
    world.run = Run::new(serde_json::from_str(&text).expect("the same"));
    world.facts.totals = Evidence::default();
    assert_eq!(world.second(), Some(Event::Held(Hold::Interval)));
    assert_eq!(world.run.memory, memory);
    assert_eq!(world.play(HOUR).last(), Some(&Event::Done(100)));
}

#[test]
fn without_siblings_at_the_last_step_those_of_the_step_before_are_compared_with() {
    // Everybody fails a tenth: far above what is accepted, and nobody's fault.
    let bad = Behaviour {
        failures: 0.1,
        ..GOOD
    };
    let mut done = 0;
    for seed in 0..50 {
        let mut world = World::new(bad, bad, seed);
        done += u32::from(world.play(HOUR).contains(&Event::Done(100)));
    }
    assert!(done >= 45, "{done} of 50");
}

/// What a canary is judged by whose clients each had so many of so many requests failed, beside
/// siblings that do well.
fn by_client(clients: &[(u64, u64)]) -> Evidence {
    let suspects = clients.iter().zip(1..).map(|((failed, requests), client)| {
        let succeeded = requests - failed;
        ClientOutcomes {
            client,
            succeeded,
            failed: *failed,
            slow: 0,
            first_byte: LatencyHistogram::default(),
        }
    });
    let canary = Outcomes {
        succeeded: clients
            .iter()
            .map(|(failed, requests)| requests - failed)
            .sum(),
        failed: clients.iter().map(|(failed, _)| failed).sum(),
        suspects: suspects.collect(),
        ..Outcomes::default()
    };
    let siblings = Outcomes {
        succeeded: 10_000,
        ..Outcomes::default()
    };
    Evidence { canary, siblings }
}

#[test]
fn one_client_alone_convicts_only_where_there_is_no_other() {
    let world = World::new(GOOD, GOOD, 1);
    let judged = |clients: &[(u64, u64)]| {
        let evidence = by_client(clients);
        let over = world.rollout.interval;
        judge(&world.rollout, &evidence, over, &mut Looks::default())
    };
    let is_taken_back = |clients: &[(u64, u64)]| matches!(judged(clients), Verdict::RollBack(_));
    assert!(is_taken_back(&[(100, 200)]), "nobody else is there");
    assert!(
        is_taken_back(&[(100, 200), (20, 100)]),
        "another one says the same"
    );
    // The others have asked enough to know better.
    assert_eq!(judged(&[(100, 200), (0, 100), (1, 200)]), Verdict::Advance);
    // They have not asked enough to know.
    let Verdict::Hold(Hold::InDoubt(why)) = judged(&[(100, 200), (0, 10)]) else {
        panic!("it is neither clear nor to be taken back");
    };
    assert!(
        why.ends_with("the others have had 10 requests only"),
        "{why}"
    );
}

#[test]
fn what_a_client_did_before_a_step_does_not_count_in_it() {
    let before = by_client(&[(100, 200), (3, 10)]);
    let mut now = before.clone();
    evidence::add(&mut now.canary, &by_client(&[(5, 6), (0, 90)]).canary);
    let rest = evidence::without_the_loudest(&now.since(&before).canary).expect("there is another");
    assert_eq!((rest.failed, rest.succeeded), (0, 90));
}
