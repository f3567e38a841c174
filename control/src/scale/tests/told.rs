//! Rules on what workers tell of themselves.

use std::sync::Arc;

use penstock_config::{
    Adjustment, Metric, Statistic, Step, StepRule, TargetTrackingRule, WorkerMetric,
};

use super::*;

fn waiting() -> Arc<WorkerMetric> {
    Arc::new(WorkerMetric::parse("vllm:num_requests_waiting").unwrap())
}

/// So much in all of so many workers, three seconds ago.
fn told(sum: f64, fresh: u32) -> Vec<Told> {
    vec![Told {
        metric: waiting(),
        sum,
        fresh,
        oldest: seconds(3),
    }]
}

/// Five waiting on each worker, beside the `concurrency` rule of ten requests for each.
fn tracked() -> Scaling {
    let mut scaling = scaling();
    scaling.rules.push(Rule::TargetTracking(TargetTrackingRule {
        metric: Metric::Worker(waiting()),
        target: 5.0,
        scale_out_cooldown: seconds(0),
        scale_in_cooldown: seconds(0),
        disable_scale_in: false,
    }));
    scaling.up.percent = UpPace::NO_LIMIT;
    scaling.down.step = DownPace::NO_LIMIT;
    scaling
}

/// One more above ten, one less below two, every ten seconds.
fn stepped() -> Scaling {
    let mut scaling = tracked();
    let step = |from, to, by| Step { from, to, by };
    scaling.rules[1] = Rule::Step(StepRule {
        metric: Metric::Worker(waiting()),
        threshold: 10.0,
        statistic: Statistic::Average,
        period: seconds(10),
        datapoints: 1,
        adjustment: Adjustment::Change,
        min_adjustment: 1,
        steps: vec![step(None, Some(-8.0), -1), step(Some(0.0), None, 1)],
        cooldown: seconds(0),
    });
    scaling.down.stable_for = Some(seconds(20));
    scaling
}

/// What each rule asks for, in words.
fn words(decision: &Decision) -> Vec<String> {
    decision.wishes.iter().map(ToString::to_string).collect()
}

#[test]
fn what_waits_in_workers_asks_for_more_of_them() {
    let mut story = Story::begin(tracked(), 2);
    story.told = told(19.0, 2);
    let decision = story.second(15, 15);
    assert_eq!(decision.desired, 4);
    assert_eq!(
        decision.reason,
        Reason::RuleAsked {
            rule: "target_tracking",
            wish: 4
        }
    );
    let told = "4 for worker:vllm:num_requests_waiting 19.0 of all workers at 5 for each worker \
                (told by 2 of 2 workers, the oldest value 3.0 s old)";
    assert_eq!(words(&decision)[1], told);
}

#[test]
fn nothing_waiting_in_workers_does_not_shrink_below_what_the_gateway_counts() {
    let mut story = Story::begin(tracked(), 4);
    story.told = told(0.0, 4);
    assert_eq!(story.seconds(500, 35).desired, 4);
    assert_eq!(story.seconds(500, 15).desired, 2);
    assert_eq!(story.seconds(500, 5).desired, 1);
    assert_eq!(story.seconds(29, 0).desired, 1);
    assert_eq!(story.seconds(2, 0).desired, 0, "idleness leads to zero");
}

#[test]
fn for_more_workers_a_missing_value_is_nothing() {
    let mut story = Story::begin(tracked(), 3);
    story.told = told(15.0, 2);
    let decision = story.seconds(100, 25);
    assert_eq!(decision.desired, 3, "{decision:?}");
    story.told = told(16.0, 2);
    assert_eq!(story.seconds(100, 25).desired, 4);
}

#[test]
fn for_fewer_workers_a_missing_value_is_the_target() {
    let mut story = Story::begin(tracked(), 6);
    story.told = told(1.0, 3);
    let fewer = (0..100).map(|_| story.second(5, 5));
    let mut fewer = fewer.filter(|decision| decision.desired < 6);
    let decision = fewer.next().expect("one request at a time is left");
    // Three that are missing have five each.
    assert_eq!(decision.wishes[1].workers, 4, "{decision:?}");
    assert_eq!(decision.desired, 4);
    story.told = told(1.0, 4);
    assert_eq!(story.seconds(200, 5).desired, 1, "all four tell");
}

