//! Control's metrics. Handles are looked up once per deployment.

mod registry;
mod rollout;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

pub use self::registry::{Registry, install};
pub(crate) use self::{registry::forget, rollout::RolloutMetrics};
use crate::scale::Reason;

/// Worker states that have a gauge.
const STATES: [&str; 5] = ["starting", "ready", "not_ready", "draining", "stopping"];

/// The metrics of one deployment. [`forget`] takes them off the page.
pub(crate) struct DeploymentMetrics {
    service: String,
    deployment: String,
    workers: [Gauge; STATES.len()],
    /// Last values, so that the thousands of deployments where nothing happens cost nothing.
    counts: [u32; STATES.len()],
    desired: Gauge,
    desired_value: Option<u32>,
    paused: Gauge,
    paused_value: Option<bool>,
    /// Only of deployments whose scaling advises, or did.
    advised: Option<(Gauge, u32)>,
    decisions: Vec<(&'static str, Counter)>,
    starts_ready: Counter,
    starts_failed: Counter,
    /// By name and reason; only what has happened.
    mishaps: Vec<(&'static str, &'static str, Counter)>,
    start_seconds: Histogram,
    /// Readings of workers' pages that went well and that did not, once there was one.
    scrapes: Option<[Counter; 2]>,
}

/// Why a start failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StartFailure {
    /// It could not be started at all.
    NotStarted,
    /// It ended before it proved good.
    Crashed,
    /// It was not ready in time.
    TimedOut,
    /// It failed its liveness probe before it was ready.
    Liveness,
}

impl StartFailure {
    fn label(self) -> &'static str {
        match self {
            Self::NotStarted => "not_started",
            Self::Crashed => "crashed",
            Self::TimedOut => "timed_out",
            Self::Liveness => "liveness",
        }
    }
}

/// How a worker ended that was not asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExitReason {
    /// With status 0.
    Success,
    /// With another status.
    Status,
    /// By a signal.
    Signal,
    /// Because it needed more memory than it may have.
    OutOfMemory,
    /// Nobody knows how.
    Unknown,
}

impl ExitReason {
    fn label(self) -> &'static str {
        match self {
            Self::Success => "exit_0",
            Self::Status => "exit_status",
            Self::Signal => "signal",
            Self::OutOfMemory => "out_of_memory",
            Self::Unknown => "unknown",
        }
    }

    /// By the words of the driver.
    pub(crate) fn of(reason: &str) -> Self {
        if let Some(status) = reason.strip_prefix("exit status ") {
            let digits = status.find(|c: char| !c.is_ascii_digit());
            let number = &status[..digits.unwrap_or(status.len())];
            return if number == "0" {
                Self::Success
            } else {
                Self::Status
            };
        }
        if reason.starts_with("out of memory") {
            Self::OutOfMemory
        } else if reason.starts_with("killed by ") {
            Self::Signal
        } else {
            Self::Unknown
        }
    }
}

/// Says what the metrics mean; to be called once a recorder is there.
pub fn describe() {
    rollout::describe();
    crate::store::describe();
    metrics::describe_gauge!("penstock_workers", "Workers by state.");
    metrics::describe_gauge!("penstock_desired_workers", "Workers there should be.");
    metrics::describe_gauge!(
        "penstock_paused",
        "1 while an operator has stopped the deployment."
    );
    metrics::describe_gauge!(
        "penstock_advised_workers",
        "Workers there would be, where scaling only advises."
    );
    metrics::describe_counter!(
        "penstock_scale_decisions_total",
        "Changes of the desired count, by reason."
    );
    metrics::describe_counter!(
        "penstock_worker_starts_total",
        "Starts of workers, by result."
    );
    metrics::describe_counter!(
        "penstock_worker_start_failures_total",
        "Starts of workers that failed, by reason."
    );
    metrics::describe_counter!(
        "penstock_worker_exits_total",
        "Workers that ended without being asked to, by how."
    );
    metrics::describe_counter!(
        "penstock_worker_scrapes_total",
        "Readings of workers' own metrics, by result."
    );
    metrics::describe_histogram!(
        "penstock_start_seconds",
        "Time from the start of a worker to its readiness."
    );
}

