//! What rules can measure.

use std::{fmt, sync::Arc};

use super::WorkerMetric;

/// What is before the name of a metric of the workers' own.
const WORKER: &str = "worker:";

/// A measure of a deployment's load, taken by the gateway or by the workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Metric {
    /// Requests in flight and queued, by worker.
    ConcurrencyPerWorker,
    /// Requests that come in a second.
    RequestsPerSecond,
    /// Requests that come in a second, by worker.
    RequestsPerSecondPerWorker,
    /// Requests that come in a minute, by worker.
    RequestsPerMinutePerWorker,
    /// Requests that found no worker ready or free.
    NoCapacityRequests,
    /// Requests that wait for a worker.
    Queued,
    /// The wait in the queue, in seconds, that 95 % of the requests stay below.
    QueueWaitP95,
    /// What a worker's own Prometheus page says.
    Worker(Arc<WorkerMetric>),
}

impl Metric {
    /// All that have a name of their own.
    const NAMED: [(&str, Self); 7] = [
        ("concurrency_per_worker", Self::ConcurrencyPerWorker),
        ("requests_per_second", Self::RequestsPerSecond),
        (
            "requests_per_second_per_worker",
            Self::RequestsPerSecondPerWorker,
        ),
        (
            "requests_per_minute_per_worker",
            Self::RequestsPerMinutePerWorker,
        ),
        ("no_capacity_requests", Self::NoCapacityRequests),
        ("queued", Self::Queued),
        ("queue_wait_p95", Self::QueueWaitP95),
    ];

    /// Reads the name used in the configuration.
    ///
    /// # Errors
    /// The rule that was broken.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(name) = text.strip_prefix(WORKER) {
            return WorkerMetric::parse(name).map(|metric| Self::Worker(Arc::new(metric)));
        }
        let named = Self::NAMED.iter().find(|(name, _)| *name == text);
        named.map(|(_, metric)| metric.clone()).ok_or_else(|| {
            let names: Vec<_> = Self::NAMED
                .iter()
                .map(|(name, _)| format!("{name:?}"))
                .collect();
            // Engines put their names before a colon, as in vllm:num_requests_waiting.
            let of_worker = if text.contains(':') { text } else { "NAME" };
            format!(
                "must be {}, or \"{WORKER}{of_worker}\" for what the workers' own Prometheus pages say",
                names.join(" or ")
            )
        })
    }

    /// What is asked of the workers' own pages, if it is.
    pub fn of_worker(&self) -> Option<&Arc<WorkerMetric>> {
        match self {
            Self::Worker(metric) => Some(metric),
            _ => None,
        }
    }

    /// Whether the load is shared by the workers, so that twice as many have half of it each.
    pub fn is_shared(&self) -> bool {
        !matches!(self, Self::NoCapacityRequests | Self::QueueWaitP95)
    }

    /// Whether the value is that of one worker.
    pub fn is_per_worker(&self) -> bool {
        matches!(
            self,
            Self::ConcurrencyPerWorker
                | Self::RequestsPerSecondPerWorker
                | Self::RequestsPerMinutePerWorker
                | Self::Worker(_)
        )
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Worker(metric) = self {
            return write!(f, "{WORKER}{metric}");
        }
        let named = Self::NAMED.iter().find(|(_, metric)| metric == self);
        f.write_str(named.map_or("", |(name, _)| name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_read_by_the_name_it_writes() {
        for (name, metric) in &Metric::NAMED {
            assert_eq!(Metric::parse(name).as_ref(), Ok(metric));
            assert_eq!(metric.to_string(), *name);
        }
        assert!(Metric::parse("gpu_utilisation").is_err());
    }

    #[test]
    fn what_workers_say_is_named_after_a_prefix() {
        let name = "worker:vllm:num_requests_waiting{engine=\"0\"}";
        let metric = Metric::parse(name).unwrap();
        assert_eq!(metric.to_string(), name);
        assert!(metric.is_shared() && metric.is_per_worker());
        let forgotten = Metric::parse("vllm:num_requests_waiting").unwrap_err();
        assert!(forgotten.contains("\"worker:vllm:num_requests_waiting\""));
    }
}