#[test]
fn one_silent_page_costs_its_rule_a_say_and_nobody_else() {
    for rules in [tracked(), stepped()] {
        let mut story = Story::begin(rules, 6);
        // Nothing waits in the five that tell.
        story.told = told(0.0, 5);
        let decision = story.seconds(300, 35);
        assert_eq!(
            decision.desired, 4,
            "what the gateway counts is known: {decision:?}"
        );
        assert!(!matches!(decision.reason, Reason::Held(_)), "{decision:?}");
        story.told = told(0.0, 3);
        assert_eq!(story.seconds(300, 35).desired, 4, "still one is silent");
        assert_eq!(story.seconds(300, 15).desired, 2);
        // It still asks for more by what it is told.
        story.told = told(60.0, 1);
        assert!(story.seconds(30, 15).desired > 2);
    }
}

#[test]
fn a_rule_that_is_told_nothing_asks_for_nothing_and_the_others_go_on() {
    for silence in [Vec::new(), told(0.0, 0)] {
        let mut story = Story::begin(tracked(), 3);
        story.told = silence;
        let decision = story.seconds(300, 25);
        assert_eq!(decision.desired, 3);
        assert_eq!(
            words(&decision)[1],
            "nothing for worker:vllm:num_requests_waiting: none of 3 workers has told it lately"
        );
        assert_eq!(story.seconds(30, 45).desired, 5);
        assert_eq!(story.seconds(300, 15).desired, 2);
    }
}

#[test]
fn a_broken_page_keeps_no_worker_when_there_is_nothing_to_do() {
    let mut story = Story::begin(tracked(), 3);
    assert_eq!(story.seconds(300, 5).desired, 1);
    assert_eq!(story.seconds(29, 0).desired, 1, "idle_timeout is 30 s");
    assert_eq!(story.seconds(2, 0).desired, 0);
}

#[test]
fn a_time_of_which_nothing_is_known_is_not_one_of_nothing() {
    let mut story = Story::begin(tracked(), 4);
    story.told = told(20.0, 4);
    story.seconds(100, 35);
    story.told = Vec::new();
    story.seconds(50, 35);
    story.told = told(20.0, 4);
    let decision = story.second(35, 35);
    assert_eq!(decision.wishes[1].workers, 4, "{decision:?}");
}

#[test]
fn steps_go_by_the_mean_of_the_workers() {
    let mut story = Story::begin(stepped(), 2);
    story.told = told(19.0, 2);
    assert_eq!(story.seconds(50, 15).desired, 2);
    story.told = told(22.0, 2);
    let grown = story.seconds(12, 15);
    assert_eq!(grown.desired, 3);
    story.told = told(3.0, 3);
    assert_eq!(story.seconds(60, 15).desired, 2);
}

#[test]
fn values_between_the_steps_are_against_fewer_also_when_some_are_missing() {
    let mut story = Story::begin(stepped(), 3);
    // Two on average even if the third has none, which is no step down.
    story.told = told(10.0, 2);
    assert_eq!(story.seconds(200, 15).desired, 3);
    // No step down is taken by values of which some are missing, but the others may go on.
    story.told = told(0.0, 2);
    let decision = story.seconds(300, 15);
    assert_eq!(decision.desired, 2, "15 requests at 10 for each");
    // With all values the step goes to one, which is too few for the other rule.
    let decision = story.seconds(300, 15);
    assert_eq!((decision.wishes[1].workers, decision.desired), (1, 2));
}

#[test]
fn a_step_up_counts_what_is_missing_and_what_is_on_its_way_as_nothing() {
    let up = |fresh, ready, starting| {
        let scaling = stepped();
        let now = seconds(10_000);
        let mut state = ScaleState::new(ready + starting, History::default(), now);
        let decide_at = |second: u64| {
            let load = Load {
                over: seconds(1),
                request_seconds: 20.0,
                in_flight_seconds: 20.0,
                ..Load::default()
            };
            let seen = Observation {
                current: 20,
                load,
                ready,
                starting,
                told: told(42.0, fresh),
                ..Observation::default()
            };
            decide(&scaling, &seen, &mut state, now + seconds(second)).desired
        };
        let last = (1..14).map(decide_at).last();
        last.is_some_and(|desired| desired > ready + starting)
    };
    assert!(up(4, 4, 0), "10.5 on each of four");
    assert!(up(2, 4, 0), "21 on each of two, and nothing on two");
    assert!(!up(2, 5, 0));
    assert!(up(2, 2, 2));
    assert!(!up(2, 2, 3));
}
