//! Rules whose thresholds are not a measure over a target.

use super::*;

const STEPS: &str = "{ type = \"step\", metric = \"queued\", threshold = 10, period = \"10s\", \
    datapoints = 2, cooldown = \"100s\", adjustment = \"change\", steps = [{ to = -5, by = -1 }, \
    { from = 0, to = 20, by = 2 }, { from = 20, by = 3 }] }";

/// Four workers, so many queued requests all the time, and a pace that never matters.
fn stepped(queued: u32) -> Course {
    let settings = "min = 1, max = 20, up = { percent = 10000 }, down = { stable_for = \"1s\" }";
    let mut course = Course::by_rule(settings, STEPS, 4);
    course.queued = queued;
    course
}

fn measured(value: &str) -> String {
    format!("the step rule when the mean of queued over 10 s, 2 times in a row, {value}")
}

#[test]
fn the_values_at_which_the_nearest_steps_begin_are_told() {
    let mut course = stepped(7);
    let next = course.pass(7, 30, None);
    let (up, down) = (measured("is 10.0 or more"), measured("is 5.0 or less"));
    assert_eq!(next, format!("6 by {up}; 3 will do for {down}"));
    // They are where the rule itself changes its mind.
    for (queued, workers) in [(9, 4), (6, 4), (10, 6), (5, 3)] {
        let mut course = stepped(queued);
        course.pass(queued, 29, None);
        assert_eq!(course.state.desired(), workers, "{queued} queued");
    }
}

#[test]
fn while_a_cooldown_lasts_steps_count_from_the_workers_before_it_and_none_go() {
    let mut course = stepped(10);
    while course.state.desired() == 4 {
        course.pass(10, 1, None);
    }
    let next = course.pass(10, 10, None);
    let (more, fewer) = (measured("is 30.0 or more"), measured("is 5.0 or less"));
    let cooldown = "no fewer by the step rule: scale-out cooldown for 90 s more";
    assert_eq!(
        next,
        format!("7 by {more}; 5 will do for {fewer}; {cooldown}")
    );
    course.queued = 30;
    course.pass(30, 20, None);
    assert_eq!(course.state.desired(), 7);
    course.queued = 8;
    let after = course.pass(8, 120, None);
    assert!(after.starts_with(&format!("9 by {}", measured("is 10.0 or more"))));
    assert!(!after.contains("cooldown"), "{after}");
}

#[test]
fn an_exact_step_is_left_by_its_far_end_and_the_threshold_itself_is_above() {
    let steps = "{ type = \"step\", metric = \"concurrency_per_worker\", threshold = 8, \
        statistic = \"maximum\", period = \"10s\", adjustment = \"exact\", \
        steps = [{ to = 0, by = 2 }, { from = 0, to = 4, by = 6 }, { from = 4, by = 3 }] }";
    let mut course = Course::by_rule("min = 1, max = 9, up = { percent = 10000 }", steps, 3);
    let next = course.pass(60, 15, None);
    assert_eq!(
        next,
        "6 by the step rule when the largest concurrency_per_worker over 10 s falls below 12.0; \
         2 will do for the step rule when the largest concurrency_per_worker over 10 s falls below \
         8.0",
    );
}

#[test]
fn the_queue_and_the_rate_that_need_one_more_and_those_that_let_one_go_are_told() {
    let rule = "{ type = \"queue_wait\", target = \"5s\" }";
    let settings = "min = 1, max = 50, up = { percent = 10000 }, down = { stable_for = \"1s\" }";
    let mut course = Course::by_rule(settings, rule, 3);
    let next = course.next_after(20, 200, None);
    let workers = course.state.desired();
    let words: Vec<String> = next.iter().map(ToString::to_string).collect();
    let more = format!("more than {workers} by the queue_wait rule when the number of");
    let fewer = format!("fewer than {workers} will do for the queue_wait rule when the number of");
    assert!(
        words[0].starts_with(&format!("{more} queued requests is ")),
        "{words:?}"
    );
    assert!(
        words[1].starts_with(&format!("{more} requests per second passes ")),
        "{words:?}"
    );
    assert!(
        words[2].starts_with(&format!("{fewer} requests per second falls below ")),
        "{words:?}"
    );
    let Outlook::More(Threshold {
        edge: Edge::AtLeast(queue),
        ..
    }) = next[0]
    else {
        panic!("{next:?}");
    };
    // One second with such a queue is enough.
    for (queued, grows) in [(queue as u32 - 1, false), (queue as u32, true)] {
        let mut course = Course::by_rule(settings, rule, 3);
        course.pass(20, 200, None);
        course.queued = queued;
        let seen = course.next_with_queue(20);
        assert_eq!(
            course.state.desired() > workers,
            grows,
            "{queued} queued: {seen:?}"
        );
    }
}
