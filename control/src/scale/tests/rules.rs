//! The rules beside `concurrency`.

use penstock_config::{
    Adjustment, BacklogRule, Metric, QueueWaitRule, Statistic, Step, StepRule, TargetTrackingRule,
};

use super::*;

fn tracking(disable_scale_in: bool) -> Rule {
    Rule::TargetTracking(TargetTrackingRule {
        metric: Metric::ConcurrencyPerWorker,
        target: 10.0,
        scale_out_cooldown: seconds(300),
        scale_in_cooldown: seconds(120),
        disable_scale_in,
    })
}

/// Target tracking, with a pace that never matters.
fn tracked() -> Scaling {
    let mut scaling = scaling();
    scaling.rules = vec![tracking(false)];
    scaling.up.percent = 10_000;
    scaling.down.stable_for = Some(seconds(1));
    scaling
}

#[test]
fn within_a_scale_out_cooldown_only_a_larger_scale_out_follows_and_counts_what_was_added() {
    let mut story = Story::begin(tracked(), 4);
    story.seconds(100, 40);
    assert_eq!(story.second(60, 60).desired, 5, "a minute's mean passes 40");
    assert_eq!(
        story.seconds(59, 60).desired,
        5,
        "one more than the five that are ready is no larger scale-out than the last"
    );
    let before = story.second(60, 60);
    let Basis::TargetTracking { held, .. } = &before.wishes[0].basis else {
        panic!("{before:?}");
    };
    assert!(matches!(held, Some((6, Pause::ScaleOut(_)))), "{held:?}");
    // Three more than the five that are ready, and one of these was added just now.
    assert_eq!(story.seconds(60, 80).desired, 6);
    assert_eq!(story.seconds(300, 80).desired, 8);
}

#[test]
fn a_scale_out_is_at_once_even_in_a_scale_in_cooldown_and_ends_it() {
    let mut story = Story::begin(tracked(), 6);
    let shrunk = (0..10).find(|_| story.second(35, 35).desired < 6);
    assert!(shrunk.is_some());
    assert_eq!(story.seconds(100, 35).desired, 5, "the cooldown is 120 s");
    let grown = (0..60).find(|_| story.second(90, 90).desired > 5);
    assert!(grown.is_some_and(|after| after < 30), "{grown:?}");
}

#[test]
fn who_disables_scale_in_lets_others_shrink_but_not_below_its_own_need() {
    let mut only = Story::begin(
        Scaling {
            rules: vec![tracking(true)],
            ..tracked()
        },
        6,
    );
    assert_eq!(only.seconds(1000, 20).desired, 6);
    let both = vec![tracking(true), Rule::Backlog(BacklogRule { target: 100.0 })];
    let mut both = Story::begin(
        Scaling {
            rules: both,
            ..tracked()
        },
        6,
    );
    assert_eq!(both.seconds(1000, 30).desired, 3);
}

#[test]
fn fewer_come_only_when_every_rule_agrees() {
    let rules = vec![
        Rule::Backlog(BacklogRule { target: 10.0 }),
        Rule::Backlog(BacklogRule { target: 5.0 }),
    ];
    let mut story = Story::begin(Scaling { rules, ..tracked() }, 6);
    assert_eq!(story.seconds(1000, 30).desired, 6);
    assert_eq!(story.seconds(1000, 20).desired, 4);
}

/// Alarms on queued requests: one or two more workers, or one less, for two periods of 10 s.
fn stepped(adjustment: Adjustment) -> Scaling {
    let step = |from, to, by| Step { from, to, by };
    let steps = vec![
        step(
            None,
            Some(-5.0),
            if adjustment == Adjustment::Exact {
                1
            } else {
                -1
            },
        ),
        step(Some(0.0), Some(20.0), 2),
        step(Some(20.0), None, 3),
    ];
    let rule = StepRule {
        metric: Metric::Queued,
        threshold: 10.0,
        statistic: Statistic::Average,
        period: seconds(10),
        datapoints: 2,
        adjustment,
        min_adjustment: 1,
        steps,
        cooldown: seconds(100),
    };
    Scaling {
        rules: vec![Rule::Step(rule)],
        ..tracked()
    }
}

