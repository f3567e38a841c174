//! The samples of one deployment, or of all together.

use std::{collections::VecDeque, time::Duration};

use penstock_config::fleet::{DeploymentLoad, LatencyHistogram, TimeHistogram};

use super::Sample;

/// What is known of one deployment.
#[derive(Debug, Default)]
pub(super) struct Entry {
    samples: VecDeque<Sample>,
    /// The sample that is being made began at this tick; 0: none is.
    tick: u64,
    counts: Counts,
    desired: u32,
    ready: u32,
    /// What each gateway said last. There is one, or a few.
    sources: Vec<Source>,
    /// Where there are no sources to tell it.
    gauges: Gauges,
}

/// What a gateway said last.
#[derive(Debug)]
struct Source {
    gateway: u64,
    sums: Sums,
    in_flight: u32,
    queued: u32,
}

/// Sums that only grow.
#[derive(Debug, Default)]
struct Sums {
    completions: u64,
    errors: u64,
    wait: TimeHistogram,
    service_time: TimeHistogram,
    first_byte: Box<LatencyHistogram>,
}

/// What happened.
#[derive(Debug, Default)]
pub(super) struct Counts {
    requests: u64,
    errors: u64,
    wait: TimeHistogram,
    service_time: TimeHistogram,
    first_byte: Box<LatencyHistogram>,
}

/// How things are.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Gauges {
    in_flight: u32,
    queued: u32,
    desired: u32,
    ready: u32,
}

impl Gauges {
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            in_flight: self.in_flight.saturating_add(other.in_flight),
            queued: self.queued.saturating_add(other.queued),
            desired: self.desired.saturating_add(other.desired),
            ready: self.ready.saturating_add(other.ready),
        }
    }
}

impl Entry {
    /// Takes in what a gateway says; what is new of it. `known`: the gateway was heard before, so that what
    /// it counted for a deployment that is new is new too.
    pub(super) fn take(
        &mut self,
        gateway: u64,
        load: &DeploymentLoad,
        known: bool,
    ) -> Option<Counts> {
        let place = self
            .sources
            .iter()
            .position(|known| known.gateway == gateway);
        let place = place.unwrap_or_else(|| {
            let sums = if known {
                Sums::default()
            } else {
                Sums::of(load)
            };
            self.sources.push(Source {
                gateway,
                sums,
                in_flight: 0,
                queued: 0,
            });
            self.sources.len() - 1
        });
        let source = &mut self.sources[place];
        source.queued = load.queued;
        source.in_flight = load.current.saturating_sub(load.queued);
        let news = source.sums.take(load);
        if let Some(news) = &news {
            self.counts.add(news);
        }
        news
    }

    pub(super) fn add(&mut self, news: &Counts) {
        self.counts.add(news);
    }

    pub(super) fn keep_sources(&mut self, is_there: impl Fn(u64) -> bool) {
        self.sources.retain(|source| is_there(source.gateway));
    }

    pub(super) fn ready(&mut self, ready: u32) {
        self.ready = ready;
    }

    pub(super) fn desired(&mut self, desired: u32) {
        self.desired = desired;
    }

    pub(super) fn set_gauges(&mut self, gauges: Gauges) {
        self.gauges = gauges;
    }

    pub(super) fn gauges(&self) -> Gauges {
        let own = Gauges {
            desired: self.desired,
            ready: self.ready,
            ..Gauges::default()
        };
        let sources = self.sources.iter();
        sources.fold(own.plus(self.gauges), |sum, source| {
            sum.plus(Gauges {
                in_flight: source.in_flight,
                queued: source.queued,
                ..Gauges::default()
            })
        })
    }

    /// Whether the sample that is being made is over.
    pub(super) fn is_due(&self, tick: u64) -> bool {
        self.tick != tick
    }

    /// Finishes the sample before this tick, if one is being made, and keeps so many.
    pub(super) fn roll(&mut self, tick: u64, keep: usize) {
        if self.tick == 0 {
            self.tick = tick;
        }
        if tick <= self.tick {
            return;
        }
        let counts = std::mem::take(&mut self.counts);
        let gauges = self.gauges();
        self.samples.push_back(counts.sample(self.tick, gauges));
        let extra = self.samples.len().saturating_sub(keep);
        self.samples.drain(..extra);
        self.tick = tick;
    }

