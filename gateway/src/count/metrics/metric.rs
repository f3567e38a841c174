//! One metric of a page: its name, and its lines while they are written.

use std::{
    fmt::{Display, Write},
    sync::atomic::Ordering,
    time::Duration,
};

use penstock_config::fleet::METRIC_BOUNDS_MS;

use super::{
    Counts,
    codes::{self, CODES},
    histogram::{Histogram, HistogramSnapshot},
};
use crate::base::reason::Reason;

const NEVER_FAILS: &str = "writing to a string does not fail";

/// The lines of one metric.
#[derive(Debug)]
pub(super) struct Metric {
    /// Before the name: nothing where the name is somebody else's.
    prefix: &'static str,
    name: &'static str,
    kind: &'static str,
    help: &'static str,
    /// Whether its lines are being written now.
    is_on: bool,
    text: String,
}

impl Metric {
    /// Something that only grows.
    pub(super) fn counter(name: &'static str, help: &'static str) -> Self {
        Self::new(name, "counter", help)
    }

    /// Something as it is now.
    pub(super) fn gauge(name: &'static str, help: &'static str) -> Self {
        Self::new(name, "gauge", help)
    }

    /// Times, by how long they were.
    pub(super) fn histogram(name: &'static str, help: &'static str) -> Self {
        Self::new(name, "histogram", help)
    }

    /// Times or amounts under a name that others have given.
    pub(super) fn foreign_histogram(name: &'static str, help: &'static str) -> Self {
        Self {
            prefix: "",
            ..Self::histogram(name, help)
        }
    }

    fn new(name: &'static str, kind: &'static str, help: &'static str) -> Self {
        Self {
            prefix: "penstock_",
            name,
            kind,
            help,
            is_on: false,
            text: String::new(),
        }
    }

    /// From now on its lines are written.
    pub(super) fn begin(&mut self) {
        let Self {
            prefix,
            name,
            kind,
            help,
            ..
        } = self;
        self.is_on = true;
        self.text = format!("# HELP {prefix}{name} {help}\n# TYPE {prefix}{name} {kind}\n");
    }

    /// From now on those of another one are.
    pub(super) fn end(&mut self) {
        self.is_on = false;
    }

    /// Whether its lines are written now.
    pub(super) fn is_on(&self) -> bool {
        self.is_on
    }

    /// What has been written since the last call.
    pub(super) fn written(&mut self) -> String {
        std::mem::take(&mut self.text)
    }

    /// The one line of a metric without labels.
    pub(super) fn only(&mut self, value: impl Display) {
        if self.is_on {
            let name = self.name;
            writeln!(self.text, "penstock_{name} {value}").expect(NEVER_FAILS);
        }
    }

    /// One line, while those of this metric are written.
    pub(super) fn sample(&mut self, suffix: &str, labels: impl Display, value: impl Display) {
        if !self.is_on {
            return;
        }
        let (prefix, name) = (self.prefix, self.name);
        writeln!(self.text, "{prefix}{name}{suffix}{{{labels}}} {value}").expect(NEVER_FAILS);
    }

    /// One line per status that occurred.
    pub(super) fn codes<'a>(&mut self, labels: &str, shards: impl Iterator<Item = &'a Counts>) {
        if !self.is_on {
            return;
        }
        let mut totals = [0; CODES];
        shards.for_each(|counts| counts.codes.add_to(&mut totals));
        for (place, total) in totals.iter().enumerate().filter(|(_, total)| **total > 0) {
            self.sample(
                "",
                format_args!("{labels},code=\"{}\"", codes::label(place)),
                total,
            );
        }
    }

    /// One line per reason that occurred.
    pub(super) fn reasons<'a>(&mut self, labels: &str, shards: impl Iterator<Item = &'a Counts>) {
        if !self.is_on {
            return;
        }
        let mut totals = [0; Reason::ALL.len()];
        for counts in shards {
            for (total, count) in totals.iter_mut().zip(&counts.reasons) {
                *total += count.load(Ordering::Relaxed);
            }
        }
        for (reason, total) in Reason::ALL
            .iter()
            .zip(totals)
            .filter(|(_, total)| *total > 0)
        {
            self.sample(
                "",
                format_args!("{labels},reason=\"{}\"", reason.slug()),
                total,
            );
        }
    }

    /// The lines of a histogram that counted anything.
    pub(super) fn times<'a>(&mut self, labels: &str, shards: impl Iterator<Item = &'a Histogram>) {
        if !self.is_on {
            return;
        }
        let mut sum = HistogramSnapshot::default();
        shards.for_each(|histogram| histogram.add_to(&mut sum));
        let count = sum.count();
        if count == 0 {
            return;
        }
        for (bound, below) in METRIC_BOUNDS_MS.iter().zip(sum.cumulative()) {
            let seconds = seconds(*bound * 1000);
            self.sample("_bucket", format_args!("{labels},le=\"{seconds}\""), below);
        }
        self.sample("_bucket", format_args!("{labels},le=\"+Inf\""), count);
        self.sample("_sum", labels, seconds(sum.micros));
        self.sample("_count", labels, count);
    }
}

fn seconds(micros: u64) -> f64 {
    Duration::from_micros(micros).as_secs_f64()
}
