//! A metric by periods, as alarms look at it.

use std::{collections::VecDeque, time::Duration};

use penstock_config::{Metric, Statistic, StepRule};

use super::{rules::View, waits::Waits};

/// The newest values of a metric, one for each whole period.
#[derive(Debug, Clone)]
pub(super) struct Datapoints {
    values: VecDeque<Point>,
    kept: usize,
    period: Period,
}

/// What is made of a period.
#[derive(Debug, Clone, Copy)]
pub(super) struct Point {
    /// In the unit of the metric.
    pub(super) value: f64,
    /// Whether all workers that matter told what they have. Those that did not, and those on their
    /// way, count with nothing.
    pub(super) whole: bool,
    /// Whether one that takes requests did not tell.
    pub(super) silent: bool,
}

/// The period that is not over yet.
#[derive(Debug, Clone, Default)]
struct Period {
    began: Option<Duration>,
    /// Value × seconds, or the sum of a count.
    amount: f64,
    seconds: f64,
    largest: Option<f64>,
    smallest: Option<f64>,
    waits: Waits,
    /// Whether something was missing.
    gaps: bool,
    /// Whether a worker that takes requests was silent.
    silent: bool,
}

impl Datapoints {
    /// Keeps as many as the rule looks at.
    pub(super) fn new(rule: &StepRule) -> Self {
        Self {
            values: VecDeque::new(),
            kept: rule.datapoints.max(1) as usize,
            period: Period::default(),
        }
    }

    /// Takes in what happened; whether a period ended with it.
    pub(super) fn record(&mut self, rule: &StepRule, view: View<'_>) -> bool {
        let began = *self.period.began.get_or_insert(view.now);
        self.period.take(&rule.metric, view);
        if view.now.saturating_sub(began) < rule.period {
            return false;
        }
        if self.values.len() == self.kept {
            self.values.pop_front();
        }
        match self.period.value(&rule.metric, rule.statistic) {
            Some(value) => self.values.push_back(Point {
                value,
                whole: !self.period.gaps,
                silent: self.period.silent,
            }),
            // Values in a row are looked at.
            None => self.values.clear(),
        }
        let mut waits = self.period.waits;
        waits.restart();
        self.period = Period {
            began: Some(view.now),
            waits,
            ..Period::default()
        };
        true
    }

    /// All values that the rule looks at, oldest first; `None` while there are too few.
    pub(super) fn values(&self) -> Option<impl Iterator<Item = Point>> {
        (self.values.len() == self.kept).then(|| self.values.iter().copied())
    }

    /// The newest value, in the unit of the metric.
    pub(super) fn newest(&self) -> Option<f64> {
        self.values.back().map(|point| point.value)
    }

    pub(super) fn clear(&mut self) {
        self.values.clear();
        self.period = Period::default();
    }
}

impl Period {
    fn take(&mut self, metric: &Metric, view: View<'_>) {
        let (seen, load) = (view.seen, &view.seen.load);
        let over = load.over.as_secs_f64();
        // Those that serve now, as everybody else counts them; with none the whole load is on one.
        let workers = f64::from(seen.ready.max(1));
        let current = f64::from(seen.current);
        let (now, amount) = match metric {
            Metric::ConcurrencyPerWorker => (current / workers, load.request_seconds / workers),
            Metric::RequestsPerSecond => (load.arrival_rate, load.arrivals as f64),
            Metric::RequestsPerSecondPerWorker => {
                (load.arrival_rate / workers, load.arrivals as f64 / workers)
            }
            Metric::RequestsPerMinutePerWorker => (
                60.0 * load.arrival_rate / workers,
                60.0 * load.arrivals as f64 / workers,
            ),
            Metric::Queued => (f64::from(seen.queued), f64::from(seen.queued) * over),
            Metric::NoCapacityRequests => (0.0, load.no_capacity as f64),
            Metric::QueueWaitP95 => {
                self.waits.record(seen);
                (0.0, 0.0)
            }
            Metric::Worker(metric) => {
                let Some(told) = seen.told(metric) else {
                    (self.gaps, self.silent) = (true, true);
                    return;
                };
                let is_silent = told.fresh < seen.ready;
                self.silent |= is_silent;
                self.gaps |= is_silent || seen.starting > 0;
                let mean = told.sum / f64::from(seen.ready.saturating_add(seen.starting).max(1));
                (mean, mean * over)
            }
        };
        self.amount += amount;
        self.seconds += over;
        self.largest = Some(self.largest.map_or(now, |largest| largest.max(now)));
        self.smallest = Some(self.smallest.map_or(now, |smallest| smallest.min(now)));
    }

    /// `None` when nothing was measured.
    fn value(&self, metric: &Metric, statistic: Statistic) -> Option<f64> {
        if *metric == Metric::QueueWaitP95 {
            return Some(self.waits.p95());
        }
        let (largest, smallest) = (self.largest?, self.smallest?);
        Some(match statistic {
            Statistic::Average if self.seconds > 0.0 => self.amount / self.seconds,
            Statistic::Average | Statistic::Maximum => largest,
            Statistic::Minimum => smallest,
            Statistic::Sum => self.amount,
        })
    }
}