#[test]
fn a_step_is_taken_when_all_datapoints_are_beyond_the_threshold_and_added_workers_count() {
    let mut story = Story::begin(stepped(Adjustment::Change), 4);
    story.seconds(11, 4);
    story.queued = 15;
    assert_eq!(story.seconds(12, 4).desired, 4, "one of two");
    let taken = (0..20).find(|_| story.second(4, 4).desired == 6);
    assert!(taken.is_some(), "two of two: two more");
    story.queued = 40;
    assert_eq!(
        story.seconds(60, 4).desired,
        7,
        "three more than the four before"
    );
    assert_eq!(story.second(4, 4).wishes[0].workers, 7);
}

#[test]
fn after_the_cooldown_the_next_step_counts_from_what_there_is() {
    let mut story = Story::begin(stepped(Adjustment::Change), 4);
    story.queued = 15;
    assert_eq!(story.seconds(25, 4).desired, 6);
    assert_eq!(story.seconds(90, 4).desired, 6);
    assert_eq!(story.seconds(30, 4).desired, 8);
}

#[test]
fn nothing_is_taken_away_in_a_cooldown_nor_between_the_steps() {
    let mut story = Story::begin(stepped(Adjustment::Change), 4);
    story.queued = 15;
    assert_eq!(story.seconds(25, 4).desired, 6);
    story.queued = 0;
    let held = story.seconds(70, 4);
    assert_eq!(held.desired, 6);
    let Basis::Step { held, .. } = held.wishes[0].basis else {
        panic!("{held:?}");
    };
    assert!(matches!(held, Some(Pause::ScaleOut(_))), "{held:?}");
    assert_eq!(story.seconds(60, 4).desired, 5);
    story.queued = 7;
    assert_eq!(story.seconds(500, 4).desired, 5, "between the steps");
}

#[test]
fn an_exact_step_leads_to_its_number() {
    let mut story = Story::begin(stepped(Adjustment::Exact), 1);
    story.queued = 35;
    assert_eq!(story.seconds(30, 4).desired, 3);
    story.queued = 0;
    assert_eq!(story.seconds(200, 4).desired, 1);
}

#[test]
fn a_rule_that_only_adds_leaves_shrinking_to_others() {
    let mut scaling = stepped(Adjustment::Change);
    let Rule::Step(step) = &mut scaling.rules[0] else {
        unreachable!("a step rule");
    };
    step.steps.remove(0);
    let mut alone = Story::begin(scaling.clone(), 4);
    assert_eq!(alone.seconds(500, 4).desired, 4);
    scaling
        .rules
        .push(Rule::Backlog(BacklogRule { target: 10.0 }));
    let mut both = Story::begin(scaling, 4);
    assert_eq!(both.seconds(500, 4).desired, 1);
}

fn short_waits(target: u64) -> Scaling {
    let rule = QueueWaitRule {
        target: seconds(target),
        concurrency: 10.0,
    };
    Scaling {
        rules: vec![Rule::QueueWait(rule)],
        ..tracked()
    }
}

/// What `queue_wait` asks for with two workers, 20 requests of 1 s in flight, 20 per second, and so
/// many queued. The queue is new: nothing of it was seen before.
fn asked_with(queued: u32, target: u64, start: u64) -> u32 {
    let scaling = short_waits(target);
    let mut story = Story::begin(scaling, 2);
    story.seconds(200, 20);
    story.now += seconds(1);
    let seen = Observation {
        current: 20 + queued,
        queued,
        ready: 2,
        start_time: Some(seconds(start)),
        load: Load {
            over: seconds(1),
            arrivals: 20,
            in_flight_seconds: 20.0,
            served: 20,
            ..Load::default()
        },
        ..Observation::default()
    };
    let decision = decide(&story.scaling, &seen, &mut story.state, story.now);
    decision.wishes[0].workers
}

#[test]
fn waits_are_kept_short_by_the_service_time_and_what_is_left_after_a_start() {
    // Places for chance: 20 + ln 20 × 1 s / 10 s = 20.3.
    assert_eq!(asked_with(0, 10, 0), 3);
    // The two workers keep up with what comes. 1000 in 10 s need 100 places more.
    assert_eq!(asked_with(1000, 10, 0), 12);
    // After 4 s there are 6 s left, so 1000 / 6.
    assert_eq!(asked_with(1000, 10, 4), 19);
    // Whoever waits now waits too long whatever is done; half of the target for the rest.
    assert_eq!(asked_with(1000, 10, 60), 22);
}