    pub(super) fn samples(&self, from: u64) -> Vec<Sample> {
        let first = self.samples.partition_point(|sample| sample.tick < from);
        self.samples.range(first..).copied().collect()
    }

    pub(super) fn newest(&self) -> Option<&Sample> {
        self.samples.back()
    }
}

impl Sums {
    fn of(load: &DeploymentLoad) -> Self {
        Self {
            completions: load.completions,
            errors: load.errors,
            wait: load.wait,
            service_time: load.service_time,
            first_byte: Box::new(load.outcomes.first_byte.clone()),
        }
    }

    /// What is new, if anything is.
    fn take(&mut self, load: &DeploymentLoad) -> Option<Counts> {
        let waits = load.wait != self.wait;
        if load.completions == self.completions && load.errors == self.errors && !waits {
            return None;
        }
        let mut news = Counts {
            requests: load.completions.saturating_sub(self.completions),
            errors: load.errors.saturating_sub(self.errors),
            ..Counts::default()
        };
        since(&mut news.wait.counts, &load.wait.counts, &self.wait.counts);
        let (new, old) = (&load.service_time.counts, &self.service_time.counts);
        since(&mut news.service_time.counts, new, old);
        let (new, old) = (&load.outcomes.first_byte.counts, &self.first_byte.counts);
        since(&mut news.first_byte.counts, new, old);
        (self.completions, self.errors) = (load.completions, load.errors);
        (self.wait, self.service_time) = (load.wait, load.service_time);
        self.first_byte.counts = load.outcomes.first_byte.counts;
        Some(news)
    }
}

impl Counts {
    fn add(&mut self, news: &Self) {
        self.requests += news.requests;
        self.errors += news.errors;
        add(&mut self.wait.counts, &news.wait.counts);
        add(&mut self.service_time.counts, &news.service_time.counts);
        add(&mut self.first_byte.counts, &news.first_byte.counts);
    }

    fn sample(&self, tick: u64, gauges: Gauges) -> Sample {
        let Gauges {
            in_flight,
            queued,
            desired,
            ready,
        } = gauges;
        let seconds = |time: Option<Duration>| time.map_or(f32::NAN, |time| time.as_secs_f32());
        let small = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        Sample {
            tick,
            requests: small(self.requests),
            errors: small(self.errors),
            in_flight,
            queued,
            desired,
            ready,
            wait: quantile(&self.wait, 0.95),
            first_byte: seconds(self.first_byte.quantile(0.5)),
            first_byte_p95: seconds(self.first_byte.quantile(0.95)),
            whole: quantile(&self.service_time, 0.5),
        }
    }
}

/// What this share of the durations is below, in seconds. Within a bucket they are taken to be spread evenly.
fn quantile(histogram: &TimeHistogram, share: f64) -> f32 {
    let all: u64 = histogram.counts.iter().sum();
    if all == 0 {
        return f32::NAN;
    }
    let wanted = (share * all as f64).max(1.0);
    let mut below = 0.0;
    for (at_least, count) in histogram.at_least() {
        let count = count as f64;
        if below + count >= wanted {
            // A bucket reaches to twice its beginning; the first one to a millisecond.
            let width = at_least.max(Duration::from_millis(1));
            let part = (wanted - below) / count;
            return (at_least.as_secs_f64() + width.as_secs_f64() * part) as f32;
        }
        below += count;
    }
    f32::NAN
}

fn since<const N: usize>(into: &mut [u64; N], new: &[u64; N], old: &[u64; N]) {
    for ((into, new), old) in into.iter_mut().zip(new).zip(old) {
        *into = new.saturating_sub(*old);
    }
}

fn add<const N: usize>(sum: &mut [u64; N], more: &[u64; N]) {
    for (sum, more) in sum.iter_mut().zip(more) {
        *sum += more;
    }
}
