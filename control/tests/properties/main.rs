//! What holds for every sequence of observations.

mod forecast;
mod settings;

use std::time::Duration;

use penstock_config::{Rule, Scaling, fleet::TimeHistogram};
use penstock_control::scale::{
    Bounds, Clamp, History, Hold, HoldCause, Load, Observation, Reason, ScaleState, Told, decide,
};
use proptest::prelude::*;

use settings::{constant, scaling, steady_rule, worker_metric};

/// So many waits of about so many milliseconds.
fn waits(count: u64, millis: u64) -> TimeHistogram {
    let mut waits = TimeHistogram::default();
    waits.counts[TimeHistogram::bucket(Duration::from_millis(millis))] = count;
    waits
}

prop_compose! {
    /// A moment: time since the last one in milliseconds, and what is seen.
    fn moment()(
        step in 1..3000_u64,
        current in prop_oneof![Just(0), 0..20_u32, 0..20_000_u32],
        queued_share in 0.0..1.0_f64,
        ready_share in 0.0..1.2_f64,
        arrivals in 0..5000_u64,
        served_share in 0.0..1.5_f64,
        holds in prop::option::weighted(0.1, Just(HoldCause::GatewaySilent)),
        start_failed in prop::bool::weighted(0.02),
        woken in prop::bool::weighted(0.1),
        told in prop::option::weighted(0.9, (-10.0..5000.0_f64, 0.0..3.0_f64)),
    ) -> Moment {
        let over = Duration::from_millis(step);
        let queued = (f64::from(current) * queued_share) as u32;
        let load = Load {
            over,
            request_seconds: f64::from(current) * over.as_secs_f64(),
            in_flight_seconds: f64::from(current - queued) * over.as_secs_f64(),
            arrivals,
            arrival_rate: arrivals as f64 / over.as_secs_f64(),
            waits: waits(arrivals / 5, step),
            completions: (arrivals as f64 * served_share) as u64,
            served: (arrivals as f64 * served_share) as u64,
            no_capacity: u64::from(queued),
            woken,
        };
        Moment { over, current, queued, ready_share, load, holds, start_failed, told }
    }
}

#[derive(Debug, Clone)]
struct Moment {
    over: Duration,
    current: u32,
    queued: u32,
    ready_share: f64,
    load: Load,
    holds: Option<HoldCause>,
    start_failed: bool,
    /// What workers tell, and which share of them does; above 1 all do.
    told: Option<(f64, f64)>,
}

impl Moment {
    fn told(&self, ready: u32) -> Vec<Told> {
        let told = self.told.map(|(sum, share)| Told {
            metric: worker_metric(),
            sum,
            fresh: (f64::from(ready) * share.min(1.0)) as u32,
            oldest: self.over,
        });
        told.into_iter().collect()
    }
}

