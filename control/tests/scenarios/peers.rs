//! What must not happen here because it happened to others: the cases that people complain of most
//! about other autoscalers, each with the place where.

use std::time::Duration;

use crate::{Played, play, script::Script};

/// With `rule` in place of the one of a scenario that has none of its own.
fn with_rule(name: &str, rule: &str) -> Played {
    let text = crate::text_of(name);
    play(&Script::parse(&format!("rule {rule}\n{text}")))
}

fn range(counts: impl Iterator<Item = u32>) -> (u32, u32) {
    counts.fold((u32::MAX, 0), |(least, most), count| {
        (least.min(count), most.max(count))
    })
}

/// Knative #15121, #10275.
#[test]
fn constant_noisy_load_stays_within_one_worker_for_half_an_hour() {
    let (least, most) = range(Played::of("constant_noisy_load").between(300, 2100));
    // 22 requests per second of 2 s on average at 10 per worker.
    assert!(
        least >= 5 && most <= least + 1 && most <= 7,
        "{least} to {most}"
    );
}

#[test]
fn so_it_does_with_every_rule_that_follows_the_load() {
    for rule in [
        "{ type = \"backlog\", target = 10 }",
        "{ type = \"queue_wait\", target = \"5s\" }",
        "{ type = \"target_tracking\", metric = \"concurrency_per_worker\", target = 10 }",
        "{ type = \"target_tracking\", metric = \"requests_per_minute_per_worker\", target = 300 }",
    ] {
        let (least, most) = range(with_rule("constant_noisy_load", rule).between(600, 2100));
        assert!(
            least >= 4 && most <= least + 1,
            "{least} to {most} with {rule}"
        );
    }
}

/// Knative #3153, Ray #63279.
#[test]
fn a_step_of_fifty_with_slow_starts_ends_with_what_it_needs_and_never_has_less() {
    let played = Played::of("step_of_fifty_with_slow_starts");
    let (_, most) = range(played.between(0, 3300));
    // What clears the queue that grew while they started takes about twice as many, and there is room
    // for chance besides.
    assert!((50..=150).contains(&most), "{most}");
    let (least, _) = range(played.between(380, 3000));
    assert!(least >= 50, "it shrinks before the load falls: {least}");
    let (least, most) = range(played.between(1200, 3000));
    assert!(least >= 50 && most <= 55, "{least} to {most} in the end");
}

#[test]
fn nor_does_a_noisy_one() {
    let played = Played::of("noisy_step_of_fifty_with_slow_starts");
    let (least, _) = range(played.between(500, 3000));
    let (_, most) = range(played.between(0, 3300));
    assert!(least >= 50 && most <= 150, "{least} to {most}");
}

#[test]
fn with_time_to_clear_the_queue_it_has_hardly_more_than_it_needs() {
    let played = Played::of("step_of_fifty_cleared_slowly");
    let (_, most) = range(played.between(300, 3000));
    assert!((50..=60).contains(&most), "{most}");
    let (least, most) = range(played.between(1300, 3000));
    assert!(least >= 50 && most <= 55, "{least} to {most} in the end");
}

#[test]
fn clients_that_wait_for_their_answers_get_the_workers_they_ask_for() {
    let played = Played::of("fifty_times_the_clients");
    let (_, most) = range(played.between(600, 1800));
    assert!(most <= 53, "{most}");
    // Each round of starts takes 90 s, and shows how much of the queue is left.
    let (least, _) = range(played.between(700, 1800));
    assert!(least >= 50, "{least}");
    let (_, last) = range(played.between(1200, 1800));
    assert!(last <= 51, "{last}");
}

/// Knative #8685, #3886.
#[test]
fn of_six_workers_five_go_and_the_one_with_the_long_request_stays() {
    let played = Played::of("one_long_request_of_six_workers");
    let (least, most) = range(played.between(430, 890));
    assert_eq!((least, most), (1, 1), "not a worker too much");
    assert!(!played.timeline.contains("cut off"), "the request was cut");
    // It took the request at 300 s and has it until 900 s.
    let during = played.lines(301, 900);
    assert_eq!(count(&during, "stops"), 5, "{during:?}");
    assert_eq!(count(&during, "starts"), 0, "{during:?}");
    let (_, most) = range(played.between(1000, 1500));
    assert_eq!(most, 0);
}

/// nomad-autoscaler #521.
#[test]
fn load_that_returns_during_a_drain_takes_the_workers_back_and_starts_none() {
    let played = Played::of("load_returns_during_a_drain");
    let returns = played.lines(499, 600);
    assert_eq!(count(&returns, "needed again"), 1, "{returns:?}");
    assert_eq!(count(&returns, "starts"), 0, "{returns:?}");
    assert!(!played.timeline.contains("cut off"));
}

/// kubeai #95, Knative PR #4795.
#[test]
fn no_worker_goes_within_a_window_after_a_restart_at_full_load() {
    for name in [
        "gateway_restarted_at_full_load",
        "control_restarted_at_full_load",
    ] {
        let played = Played::of(name);
        let after = played.lines(400, 460);
        assert_eq!(
            count(&after, "drains") + count(&after, "stops"),
            0,
            "{after:?}"
        );
        assert!(!played.timeline.contains("cut off"), "{name}");
    }
}

/// From zero one is woken, and from then on the pace counts from one. Traps of the HPA: going down inside the period opens the cap, a slow start
/// opens it again, 200 % of nothing is nothing.
#[test]
fn in_no_minute_does_the_count_more_than_triple() {
    for name in ["pace_from_zero", "pace_and_scale_downs"] {
        let played = Played::of(name);
        let minute = Duration::from_secs(60);
        for (place, (from, before)) in played.desired.iter().enumerate() {
            let within = played.desired[place..].iter();
            let within = within.take_while(|(at, _)| *at <= *from + minute);
            let most = within.map(|(_, count)| *count).max().unwrap_or(0);
            let allowed = 3 * (*before).max(1);
            assert!(most <= allowed, "{name}: {before} at {from:?}, then {most}");
        }
    }
    let woken = Played::of("pace_from_zero");
    let first = woken.lines(10, 11);
    assert!(first[0].contains("0 → 1"), "{first:?}");
}

fn count(lines: &[&str], word: &str) -> usize {
    lines.iter().filter(|line| line.contains(word)).count()
}
