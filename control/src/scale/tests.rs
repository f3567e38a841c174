use std::time::Duration;

use penstock_config::{ConcurrencyRule, DownPace, Rule, Scaling, ScalingMode, UpPace};

use super::*;

mod rules;
mod told;
mod zero;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The defaults, but for a target of 10.
fn scaling() -> Scaling {
    let rule = ConcurrencyRule {
        target: 10.0,
        window: seconds(60),
        burst_window: seconds(6),
        clear_within: None,
        anticipate: 0.0,
        headroom: 0.0,
    };
    Scaling {
        mode: ScalingMode::Act,
        min: 0,
        max: 100,
        idle_timeout: seconds(30),
        rules: vec![Rule::Concurrency(rule)],
        up: UpPace {
            percent: 200,
            period: seconds(60),
            burst_from_zero: false,
        },
        down: DownPace {
            stable_for: Some(seconds(60)),
            step: 1,
            percent: 100,
            period: seconds(60),
        },
    }
}

/// Decides once a second, with all desired workers ready.
struct Story {
    scaling: Scaling,
    state: ScaleState,
    now: Duration,
    hold: Option<HoldCause>,
    queued: u32,
    told: Vec<Told>,
}

impl Story {
    fn begin(scaling: Scaling, desired: u32) -> Self {
        let now = seconds(10_000);
        let state = ScaleState::new(desired, History::default(), now);
        Self {
            scaling,
            state,
            now,
            hold: None,
            queued: 0,
            told: Vec::new(),
        }
    }

    fn second(&mut self, concurrency: u32, arrivals: u64) -> Decision {
        self.now += seconds(1);
        let load = Load {
            over: seconds(1),
            request_seconds: concurrency.into(),
            in_flight_seconds: concurrency.into(),
            arrivals,
            arrival_rate: arrivals as f64,
            completions: arrivals,
            served: arrivals,
            ..Load::default()
        };
        let seen = Observation {
            current: concurrency,
            queued: self.queued,
            load,
            ready: self.state.desired(),
            hold: self.hold.map(|cause| Hold {
                since: self.now,
                cause,
            }),
            told: self.told.clone(),
            ..Observation::default()
        };
        decide(&self.scaling, &seen, &mut self.state, self.now)
    }

    /// The last of so many decisions.
    fn seconds(&mut self, count: u64, concurrency: u32) -> Decision {
        let mut decision = Decision::fixed(0, 0, Reason::Asleep);
        for _ in 0..count {
            decision = self.second(concurrency, u64::from(concurrency));
        }
        decision
    }
}

#[test]
fn the_count_follows_the_load_within_the_pace() {
    let mut story = Story::begin(scaling(), 1);
    let limited = story.seconds(10, 100);
    assert_eq!(limited.desired, 3);
    assert_eq!(limited.reason, Reason::Paced { wish: 10 });
    assert_eq!(limited.clamps, [Clamp::UpPace(3)]);
    assert_eq!(story.seconds(60, 100).desired, 9);
    assert_eq!(story.seconds(60, 100).desired, 10);
    assert_eq!(story.second(100, 100).reason, Reason::Steady);
}

#[test]
fn more_than_max_is_never_wanted() {
    let mut story = Story::begin(
        Scaling {
            max: 2,
            ..scaling()
        },
        1,
    );
    let capped = story.seconds(20, 1000);
    assert_eq!(
        (capped.desired, &capped.reason),
        (2, &Reason::AtMaximum { wish: 100 })
    );
    assert_eq!(capped.clamps, [Clamp::Maximum(2)]);
}

#[test]
fn workers_go_one_at_a_time_when_they_were_not_needed_for_a_minute() {
    let mut story = Story::begin(scaling(), 4);
    let changes: Vec<(u64, u32)> = (1..400)
        .filter_map(|second| {
            let decision = story.second(5, 5);
            (decision.desired != decision.before).then_some((second, decision.desired))
        })
        .collect();
    assert_eq!(changes, [(61, 3), (62, 2), (63, 1)]);
}

#[test]
fn one_busy_moment_begins_the_stable_minute_anew() {
    let mut story = Story::begin(scaling(), 2);
    story.seconds(50, 5);
    story.seconds(4, 15);
    assert!(matches!(
        story.seconds(50, 5).reason,
        Reason::Settling { .. }
    ));
    assert_eq!(story.seconds(40, 5).desired, 1);
}

#[test]
fn a_step_takes_away_several_only_if_the_load_fitted_the_smaller_count_all_the_time() {
    let down = DownPace {
        step: 5,
        ..scaling().down
    };
    let mut story = Story::begin(Scaling { down, ..scaling() }, 10);
    story.seconds(30, 75);
    assert_eq!(story.seconds(31, 20).desired, 8);
}

#[test]
fn min_is_kept_and_a_raised_min_is_not_paced() {
    let mut story = Story::begin(
        Scaling {
            min: 1,
            ..scaling()
        },
        1,
    );
    assert_eq!(story.seconds(1000, 0).reason, Reason::AtMinimum);
    story.scaling.min = 20;
    let raised = story.second(0, 0);
    assert_eq!((raised.desired, raised.reason), (20, Reason::Bounds));
    story.scaling.max = 20;
    story.scaling.min = 0;
    story.scaling.max = 3;
    assert_eq!(story.second(1, 1).desired, 3);
}

#[test]
fn nothing_shrinks_while_a_gateway_is_silent_and_for_a_window_after() {
    let mut story = Story::begin(scaling(), 3);
    story.hold = Some(HoldCause::GatewaySilent);
    for _ in 0..500 {
        assert_eq!(story.second(0, 0).desired, 3);
    }
    assert_eq!(
        story.second(0, 0).reason,
        Reason::Held(HoldCause::GatewaySilent)
    );
}

#[test]
fn a_hold_lasts_one_window() {
    let mut story = Story::begin(scaling(), 3);
    let began = story.now;
    let changed = (1..200_u64).find(|_| {
        story.now += seconds(1);
        let hold = Some(Hold {
            since: began,
            cause: HoldCause::ControlStarted,
        });
        let seen = Observation {
            ready: 3,
            hold,
            ..Observation::default()
        };
        decide(&story.scaling, &seen, &mut story.state, story.now).desired < 3
    });
    assert_eq!(
        changed,
        Some(60),
        "nothing came for longer than idle_timeout by then"
    );
}

#[test]
fn the_desired_history_of_an_earlier_run_still_limits_the_pace() {
    let mut story = Story::begin(scaling(), 3);
    let history = History::restore([(story.now - seconds(500), 1), (story.now - seconds(20), 3)]);
    story.state = ScaleState::new(3, history, story.now);
    assert_eq!(
        story.seconds(39, 1000).desired,
        3,
        "it was 1 less than a minute ago"
    );
    assert_eq!(story.seconds(3, 1000).desired, 9);
}

#[test]
fn labels_are_stable_words() {
    for reason in [
        Reason::Asleep,
        Reason::Wake {
            current: 1,
            arrivals: 1,
        },
        Reason::LoadRose {
            concurrency: 1.0,
            target: 1.0,
        },
        Reason::LoadFell { stable: seconds(1) },
        Reason::Idle { idle: seconds(1) },
        Reason::Held(HoldCause::NoGateway),
    ] {
        let label = reason.label();
        assert!(
            label
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
            "{label}"
        );
        assert!(reason.to_string().is_ascii());
    }
}