/// Decides at every moment; gives time, decision and what was seen.
fn run(
    scaling: &Scaling,
    moments: &[Moment],
) -> Vec<(Duration, penstock_control::scale::Decision, Observation)> {
    let mut now = Duration::from_secs(1000);
    let mut state = ScaleState::new(scaling.min, History::default(), now);
    let decide_at = |moment: &Moment| {
        now += moment.over;
        let ready = (f64::from(state.desired()) * moment.ready_share) as u32;
        let seen = Observation {
            // Faster than the time of the decisions, so that schedules come and go.
            wall_ms: now.as_millis() as u64 * 60,
            current: moment.current,
            queued: moment.queued,
            load: moment.load,
            ready,
            starting: state.desired().saturating_sub(ready),
            start_time: Some(Duration::from_secs(30)).filter(|_| !moment.queued.is_multiple_of(3)),
            hold: moment.holds.map(|cause| Hold { since: now, cause }),
            start_failed: moment.start_failed,
            told: moment.told(ready),
        };
        let decision = decide(scaling, &seen, &mut state, now);
        assert_eq!(decision.desired, state.desired());
        (now, decision, seen)
    };
    moments.iter().map(decide_at).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_desired_count_is_always_within_its_bounds(
        scaling in scaling(),
        moments in prop::collection::vec(moment(), 1..200),
    ) {
        for (at, decision, seen) in run(&scaling, &moments) {
            let bounds = Bounds::at(&scaling, seen.wall_ms);
            prop_assert!(
                (bounds.min..=bounds.max).contains(&decision.desired),
                "{decision:?} with {bounds:?} at {at:?}"
            );
        }
    }

    #[test]
    fn in_no_rolling_period_does_the_count_grow_by_more_than_the_up_pace(
        mut scaling in scaling(),
        moments in prop::collection::vec(moment(), 1..200),
    ) {
        scaling.up.burst_from_zero = false;
        let counts: Vec<(Duration, u32, u32)> = run(&scaling, &moments)
            .iter()
            .map(|(at, decision, seen)| {
                (*at, decision.desired, Bounds::at(&scaling, seen.wall_ms).min)
            })
            .collect();
        for (place, (from, before, _)) in counts.iter().enumerate() {
            let base = u64::from((*before).max(1));
            let mut most = (base * (100 + u64::from(scaling.up.percent))).div_ceil(100);
            for (at, after, min) in &counts[place..] {
                // `min` always runs, also after a failed start, and what it brought may stay.
                most = most.max((*min).into());
                if *at <= *from + scaling.up.period {
                    prop_assert!(u64::from(*after) <= most, "{before} at {from:?}, {after} at {at:?}");
                }
            }
        }
    }

    #[test]
    fn the_count_falls_by_steps_to_what_was_enough_for_a_while_and_never_while_held(
        scaling in scaling(),
        moments in prop::collection::vec(moment(), 1..200),
    ) {
        let mut wished: Vec<(Duration, u32)> = Vec::new();
        let mut fell_at = None;
        for (at, decision, seen) in run(&scaling, &moments) {
            let largest = decision.wishes.iter().map(|wish| wish.workers).max();
            wished.extend(largest.map(|largest| (at, largest)));
            let fell = decision.before.saturating_sub(decision.desired);
            let by_bounds = matches!(decision.reason, Reason::Bounds | Reason::Scheduled);
            if fell == 0 || by_bounds || decision.reason == Reason::StartFailed {
                continue;
            }
            prop_assert!(seen.hold.is_none(), "{decision:?}");
            prop_assert!(fell <= scaling.down.step, "{decision:?}");
            if decision.desired == 0 {
                let min = Bounds::at(&scaling, seen.wall_ms).min;
                prop_assert!(seen.current == 0 && min == 0, "{decision:?}");
                continue;
            }
            let looked_back = at - scaling.down.patience(seen.start_time);
            for (_, wish) in wished.iter().filter(|(then, _)| *then >= looked_back) {
                prop_assert!(*wish <= decision.desired, "{wish} was wished for: {decision:?}");
            }
            if let Some(before) = fell_at.replace(at) {
                prop_assert!(at - before >= Duration::from_secs(1), "{decision:?}");
            }
        }
    }

    #[test]
    fn as_long_as_requests_wait_no_worker_goes_that_they_need(
        scaling in scaling(),
        moments in prop::collection::vec(moment(), 1..200),
    ) {
        for (_, decision, seen) in run(&scaling, &moments) {
            // A bound that is set lower counts in any case.
            let set = matches!(
                decision.reason,
                Reason::StartFailed | Reason::Bounds | Reason::Scheduled | Reason::Idle { .. }
            );
            if set || decision.desired >= decision.before || seen.queued == 0 {
                continue;
            }
            let targets = scaling.rules.iter().filter_map(|rule| match rule {
                Rule::Concurrency(rule) => Some(rule.target),
                Rule::Backlog(rule) => Some(rule.target),
                Rule::QueueWait(rule) => Some(rule.concurrency),
                _ => None,
            });
            for target in targets {
                let needed = (f64::from(seen.current) / target - 0.01).ceil();
                prop_assert!(f64::from(decision.desired) >= needed, "{decision:?} of {seen:?}");
            }
        }
    }

    #[test]
    fn rules_on_what_workers_tell_change_nothing_while_none_of_them_tells(
        scaling in scaling(),
        moments in prop::collection::vec(moment(), 1..200),
    ) {
        let mut moments = moments;
        for moment in &mut moments {
            moment.told = None;
            // How long a hold lasts follows from the windows of all rules.
            moment.holds = None;
        }
        let mut others = scaling.clone();
        others.rules.retain(|rule| rule.worker_metric().is_none());
        let counts = |scaling| -> Vec<u32> {
            let decisions = run(scaling, &moments).into_iter();
            decisions.map(|(_, decision, _)| decision.desired).collect()
        };
        prop_assert_eq!(counts(&scaling), counts(&others));
    }

    #[test]
    fn a_request_at_zero_always_wakes(
        scaling in scaling(),
        moments in prop::collection::vec(moment(), 1..200),
    ) {
        for (_, decision, seen) in run(&scaling, &moments) {
            let asked = seen.current > 0 || seen.load.arrivals > 0;
            if asked && !seen.start_failed {
                prop_assert!(decision.desired > 0, "{decision:?}");
            }
        }
    }

    #[test]
    fn every_change_says_why(
        scaling in scaling(),
        moments in prop::collection::vec(moment(), 1..200),
    ) {
        for (_, decision, _) in run(&scaling, &moments) {
            prop_assert!(!decision.reason.to_string().is_empty());
            let (rose, fell) =
                (decision.desired > decision.before, decision.desired < decision.before);
            match decision.reason {
                Reason::LoadRose { .. }
                | Reason::RuleAsked { .. }
                | Reason::LoadExpected { .. }
                | Reason::Wake { .. } => {
                    prop_assert!(rose);
                }
                Reason::LoadFell { .. } | Reason::Idle { .. } => prop_assert!(fell),
                Reason::Bounds | Reason::Scheduled | Reason::StartFailed => {}
                _ => prop_assert!(!rose && !fell, "{decision:?}"),
            }
            for wish in &decision.wishes {
                let count = if wish.workers > 0 { wish.workers.to_string() } else { "nothing".into() };
                prop_assert!(wish.to_string().contains(&count), "{wish}");
            }
            let wished = decision.wishes.iter().map(|wish| wish.workers).max();
            if let Some(wished) = wished.filter(|wished| rose && decision.desired < *wished) {
                let limited = |clamp: &Clamp| {
                    matches!(clamp, Clamp::UpPace(_) | Clamp::Maximum(_) | Clamp::ScheduledMaximum(_))
                };
                prop_assert!(decision.clamps.iter().any(limited), "wished {wished}: {decision:?}");
            }
        }
    }

    #[test]
    fn the_same_inputs_give_the_same_decisions(
        scaling in scaling(),
        moments in prop::collection::vec(moment(), 1..50),
    ) {
        prop_assert_eq!(run(&scaling, &moments), run(&scaling, &moments));
    }

    #[test]
    fn settings_that_change_on_the_way_do_no_harm(
        settings in prop::collection::vec(scaling(), 2..5),
        moments in prop::collection::vec(moment(), 1..100),
    ) {
        let mut now = Duration::from_secs(1000);
        let mut state = ScaleState::new(0, History::default(), now);
        for (place, moment) in moments.iter().enumerate() {
            now += moment.over;
            let scaling = &settings[place % settings.len()];
            let seen = Observation { current: moment.current, load: moment.load, ..Observation::default() };
            let decision = decide(scaling, &seen, &mut state, now);
            let bounds = Bounds::at(scaling, seen.wall_ms);
            prop_assert!((bounds.min..=bounds.max).contains(&decision.desired), "{decision:?}");
        }
    }
}

