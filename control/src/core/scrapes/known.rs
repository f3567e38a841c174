//! What is known of a worker by its page: told the results and the time, asks nobody.

use std::{sync::Arc, time::Duration};

use super::{Sample, ScrapeSpec};

/// Failures in a row that are worth a note, once a page could be read: by then its values have
/// stopped counting, or soon will.
const NOTED_FAILURES: u32 = 3;

/// Shortest time over which growth is measured.
const GROWTH_MIN: Duration = Duration::from_millis(100);

/// The values of one worker.
#[derive(Debug)]
pub(crate) struct Known {
    spec: Arc<ScrapeSpec>,
    values: Vec<Value>,
    /// Failures in a row.
    failures: u32,
    /// Whether the page was ever read with all that is wanted.
    was_read: bool,
    /// Whether it was noted that it cannot be read.
    noted: bool,
    failure: Option<Arc<str>>,
}

/// One metric.
#[derive(Debug, Clone, Copy, Default)]
struct Value {
    /// Of a counter: where it was last.
    count: Option<(Duration, f64)>,
    /// What counts, and since when it is known.
    value: Option<(Duration, f64)>,
}

/// Something that is worth a note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum News {
    /// The page cannot be read, for the reason given.
    Failing(Arc<str>),
    /// It can be read again.
    Works,
}

impl Known {
    pub(crate) fn new(spec: Arc<ScrapeSpec>) -> Self {
        Self {
            values: vec![Value::default(); spec.metrics.len()],
            spec,
            failures: 0,
            was_read: false,
            noted: false,
            failure: None,
        }
    }

    pub(crate) fn spec(&self) -> &Arc<ScrapeSpec> {
        &self.spec
    }

    /// Why the last attempt failed, if it did.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// The value of the metric at this place, and its age; `None` when it is too old or was never
    /// told.
    pub(crate) fn fresh(&self, place: usize, now: Duration) -> Option<(f64, Duration)> {
        let (at, value) = self.values.get(place)?.value?;
        let age = now.saturating_sub(at);
        (age <= self.spec.fresh_for()).then_some((value, age))
    }

    /// Takes in what came of an attempt.
    pub(crate) fn take(
        &mut self,
        result: Result<Vec<Option<Sample>>, String>,
        now: Duration,
    ) -> Option<News> {
        let failure = match result {
            Ok(samples) => {
                let fresh_for = self.spec.fresh_for();
                for (value, sample) in self.values.iter_mut().zip(&samples) {
                    if let Some(sample) = sample {
                        value.take(*sample, fresh_for, now);
                    }
                }
                let mut metrics = self.spec.metrics.iter().zip(&samples);
                let missing = metrics.find(|(_, sample)| sample.is_none());
                missing.map(|(metric, _)| format!("the page has no number for {metric}"))
            }
            Err(failure) => Some(failure),
        };
        self.judge(failure.map(Arc::from))
    }

    fn judge(&mut self, failure: Option<Arc<str>>) -> Option<News> {
        self.failure.clone_from(&failure);
        let Some(failure) = failure else {
            self.failures = 0;
            self.was_read = true;
            return std::mem::take(&mut self.noted).then_some(News::Works);
        };
        self.failures = self.failures.saturating_add(1);
        if self.noted || (self.was_read && self.failures < NOTED_FAILURES) {
            return None;
        }
        self.noted = true;
        Some(News::Failing(failure))
    }
}

impl Value {
    fn take(&mut self, sample: Sample, fresh_for: Duration, now: Duration) {
        if !sample.grows {
            self.value = Some((now, sample.value));
            return;
        }
        let last = self
            .count
            .filter(|(at, _)| now.saturating_sub(*at) <= fresh_for);
        match last {
            None => self.count = Some((now, sample.value)),
            Some((at, _)) if now.saturating_sub(at) < GROWTH_MIN => {}
            Some((at, before)) => {
                // One that fell began anew, at zero.
                let growth = if sample.value < before {
                    sample.value
                } else {
                    sample.value - before
                };
                let over = now.saturating_sub(at).as_secs_f64();
                self.value = Some((now, growth.max(0.0) / over));
                self.count = Some((now, sample.value));
            }
        }
    }
}

#[cfg(test)]
mod tests;