impl DeploymentMetrics {
    pub(crate) fn new(service: &str, deployment: &str) -> Self {
        let (service, deployment) = (service.to_owned(), deployment.to_owned());
        let labels = [
            ("service", service.clone()),
            ("deployment", deployment.clone()),
        ];
        let starts = |result: &'static str| {
            let [service, deployment] = labels.clone();
            let result = ("result", result.to_owned());
            counter!(
                "penstock_worker_starts_total",
                &[service, deployment, result]
            )
        };
        Self {
            mishaps: Vec::new(),
            workers: STATES.map(|state| {
                let [service, deployment] = labels.clone();
                gauge!(
                    "penstock_workers",
                    &[service, deployment, ("state", state.to_owned())]
                )
            }),
            counts: [0; STATES.len()],
            desired: gauge!("penstock_desired_workers", &labels),
            desired_value: None,
            paused: gauge!("penstock_paused", &labels),
            paused_value: None,
            advised: None,
            decisions: Vec::new(),
            starts_ready: starts("ready"),
            starts_failed: starts("failed"),
            start_seconds: histogram!("penstock_start_seconds", &labels),
            scrapes: None,
            service,
            deployment,
        }
    }

    /// Counts workers by the words for their states.
    pub(crate) fn workers<'a>(&mut self, states: impl Iterator<Item = &'a str>) {
        let mut counts = [0; STATES.len()];
        for state in states {
            if let Some(place) = STATES.iter().position(|known| *known == state) {
                counts[place] += 1;
            }
        }
        for (place, count) in counts.into_iter().enumerate() {
            if count != self.counts[place] {
                self.workers[place].set(count);
            }
        }
        self.counts = counts;
    }

    pub(crate) fn desired(&mut self, desired: u32) {
        if self.desired_value != Some(desired) {
            self.desired.set(desired);
            self.desired_value = Some(desired);
        }
    }

    pub(crate) fn paused(&mut self, paused: bool) {
        if self.paused_value != Some(paused) {
            self.paused.set(u8::from(paused));
            self.paused_value = Some(paused);
        }
    }

    /// What is advised; `None` where decisions are followed.
    pub(crate) fn advised(&mut self, advised: Option<u32>) {
        if advised.is_none() && self.advised.is_none() {
            return;
        }
        // What is followed is what would be advised.
        let count = advised.or(self.desired_value).unwrap_or(0);
        let (gauge, value) = self.advised.get_or_insert_with(|| {
            let labels = [
                ("service", self.service.clone()),
                ("deployment", self.deployment.clone()),
            ];
            (gauge!("penstock_advised_workers", &labels), u32::MAX)
        });
        if *value != count {
            gauge.set(count);
            *value = count;
        }
    }

    /// The desired count changed.
    pub(crate) fn decided(&mut self, reason: &Reason) {
        let label = reason.label();
        if !self.decisions.iter().any(|(known, _)| *known == label) {
            let counter = counter!(
                "penstock_scale_decisions_total",
                "service" => self.service.clone(),
                "deployment" => self.deployment.clone(),
                "reason" => label,
            );
            self.decisions.push((label, counter));
        }
        if let Some((_, counter)) = self.decisions.iter().find(|(known, _)| *known == label) {
            counter.increment(1);
        }
    }

    pub(crate) fn started(&self, seconds: f64) {
        self.starts_ready.increment(1);
        self.start_seconds.record(seconds);
    }

    /// A worker's own metrics were read, or not all of them.
    pub(crate) fn scraped(&mut self, well: bool) {
        let (service, deployment) = (&self.service, &self.deployment);
        let counters = self.scrapes.get_or_insert_with(|| {
            ["ok", "failed"].map(|result| {
                counter!(
                    "penstock_worker_scrapes_total",
                    "service" => service.clone(),
                    "deployment" => deployment.clone(),
                    "result" => result,
                )
            })
        });
        counters[usize::from(!well)].increment(1);
    }

    pub(crate) fn start_failed(&mut self, why: StartFailure) {
        self.starts_failed.increment(1);
        self.mishap("penstock_worker_start_failures_total", why.label());
    }

    /// A worker ended without being asked to.
    pub(crate) fn worker_exited(&mut self, how: ExitReason) {
        self.mishap("penstock_worker_exits_total", how.label());
    }

    fn mishap(&mut self, name: &'static str, reason: &'static str) {
        let is_it = |known: &(&str, &str, Counter)| (known.0, known.1) == (name, reason);
        let place = self.mishaps.iter().position(is_it).unwrap_or_else(|| {
            let counter = counter!(
                name,
                "service" => self.service.clone(),
                "deployment" => self.deployment.clone(),
                "reason" => reason,
            );
            self.mishaps.push((name, reason, counter));
            self.mishaps.len() - 1
        });
        self.mishaps[place].2.increment(1);
    }
}

#[cfg(test)]
mod tests {
    use super::ExitReason::{self, OutOfMemory, Signal, Status, Success, Unknown};

    #[test]
    fn an_exit_is_counted_by_the_words_of_the_driver_and_not_by_those_of_the_worker() {
        for (reason, expected) in [
            ("exit status 0", Success),
            ("exit status 0: killed by fate", Success),
            ("exit status 1", Status),
            ("exit status 137: out of memory", Status),
            ("killed by SIGSEGV", Signal),
            ("out of memory, killed at its limit of 1GiB", OutOfMemory),
            ("the supervisor was killed", Unknown),
        ] {
            assert_eq!(ExitReason::of(reason), expected, "{reason}");
        }
    }
}
