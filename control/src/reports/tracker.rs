//! What the gateways say about one deployment.

use std::time::Duration;

use penstock_config::fleet::{DeploymentLoad, TimeHistogram, WorkerId, WorkerLoad};

use self::tokens::TokenPace;
pub use self::tokens::TokenRates;

use super::gateways::{Base, Gateways};
use crate::scale::Load;

mod tokens;

/// Between reports this far apart, what happened is spread over the whole time; closer ones are
/// taken as belonging to the moment.
const SPREAD_FROM: Duration = Duration::from_secs(2);

/// Rates are taken over at least this long: reports come every second, but for the first arrival
/// at zero, which is reported at once and must not look like hundreds per second.
const RATE_OVER: Duration = Duration::from_secs(1);

/// What a gateway last had in flight is taken to go on for this long without a report. Not longer:
/// when a gateway is replaced by another run of itself, its requests would count twice.
const LAST_WORD_HOLDS: Duration = Duration::from_secs(2);

/// Clocks of gateways and control may drift apart by this share: as much as good quartz does.
const DRIFT: f64 = 1e-4;

/// A report is not on its way for longer than this. Where it seems so, its gateway's clock stood still.
const DELAY_MAX: Duration = Duration::from_secs(1);

/// The newest words of every gateway about one deployment, and how much of them was counted.
#[derive(Debug, Default)]
pub struct Tracker {
    sources: Vec<Source>,
    /// Taken in since the last measurement.
    arrivals: u64,
    waits: TimeHistogram,
    completions: u64,
    served: u64,
    no_capacity: u64,
    woken: bool,
    longest_gap: Duration,
    measured_at: Option<Duration>,
}

/// One gateway's newest report.
#[derive(Debug)]
struct Source {
    gateway: u64,
    sequence: u64,
    /// When it was measured, on the clock of control.
    spoke_at: Duration,
    integral: f64,
    /// How much of the integral, including what was extrapolated, has been measured.
    counted: f64,
    arrivals: u64,
    /// Requests per second between the last two reports.
    arrival_rate: f64,
    waits: TimeHistogram,
    completions: u64,
    served: u64,
    no_capacity: u64,
    woken: u64,
    current: u32,
    queued: u32,
    tokens: TokenPace,
    /// In the order of ids.
    workers: Vec<WorkerLoad>,
}

/// What was measured.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Measured {
    /// Requests in flight or queued, those on draining workers left out.
    pub current: u32,
    /// Requests queued.
    pub queued: u32,
    /// What happened since the last measurement.
    pub load: Load,
}

impl Source {
    /// Nothing of the report is measured yet.
    fn new(gateway: u64, sequence: u64, load: &DeploymentLoad, now: Duration) -> Self {
        let mut workers = load.workers.clone();
        workers.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        Self {
            gateway,
            sequence,
            spoke_at: now,
            integral: load.integral,
            counted: 0.0,
            arrivals: load.arrivals,
            arrival_rate: 0.0,
            waits: load.wait,
            completions: load.completions,
            served: load.service_time.counts.iter().sum(),
            no_capacity: load.no_capacity,
            woken: load.woken,
            current: load.current,
            queued: load.queued,
            tokens: TokenPace::of(load.tokens, now),
            workers,
        }
    }

    fn integral_at(&self, now: Duration) -> f64 {
        let since = now
            .saturating_sub(self.spoke_at)
            .min(LAST_WORD_HOLDS)
            .as_secs_f64();
        f64::from(self.current).mul_add(since, self.integral)
    }

    /// When the next report was measured that comes `now`, so long after this one on the gateway's
    /// clock. Reports are on their way for different times. Taken as of when they come, a load that
    /// stays the same would seem to vary, and one that just fits would ask for another worker now and
    /// then. So the one that was quickest is believed, but for what clocks drift.
    fn next_spoke_at(&self, gap: Duration, now: Duration) -> Duration {
        let at = self.spoke_at + gap.mul_f64(1.0 + DRIFT);
        if now.saturating_sub(at) > DELAY_MAX {
            now
        } else {
            at.min(now)
        }
    }

    fn restarted(&self, load: &DeploymentLoad) -> bool {
        load.arrivals < self.arrivals
            || load.completions < self.completions
            || load.integral < self.integral
    }
}

impl Tracker {
    /// Takes in what a report says. `sequence` is the report's, `base` what [`Gateways::take`] said.
    pub fn take(
        &mut self,
        gateway: u64,
        sequence: u64,
        load: &DeploymentLoad,
        base: Base,
        now: Duration,
    ) {
        let mut source = Source::new(gateway, sequence, load, now);
        let served = source.served;
        let known = self
            .sources
            .iter()
            .position(|source| source.gateway == gateway);
        let old = known
            .map(|place| self.sources.swap_remove(place))
            .filter(|old| !old.restarted(load));
        match (base, old) {
            (Base::This, _) => source.counted = load.integral,
            (Base::Last { gap }, Some(old)) => {
                source.counted = old.counted;
                source.tokens = old.tokens.then(load.tokens, now);
                source.spoke_at = old.next_spoke_at(gap, now);
                self.longest_gap = self.longest_gap.max(gap);
                let arrivals = load.arrivals - old.arrivals;
                self.arrivals += arrivals;
                source.arrival_rate = arrivals as f64 / gap.max(RATE_OVER).as_secs_f64();
                add_waits(&mut self.waits, &load.wait, &old.waits);
                self.completions += load.completions - old.completions;
                self.served += served.saturating_sub(old.served);
                self.no_capacity += load.no_capacity.saturating_sub(old.no_capacity);
                self.woken |= load.woken > old.woken;
            }
            (Base::Last { .. } | Base::Zero, _) => {
                self.arrivals += load.arrivals;
                source.arrival_rate = load.arrivals as f64 / RATE_OVER.as_secs_f64();
                add_waits(&mut self.waits, &load.wait, &TimeHistogram::default());
                self.completions += load.completions;
                self.served += served;
                self.no_capacity += load.no_capacity;
                self.woken |= load.woken > 0;
            }
        }
        self.sources.push(source);
    }

