//! At zero, from zero and to zero.

use super::*;

#[test]
fn at_zero_nothing_is_decided_until_a_request_comes() {
    let mut story = Story::begin(scaling(), 0);
    assert_eq!(story.second(0, 0).reason, Reason::Asleep);
    let woken = story.second(1, 1);
    assert_eq!(
        (woken.desired, woken.reason),
        (
            1,
            Reason::Wake {
                current: 1,
                arrivals: 1
            }
        )
    );
}

#[test]
fn a_request_that_came_and_went_since_the_last_look_wakes_too() {
    let mut story = Story::begin(scaling(), 0);
    assert_eq!(
        story.second(0, 1).reason,
        Reason::Wake {
            current: 0,
            arrivals: 1
        }
    );
}

#[test]
fn requests_that_go_to_a_sibling_wake_and_keep_awake() {
    let mut scaling = scaling();
    scaling.idle_timeout = seconds(2);
    let mut state = ScaleState::new(0, History::default(), seconds(0));
    let mut decide_at = |second: u64, ready: u32, no_capacity: u64| {
        let seen = Observation {
            ready,
            load: Load {
                over: seconds(1),
                no_capacity,
                ..Load::default()
            },
            ..Observation::default()
        };
        decide(&scaling, &seen, &mut state, seconds(second))
    };
    let woken = decide_at(1, 0, 3);
    let reason = Reason::Wake {
        current: 0,
        arrivals: 3,
    };
    assert_eq!((woken.desired, woken.reason), (1, reason));
    // While the worker starts, which may take longer than `idle_timeout`.
    for second in 2..10 {
        assert_eq!(decide_at(second, 0, 1).desired, 1);
    }
    assert_eq!(decide_at(10, 1, 0).desired, 1);
    assert_eq!(decide_at(11, 1, 0).desired, 1);
    assert_eq!(decide_at(12, 1, 0).desired, 0);
}

/// Desired counts from the second of a request that was refused at once, with an idle time of two
/// seconds; `starting` and `ready` workers in each second after it.
fn after_a_refusal(seconds_after: &[(u32, u32)]) -> Vec<u32> {
    let mut scaling = scaling();
    scaling.idle_timeout = seconds(2);
    let mut state = ScaleState::new(0, History::default(), seconds(0));
    let first = std::iter::once((0, 0));
    let all = first.chain(seconds_after.iter().copied()).enumerate();
    let desired = all.map(|(second, (starting, ready))| {
        let wanted = u64::from(second == 0);
        let seen = Observation {
            starting,
            ready,
            load: Load {
                over: seconds(1),
                arrivals: wanted,
                no_capacity: wanted,
                ..Load::default()
            },
            ..Observation::default()
        };
        let now = seconds(second as u64 + 1);
        decide(&scaling, &seen, &mut state, now).desired
    });
    desired.collect()
}

#[test]
fn a_start_that_nobody_waits_for_any_more_is_not_called_off() {
    let start = [(1, 0); 60];
    assert_eq!(after_a_refusal(&start), [1; 61]);
    let ready = [(1, 0), (1, 0), (1, 0), (0, 1), (0, 1), (0, 1)];
    assert_eq!(after_a_refusal(&ready), [1, 1, 1, 1, 1, 1, 0]);
}

#[test]
fn a_start_that_finds_no_room_is_given_up_when_nobody_wants_it() {
    assert_eq!(after_a_refusal(&[(0, 0); 3]), [1, 1, 0, 0]);
}

#[test]
fn from_zero_at_most_three_run_within_the_first_minute() {
    let mut story = Story::begin(scaling(), 0);
    let most = (0..60).map(|_| story.second(1000, 10).desired).max();
    assert_eq!(most, Some(3));
}

#[test]
fn zero_comes_after_the_idle_timeout_and_not_one_after_the_other() {
    let mut story = Story::begin(scaling(), 2);
    let mut changes = Vec::new();
    for second in 1..200 {
        let decision = story.second(0, 0);
        if decision.desired != decision.before {
            changes.push((second, decision.desired));
        }
    }
    assert_eq!(changes, [(30, 0)]);
}

