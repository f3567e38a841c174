//! How workers sleep and wake.

use metrics::{Counter, Histogram, counter, histogram};

/// The metrics of one deployment.
pub(super) struct SleepMetrics {
    /// Put to sleep, and those that could not be.
    slept: [Counter; 2],
    /// Woken, and those that could not be.
    woke: [Counter; 2],
    seconds: Histogram,
}

/// Says what the metrics mean.
pub(super) fn describe() {
    metrics::describe_counter!(
        "penstock_worker_sleeps_total",
        "Workers that were put to sleep, by result."
    );
    metrics::describe_counter!(
        "penstock_worker_wakes_total",
        "Workers that were woken, by result."
    );
    metrics::describe_histogram!(
        "penstock_wake_seconds",
        "Time from waking a worker to its readiness."
    );
}

impl SleepMetrics {
    pub(super) fn new(service: &str, deployment: &str) -> Self {
        let labels = [
            ("service", service.to_owned()),
            ("deployment", deployment.to_owned()),
        ];
        let counters = |name: &'static str| {
            ["ok", "failed"].map(|result| {
                let [service, deployment] = labels.clone();
                let result = ("result", result.to_owned());
                counter!(name, &[service, deployment, result])
            })
        };
        Self {
            slept: counters("penstock_worker_sleeps_total"),
            woke: counters("penstock_worker_wakes_total"),
            seconds: histogram!("penstock_wake_seconds", &labels),
        }
    }

    pub(super) fn slept(&self, well: bool) {
        self.slept[usize::from(!well)].increment(1);
    }

    /// After so many seconds; `None`: it could not be woken.
    pub(super) fn woke(&self, seconds: Option<f64>) {
        self.woke[usize::from(seconds.is_none())].increment(1);
        if let Some(seconds) = seconds {
            self.seconds.record(seconds);
        }
    }
}
