//! What the gateway counts, and how `/metrics` shows it.
//!
//! The counts are own atomics, one set per deployment and thread, and the page is written from them
//! and from the live gauges when somebody asks. The `metrics` facade with its Prometheus exporter
//! was measured first: three histogram records cost 95 to 150 ns per request on one thread and 340
//! to 380 ns with two, plus work at every upkeep; all that is counted here costs under 40 ns and
//! shares no cache line. A page written from what exists also forgets workers and services that are
//! gone.

mod cause;
mod class;
mod codes;
mod histogram;
mod metric;
mod mirror;
mod models;
mod page;

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use penstock_config::{DeploymentName, ServiceName, fleet::TimeHistogram};

use crate::base::{
    reason::Reason,
    shards::{Shards, own_number, shard_count},
};
use codes::CodeCounters;
use histogram::Histogram;

pub(crate) use cause::Cause;
pub(crate) use class::{ClassMetrics, WaitsInClass};
pub(crate) use mirror::{Dropped, MirrorMetrics, Seen};
pub(crate) use page::Page;

/// What one request comes to in the metrics.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settled {
    /// Status of the answer.
    pub(crate) status: u16,
    /// Why the gateway made the answer, when it did.
    pub(crate) reason: Option<Reason>,
    /// From the request head to the end of the answer.
    pub(crate) duration: Duration,
    /// From the request head to the first byte of the answer's body, if one came.
    pub(crate) first_byte: Option<Duration>,
    /// Time in the queue, if the request was there.
    pub(crate) queue_wait: Option<Duration>,
}

/// The counts of one deployment.
#[derive(Debug)]
pub(crate) struct DeploymentMetrics {
    /// `service="…",deployment="…"`
    labels: String,
    shards: Shards<Counts>,
    retries: [AtomicU64; Cause::ALL.len()],
    retries_refused: AtomicU64,
}

/// The counts of one deployment on one thread.
#[derive(Debug, Default)]
struct Counts {
    codes: CodeCounters,
    reasons: [AtomicU64; Reason::ALL.len()],
    duration: Histogram,
    first_byte: Histogram,
    queue_wait: Histogram,
}

impl DeploymentMetrics {
    /// Counts of a deployment that begin at zero.
    pub(crate) fn new(service: &ServiceName, deployment: &DeploymentName) -> Self {
        Self::labelled(service.as_str(), deployment.as_str())
    }

    /// Counts of the requests that reached no deployment. Their labels are empty.
    pub(crate) fn unrouted() -> Self {
        Self::labelled("", "")
    }

    /// Counts of the requests that a service did not let in. Their deployment is empty.
    pub(crate) fn turned_away(service: &ServiceName) -> Self {
        Self::labelled(service.as_str(), "")
    }

    /// Counts one request, at its end.
    pub(crate) fn request(&self, settled: &Settled) {
        let counts = self.shards.of(own_number());
        counts.codes.count(settled.status);
        if let Some(reason) = settled.reason {
            counts.reasons[reason.index()].fetch_add(1, Ordering::Relaxed);
        }
        counts.duration.record(settled.duration);
        if let Some(first_byte) = settled.first_byte {
            counts.first_byte.record(first_byte);
        }
        if let Some(wait) = settled.queue_wait {
            counts.queue_wait.record(wait);
        }
    }

    /// Microseconds that all requests took together, without their time in the queue.
    pub(crate) fn micros_at_workers(&self) -> u64 {
        let micros = |counts: &Counts| {
            let (whole, queued) = (counts.duration.micros(), counts.queue_wait.micros());
            whole.saturating_sub(queued)
        };
        self.shards.iter().map(micros).sum()
    }

    /// Counts a retry, or one that the budget did not allow.
    pub(crate) fn retry(&self, cause: Option<Cause>) {
        match cause {
            Some(cause) => &self.retries[cause.index()],
            None => &self.retries_refused,
        }
        .fetch_add(1, Ordering::Relaxed);
    }

    fn labelled(service: &str, deployment: &str) -> Self {
        // Names are DNS labels: nothing in them needs escaping.
        let labels = format!("service=\"{service}\",deployment=\"{deployment}\"");
        Self {
            labels,
            shards: Shards::new(shard_count()),
            retries: Default::default(),
            retries_refused: AtomicU64::new(0),
        }
    }
}

/// A [`TimeHistogram`] that any thread records into.
#[derive(Debug, Default)]
pub(crate) struct AtomicTimeHistogram {
    counts: [AtomicU64; TimeHistogram::BUCKETS],
}

impl AtomicTimeHistogram {
    /// Counts one duration.
    pub(crate) fn record(&self, duration: Duration) {
        self.counts[TimeHistogram::bucket(duration)].fetch_add(1, Ordering::Relaxed);
    }

    /// The counts so far.
    pub(crate) fn snapshot(&self) -> TimeHistogram {
        let counts = self
            .counts
            .each_ref()
            .map(|count| count.load(Ordering::Relaxed));
        TimeHistogram { counts }
    }
}

#[cfg(test)]
mod tests;
