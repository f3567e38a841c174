//! Days of load, ten seconds at a time.

mod telling;

use std::{collections::VecDeque, path::Path, time::Duration};

use penstock_config::{Rule, Scaling};

use super::*;
use crate::scale::{
    Decision, Edge, History, Load, Observation, Outlook, Reason, ScaleState, decide,
};

const STEP: Duration = Duration::from_secs(10);
const START: Duration = Duration::from_secs(40);
const DAY: u64 = 86_400;

/// A Monday, 00:00 UTC.
const MONDAY: u64 = 20_458 * DAY;

fn scaling(min: u32, max: u32, rules: &str) -> Scaling {
    let text = format!(
        "listeners = [{{ address = \"127.0.0.1:0\" }}]
         [services.s.deployments.d]
         process = {{ command = [\"worker\"] }}
         max_concurrency = 8
         scaling = {{ min = {min}, max = {max}, idle_timeout = \"1m\", rules = [{rules}] }}"
    );
    let config = penstock_config::parse(&text, Path::new("p.toml"));
    let config = config.unwrap_or_else(|errors| panic!("{errors}"));
    config.services["s"].deployments["d"].scaling.clone()
}

/// A deployment and its load.
struct Days {
    scaling: Scaling,
    state: ScaleState,
    wall: u64,
    now: Duration,
    load: fn(u64) -> f64,
    /// Desired counts while a worker starts.
    starting: VecDeque<u32>,
    decision: Decision,
    worker_seconds: f64,
    /// Request-seconds beyond what ready workers take.
    waited: f64,
}

impl Days {
    fn begin(min: u32, rules: &str, load: fn(u64) -> f64) -> Self {
        let now = Duration::from_secs(1_000_000);
        Self {
            scaling: scaling(min, 50, rules),
            state: ScaleState::new(min, History::default(), now),
            wall: MONDAY,
            now,
            load,
            starting: VecDeque::new(),
            decision: Decision::fixed(min, min, Reason::Asleep),
            worker_seconds: 0.0,
            waited: 0.0,
        }
    }

    fn step(&mut self) {
        self.wall += STEP.as_secs();
        self.now += STEP;
        let current = (self.load)(self.wall - 1);
        let ready = self.starting.iter().copied().min().unwrap_or(0);
        let seconds = STEP.as_secs_f64();
        let in_flight = current.min(f64::from(ready) * 8.0);
        let seen = Observation {
            wall_ms: self.wall * 1000 - 1,
            current: current.ceil() as u32,
            queued: (current - in_flight).ceil() as u32,
            load: Load {
                over: STEP,
                request_seconds: current * seconds,
                in_flight_seconds: in_flight * seconds,
                arrivals: current as u64,
                arrival_rate: current / seconds,
                completions: in_flight as u64,
                served: in_flight as u64,
                ..Load::default()
            },
            ready,
            start_time: Some(START),
            ..Observation::default()
        };
        self.decision = decide(&self.scaling, &seen, &mut self.state, self.now);
        self.starting.push_back(self.decision.desired);
        if self.starting.len() > (START.as_secs() / STEP.as_secs()) as usize {
            self.starting.pop_front();
        }
        self.worker_seconds += f64::from(self.decision.desired) * seconds;
        self.waited += (current - in_flight) * seconds;
    }

    /// Goes on to a time of a day, counted from the first; what passed costs nothing before.
    fn until(&mut self, day: u64, hour: u64, minute: u64) -> &Decision {
        (self.worker_seconds, self.waited) = (0.0, 0.0);
        let end = MONDAY + day * DAY + hour * 3600 + minute * 60;
        while self.wall < end {
            self.step();
        }
        &self.decision
    }

    /// What would change the count next, as far as the rule has to do with it.
    fn next(&self) -> Vec<Outlook> {
        let next = self
            .state
            .outlook(&self.decision, &self.scaling, None, self.now);
        let is_forecast = |next: &Outlook| next.to_string().contains("the forecast rule");
        next.into_iter().filter(is_forecast).collect()
    }

    fn wish(&self) -> String {
        let wishes = self.decision.wishes.iter();
        let mut texts = wishes.filter(|wish| wish.rule == "forecast");
        texts.next().map(ToString::to_string).unwrap_or_default()
    }
}

const DAILY: &str = "{ type = \"concurrency\" }, { type = \"forecast\", slope = false }";

fn office_hours(wall: u64) -> f64 {
    let hour = wall % DAY / 3600;
    if (8..18).contains(&hour) { 40.0 } else { 0.0 }
}

#[test]
fn from_the_fourth_day_on_workers_are_there_before_the_daily_rise() {
    let mut days = Days::begin(0, DAILY, office_hours);
    days.until(1, 7, 0);
    assert_eq!(
        days.wish(),
        "nothing because no pattern is known yet: 1 of 3 days seen"
    );
    days.until(2, 9, 0);
    assert!(days.waited > 1000.0, "nobody knew of it: {}", days.waited);
    let before = days.until(3, 7, 54).clone();
    assert_eq!((before.desired, before.reason), (0, Reason::Asleep));
    days.until(3, 7, 55);
    // Of 40. How long requests take nobody knew on the first morning, so that its queue counted little.
    assert!(
        days.wish()
            .starts_with("6 for concurrency 34.7 (and 5.9 for chance)"),
        "{}",
        days.wish()
    );
    assert!(
        days.wish().ends_with(
            "at 8 per worker expected at 08:00: every day, seen 3 times, 100 % of what such \
             forecasts expected came; a start takes 40 s"
        ),
        "{}",
        days.wish()
    );
    assert_eq!(days.until(3, 7, 58).desired, 6);
    assert_eq!(days.decision.reason.label(), "steady");
    days.until(3, 9, 0);
    assert_eq!(days.waited, 0.0);
    let evening = days.until(3, 23, 0);
    assert_eq!((evening.desired, &evening.reason), (0, &Reason::Asleep));
}

#[test]
fn the_first_worker_is_woken_and_kept_for_load_that_is_expected_and_says_so() {
    let mut days = Days::begin(0, DAILY, |wall| office_hours(wall) / 10.0);
    days.until(3, 7, 54);
    let woken = (0..12).find_map(|_| {
        days.step();
        (days.decision.desired > 0).then(|| days.decision.clone())
    });
    let woken = woken.expect("it is woken");
    assert_eq!(
        (
            woken.desired,
            woken.reason.label(),
            woken.reason.to_string()
        ),
        (
            1,
            "forecast",
            "concurrency 3.5 is expected at 08:00".to_owned()
        )
    );
    let kept = days.until(3, 7, 58);
    assert_eq!(
        (kept.desired, kept.reason.to_string()),
        (
            1,
            "nothing to do, but concurrency 3.5 is expected at 08:00".to_owned()
        )
    );
    days.until(3, 8, 10);
    assert_eq!(days.waited, 0.0);
}

#[test]
fn on_a_day_on_which_nothing_comes_little_is_kept_and_not_for_long() {
    let holiday = |wall: u64| {
        if wall < MONDAY + 5 * DAY {
            office_hours(wall)
        } else {
            0.0
        }
    };
    let mut days = Days::begin(0, DAILY, holiday);
    days.until(5, 7, 30);
    let after = days.until(6, 0, 0);
    assert_eq!(after.desired, 0);
    // Six workers for about the look-ahead and the five minutes in which the rise should come.
    assert!(
        (600.0..6.0 * 900.0).contains(&days.worker_seconds),
        "{}",
        days.worker_seconds
    );
}

#[test]
fn a_weekly_pattern_is_told_by_its_day() {
    let mondays = |wall: u64| {
        let is_monday = ((wall - MONDAY) / DAY).is_multiple_of(7);
        if is_monday { office_hours(wall) } else { 0.0 }
    };
    let mut days = Days::begin(0, DAILY, mondays);
    days.until(14, 9, 0);
    assert!(days.waited > 1000.0);
    days.until(20, 9, 0);
    assert_eq!(days.decision.desired, 0);
    days.until(21, 7, 58);
    assert!(
        days.wish()
            .contains("expected at 08:00: Mondays, seen 3 times"),
        "{}",
        days.wish()
    );
    days.until(21, 9, 0);
    assert_eq!(days.waited, 0.0);
}

/// A number from -1 to 1 that follows from another one only: the finaliser of splitmix64.
fn chance(of: u64) -> f64 {
    let mut mixed = of.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    (mixed >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}

/// Around 40, another load every ten seconds.
fn noise(wall: u64) -> f64 {
    40.0 + 20.0 * chance(wall / 10)
}

/// Ten minutes of 80 about ten times a day, at any time.
fn bursts(wall: u64) -> f64 {
    if chance(wall / 600) > 0.86 { 80.0 } else { 8.0 }
}

/// To and fro by steps of five minutes that remember all before them for about a day.
fn walk(wall: u64) -> f64 {
    let (now, mut sum) = (wall / 300, 40.0);
    for age in 0..864 {
        sum += 4.0 * chance(now - age) * (-(age as f64) / 288.0).exp();
    }
    sum.max(0.0)
}

#[test]
fn without_a_pattern_it_asks_for_next_to_nothing() {
    for (name, load) in [
        ("noise", noise as fn(u64) -> f64),
        ("bursts", bursts),
        ("walk", walk),
    ] {
        let cost = |rules: &str| {
            let mut days = Days::begin(0, rules, load);
            days.until(8, 0, 0);
            (days.worker_seconds, days.waited)
        };
        let without = cost("{ type = \"concurrency\" }");
        let with = cost("{ type = \"concurrency\" }, { type = \"forecast\" }");
        assert!(
            with.0 <= without.0 * 1.02,
            "{name}: {with:?}, without {without:?}"
        );
        assert!(
            with.1 <= without.1 * 1.001,
            "{name}: {with:?}, without {without:?}"
        );
    }
}

#[test]
fn what_was_learned_outlives_other_settings_and_another_run() {
    let mut days = Days::begin(0, DAILY, office_hours);
    let mut saved: Vec<PastDay> = Vec::new();
    for hour in 0..78 {
        days.until(0, hour, 0);
        saved.extend(days.state.unsaved());
    }
    // Each day was written many times; the last time counts.
    saved.reverse();
    saved.sort_by_key(|day| day.day);
    saved.dedup_by_key(|day| day.day);
    assert_eq!(saved.len(), 4);
    days.scaling = scaling(0, 50, &DAILY.replace("slope = false", "target = 4"));
    days.until(3, 7, 58);
    assert_eq!(days.decision.desired, 11);
    let mut again = Days::begin(0, DAILY, office_hours);
    again.wall = MONDAY + 3 * DAY + 7 * 3600;
    let past = Past::restore(saved, again.wall * 1000).expect("it was saved");
    again.state.remember(past);
    assert_eq!(again.until(3, 7, 58).desired, 6);
}
