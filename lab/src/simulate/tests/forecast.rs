//! What a forecast costs and saves, as it is stated in `benches/RESULTS.md`: five days, with and
//! without.

use super::*;

const DAY: f64 = 86_400.0;
const DAYS: f64 = 5.0;

/// A number from 0 to 1 that follows from another one only: the finaliser of splitmix64.
fn chance(of: u64) -> f64 {
    let mut mixed = of.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    (mixed >> 11) as f64 / (1_u64 << 53) as f64
}

/// Requests of two minutes on average that come independently of each other, at a rate of so many per
/// second at a time of the day.
fn trace(seed: u64, rate: impl Fn(f64) -> f64) -> Trace {
    /// What no rate exceeds.
    const MOST: f64 = 0.25;
    let mut chances = (seed << 32..).map(chance);
    let mut next = || chances.next().unwrap_or(0.5).max(1e-9);
    let mut arrivals = Vec::new();
    let mut at = 0.0;
    loop {
        at -= next().ln() / MOST;
        if at >= DAYS * DAY {
            return Trace::new(arrivals);
        }
        if next() * MOST < rate(at) {
            let took = Duration::from_secs_f64(-120.0 * next().ln());
            arrivals.push(Arrival {
                at: Duration::from_secs_f64(at),
                work: Work::Time(took),
            });
        }
    }
}

/// Penstock that decides every five seconds, which is quicker to run.
struct Slower(Penstock);

impl Scaler for Slower {
    fn name(&self) -> &str {
        self.0.name()
    }
    fn interval(&self) -> Duration {
        SECOND * 5
    }
    fn wakes_at_once(&self) -> bool {
        self.0.wakes_at_once()
    }
    fn begins_with(&self) -> u32 {
        self.0.begins_with()
    }
    fn turn(&mut self, seen: &Seen<'_>, now: Duration) -> Turn {
        self.0.turn(seen, now)
    }
}

/// The outcome without a forecast and with one.
fn both(trace: &Trace, min: u32) -> [Outcome; 2] {
    let rules = [
        "{ type = \"concurrency\" }",
        "{ type = \"concurrency\" }, { type = \"forecast\" }",
    ];
    rules.map(|rules| {
        let rules = format!("rules = [{rules}]");
        let penstock = Penstock::new("it", scaling_with(min, 20, &rules));
        run(trace, &setup(SECOND * 90, 8), &mut Slower(penstock), |_| {})
    })
}

fn cold(outcome: &Outcome) -> f64 {
    outcome.waits.share_above(SECOND * 10)
}

#[test]
fn with_a_daily_pattern_nobody_waits_for_the_daily_rise_once_it_is_known() {
    // From 8:00 to 18:00 thirty at a time, and nothing otherwise.
    let is_day = |at: f64| (8.0..18.0).contains(&(at % DAY / 3600.0));
    let trace = trace(1, |at| if is_day(at) { 0.25 } else { 0.0 });
    let [without, with] = both(&trace, 0);
    // The ten minutes from 8:00 on of the fifth day.
    let rise = SECOND * (4 * 86_400 + 28_800)..SECOND * (4 * 86_400 + 29_400);
    let longest = |outcome: &Outcome| {
        let course = outcome.course.iter();
        let rise = course.filter(|second| rise.contains(&second.at));
        rise.map(|second| second.longest_wait).max()
    };
    assert!(
        longest(&without) > Some(SECOND * 60),
        "{:?}",
        longest(&without)
    );
    assert!(longest(&with) < Some(SECOND), "{:?}", longest(&with));
    assert!(cold(&with) < cold(&without));
    let cost = with.worker_seconds / without.worker_seconds;
    assert!(cost < 1.03, "{cost}");
}

/// At most two percent more, and hardly more that wait: each worker more or less changes what comes after.
fn costs_next_to_nothing(trace: &Trace, min: u32) {
    let [without, with] = both(trace, min);
    let cost = with.worker_seconds / without.worker_seconds;
    assert!(cost <= 1.02, "{cost}");
    assert!(
        cold(&with) <= cold(&without) + 3e-4,
        "{} and without {}",
        cold(&with),
        cold(&without)
    );
}

#[test]
fn without_a_pattern_a_forecast_costs_at_most_two_percent_when_requests_come_evenly() {
    costs_next_to_nothing(&trace(2, |_| 0.1), 1);
}

#[test]
fn without_a_pattern_a_forecast_costs_at_most_two_percent_when_they_come_in_bursts() {
    let rate = |at: f64| {
        let is_burst = chance((at / 600.0) as u64) > 0.93;
        if is_burst { 0.25 } else { 0.01 }
    };
    costs_next_to_nothing(&trace(3, rate), 0);
}

#[test]
fn without_a_pattern_a_forecast_costs_at_most_two_percent_when_the_rate_wanders() {
    let steps: Vec<f64> = (0..1440_u64)
        .scan(0.0, |level, step| {
            *level = *level * 0.997 + 0.25 * (chance(step) - 0.5);
            Some((0.08 * f64::exp(*level)).min(0.25))
        })
        .collect();
    let rate = |at: f64| steps[(at / 300.0) as usize];
    costs_next_to_nothing(&trace(4, rate), 0);
}
