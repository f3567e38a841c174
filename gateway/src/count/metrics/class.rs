//! What is counted of the requests of one class.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use penstock_config::ServiceName;

use super::histogram::Histogram;

/// The counts of one class of a service. Only requests that wait are counted, so no thread needs its
/// own.
#[derive(Debug)]
pub(crate) struct ClassMetrics {
    /// `service="…",class="…"`
    pub(super) labels: String,
    pub(super) queued: AtomicUsize,
    pub(super) wait: Histogram,
}

/// A request of a class that waits; dropped when it does not any more.
#[derive(Debug)]
pub(crate) struct WaitsInClass(Arc<ClassMetrics>);

impl ClassMetrics {
    /// Counts that begin at zero.
    pub(crate) fn new(service: &ServiceName, class: &str) -> Self {
        // Both are names: nothing in them needs escaping.
        let labels = format!("service=\"{}\",class=\"{class}\"", service.as_str());
        Self {
            labels,
            queued: AtomicUsize::new(0),
            wait: Histogram::default(),
        }
    }

    /// How many wait now.
    pub(crate) fn queued(&self) -> u32 {
        u32::try_from(self.queued.load(Ordering::Relaxed)).unwrap_or(u32::MAX)
    }

    /// Counts a request that begins to wait.
    pub(crate) fn waits(self: &Arc<Self>) -> WaitsInClass {
        self.queued.fetch_add(1, Ordering::Relaxed);
        WaitsInClass(Arc::clone(self))
    }
}

impl WaitsInClass {
    /// The wait is over, after so long.
    pub(crate) fn waited(self, wait: Duration) {
        self.0.wait.record(wait);
    }
}

impl Drop for WaitsInClass {
    fn drop(&mut self) {
        self.0.queued.fetch_sub(1, Ordering::Relaxed);
    }
}