#[test]
fn an_open_connection_keeps_the_last_worker() {
    let mut story = Story::begin(scaling(), 1);
    for _ in 0..1000 {
        assert_eq!(story.second(1, 0).desired, 1);
    }
    story.seconds(29, 0);
    let gone = story.second(0, 0);
    assert_eq!(
        (gone.desired, gone.reason),
        (0, Reason::Idle { idle: seconds(30) })
    );
}

#[test]
fn a_failed_start_wants_only_min_and_forgets_refused_requests() {
    let mut story = Story::begin(scaling(), 3);
    story.now += seconds(1);
    let refused = Observation {
        load: Load {
            arrivals: 50,
            ..Load::default()
        },
        start_failed: true,
        ..Observation::default()
    };
    let decision = decide(&story.scaling, &refused, &mut story.state, story.now);
    assert_eq!(
        (decision.desired, decision.reason),
        (0, Reason::StartFailed)
    );
    assert_eq!(story.second(0, 0).reason, Reason::Asleep);
}

#[test]
fn copies_that_are_no_load_wake_one_worker_and_keep_it_for_as_long_as_they_come() {
    let mut story = Story::begin(scaling(), 0);
    let timeout = story.scaling.idle_timeout.as_secs();
    let mut second = |woken| {
        story.now += seconds(1);
        let load = Load {
            over: seconds(1),
            woken,
            ..Load::default()
        };
        let seen = Observation {
            load,
            ready: story.state.desired(),
            ..Observation::default()
        };
        decide(&story.scaling, &seen, &mut story.state, story.now)
    };
    assert_eq!(second(false).reason, Reason::Asleep);
    let woken = second(true);
    assert_eq!((woken.desired, woken.reason), (1, Reason::WokenByCopies));
    for _ in 0..3 * timeout {
        assert_eq!(second(true).desired, 1);
    }
    for _ in 1..timeout {
        assert_eq!(second(false).desired, 1);
    }
    assert_eq!(second(false).desired, 0);
}

#[test]
fn burst_from_zero_starts_what_the_queue_asks_for() {
    let up = UpPace {
        burst_from_zero: true,
        ..scaling().up
    };
    let scaling = Scaling { up, ..scaling() };
    let now = seconds(10_000);
    let mut state = ScaleState::new(0, History::default(), now);
    let seen = |queued, ready| Observation {
        current: queued,
        queued,
        ready,
        ..Observation::default()
    };
    assert_eq!(decide(&scaling, &seen(1, 0), &mut state, now).desired, 1);
    // The rest of the crowd comes a moment later, while the first worker is still starting.
    let crowd = Observation {
        load: Load {
            over: seconds(1),
            request_seconds: 500.0,
            arrivals: 499,
            ..Load::default()
        },
        ..seen(500, 0)
    };
    assert_eq!(
        decide(&scaling, &crowd, &mut state, now + seconds(1)).desired,
        50
    );
}

#[test]
fn after_a_rest_min_is_back_at_once_whatever_the_pace_and_the_load_begins_from_there() {
    let mut story = Story::begin(scaling(), 1);
    story.scaling.min = 5;
    story.scaling.up.percent = 100;
    story.seconds(60, 100);
    assert!(story.state.desired() >= 5);
    story.state.rest(story.now);
    story.state.rest(story.now + seconds(1));
    assert_eq!(story.state.desired(), 0);
    let back = story.second(0, 0);
    assert_eq!((back.before, back.desired), (0, 5));
    assert_eq!(back.clamps, [Clamp::Minimum(5)]);
    let grown = story.seconds(20, 100);
    assert_eq!(grown.desired, 10, "the pace counts from min");

    story.scaling.min = 0;
    story.state.rest(story.now);
    assert_eq!(story.second(0, 0).reason, Reason::Asleep);
    assert_eq!(story.second(1, 1).desired, 1);
}

#[test]
fn all_workers_go_together_when_none_had_anything_to_do_for_idle_timeout() {
    let mut scaling = scaling();
    scaling.idle_timeout = seconds(20);
    let mut story = Story::begin(scaling, 4);
    // The load of the last minute still asks for four, and fewer must have fitted for a minute.
    (0..60).for_each(|_| drop(story.second(40, 4)));
    let desired: Vec<u32> = (0..21).map(|_| story.second(0, 0).desired).collect();
    assert_eq!(desired.iter().position(|desired| *desired == 0), Some(19));
    assert!(
        desired[..19].iter().all(|desired| *desired >= 3),
        "{desired:?}"
    );
}