    /// Workers that answered more requests than when this gateway last spoke of them. To be called
    /// before the report is taken in.
    pub fn answering<'a>(
        &self,
        gateway: u64,
        load: &'a DeploymentLoad,
    ) -> impl Iterator<Item = &'a WorkerId> {
        let source = self.sources.iter().find(|source| source.gateway == gateway);
        let before = move |id: &WorkerId| {
            let workers = source.map_or(&[][..], |source| &source.workers);
            let place = workers.binary_search_by(|worker| worker.id.cmp(id));
            place.map_or(0, |place| workers[place].answered)
        };
        let more = move |worker: &&WorkerLoad| worker.answered > before(&worker.id);
        load.workers.iter().filter(more).map(|worker| &worker.id)
    }

    /// Measures the time since the last measurement. Between reports the newest `current` is taken
    /// to last, which the next report corrects.
    pub fn measure(
        &mut self,
        gateways: &Gateways,
        is_draining: impl Fn(&WorkerId) -> bool,
        now: Duration,
    ) -> Measured {
        self.drop_outdated(gateways, now);
        let since = now.saturating_sub(self.measured_at.replace(now).unwrap_or(now));
        let over = if self.longest_gap >= SPREAD_FROM {
            since.max(self.longest_gap)
        } else {
            since
        };
        let (mut current, mut queued, mut on_draining) = (0_u32, 0_u32, 0_u32);
        let (mut grown, mut arrival_rate) = (0.0, 0.0);
        for source in &mut self.sources {
            current = current.saturating_add(source.current);
            queued = queued.saturating_add(source.queued);
            arrival_rate += source.arrival_rate;
            let draining = source
                .workers
                .iter()
                .filter(|worker| is_draining(&worker.id));
            on_draining = draining.fold(on_draining, |sum, worker| {
                sum.saturating_add(worker.in_flight.saturating_sub(worker.copies))
            });
            let integral = source.integral_at(now);
            if integral > source.counted {
                grown += integral - source.counted;
                source.counted = integral;
            }
        }
        let in_flight = f64::from(current.saturating_sub(queued));
        let load = Load {
            over,
            request_seconds: (grown - f64::from(on_draining) * since.as_secs_f64()).max(0.0),
            in_flight_seconds: in_flight * over.as_secs_f64(),
            arrivals: std::mem::take(&mut self.arrivals),
            arrival_rate,
            waits: std::mem::take(&mut self.waits),
            completions: std::mem::take(&mut self.completions),
            served: std::mem::take(&mut self.served),
            no_capacity: std::mem::take(&mut self.no_capacity),
            woken: std::mem::take(&mut self.woken),
        };
        self.longest_gap = Duration::ZERO;
        Measured {
            current: current.saturating_sub(on_draining),
            queued,
            load,
        }
    }

    /// Requests a worker has, over all gateways.
    pub fn in_flight(&self, id: &WorkerId) -> u32 {
        self.words_of(id)
            .map(|worker| worker.in_flight)
            .fold(0, u32::saturating_add)
    }

    /// Tokens of its models, over all gateways.
    pub fn tokens(&self, now: Duration) -> TokenRates {
        let rates = self.sources.iter().map(|source| source.tokens.rates(now));
        rates.fold(TokenRates::default(), TokenRates::plus)
    }

    /// Whether any gateway sends a worker no requests because of how it answers.
    pub fn is_ejected(&self, id: &WorkerId) -> bool {
        self.words_of(id).any(|worker| worker.ejected)
    }

    /// What the gateways say of a worker.
    fn words_of(&self, id: &WorkerId) -> impl Iterator<Item = &WorkerLoad> {
        self.sources.iter().filter_map(|source| {
            let place = source.workers.binary_search_by(|worker| worker.id.cmp(id));
            place.ok().map(|place| &source.workers[place])
        })
    }

    /// Forgets gateways that were given up, and what a gateway no longer mentions.
    fn drop_outdated(&mut self, gateways: &Gateways, now: Duration) {
        self.sources
            .retain_mut(|source| match gateways.sequence(source.gateway) {
                None => false,
                Some(newest) => {
                    if newest != source.sequence
                        && !(source.current == 0 && source.workers.is_empty())
                    {
                        source.integral = source.integral_at(now).max(source.counted);
                        source.spoke_at = now;
                        (source.current, source.queued, source.arrival_rate) = (0, 0, 0.0);
                        source.workers.clear();
                    }
                    true
                }
            });
    }
}

/// Adds what `newer` counts beyond `older`.
fn add_waits(sum: &mut TimeHistogram, newer: &TimeHistogram, older: &TimeHistogram) {
    let counts = newer.counts.iter().zip(older.counts);
    for (sum, (newer, older)) in sum.counts.iter_mut().zip(counts) {
        *sum += newer.saturating_sub(older);
    }
}

#[cfg(test)]
mod tests;