proptest! {
    // An hour each.
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn under_constant_load_no_worker_comes_and_goes(
        rules in prop::collection::vec(steady_rule(), 1..4),
        current in 0..3000_u32,
        service_time in 1..40_u32,
    ) {
        let scaling = Scaling { rules, min: 1, max: 10_000, ..constant() };
        let mut state = ScaleState::new(1, History::default(), Duration::ZERO);
        let mut counts = Vec::new();
        for second in 1..3600_u64 {
            // Fractions of a request per second are made up for over time.
            let of = |second: u64| second * u64::from(current) / u64::from(service_time);
            let came = of(second) - of(second - 1);
            let seen = Observation {
                current,
                ready: state.desired(),
                told: vec![Told {
                    metric: worker_metric(),
                    sum: current.into(),
                    fresh: state.desired(),
                    oldest: Duration::from_secs(1),
                }],
                load: Load {
                    over: Duration::from_secs(1),
                    request_seconds: current.into(),
                    in_flight_seconds: current.into(),
                    arrivals: came,
                    arrival_rate: came as f64,
                    completions: came,
                    served: came,
                    ..Load::default()
                },
                ..Observation::default()
            };
            let now = Duration::from_secs(second);
            counts.push(decide(&scaling, &seen, &mut state, now).desired);
        }
        // Half an hour for the pace and the cooldowns. After that a few may come or go because of a
        // mean that settles slowly, but none comes and goes.
        let mut last = counts.split_off(1800);
        last.dedup();
        let falls = last.is_sorted_by(|before, after| before > after);
        let few = last[0] as usize / 100 + 6;
        prop_assert!(last.len() < few && (last.is_sorted() || falls), "{last:?}");
    }
}
