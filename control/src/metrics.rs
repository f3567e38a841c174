//! Control's metrics. Handles are looked up once per deployment.

mod cost;
mod gpus;
mod registry;
mod rollout;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

pub use self::registry::{Registry, install};
use self::{cost::CostMetrics, gpus::GpuMetrics};
pub(crate) use self::{gpus::GroupMetrics, registry::forget, rollout::RolloutMetrics};
use crate::core::{ExitReason, Metric, STATES, StartFailure};

/// The metrics of one deployment. [`forget`] takes them off the page.
pub(crate) struct DeploymentMetrics {
    service: String,
    deployment: String,
    workers: [Gauge; STATES.len()],
    desired: Gauge,
    paused: Gauge,
    /// Only of deployments whose scaling advises, or did.
    advised: Option<Gauge>,
    decisions: Vec<(&'static str, Counter)>,
    starts_ready: Counter,
    starts_failed: Counter,
    /// By name and reason; only what has happened.
    mishaps: Vec<(&'static str, &'static str, Counter)>,
    start_seconds: Histogram,
    /// Readings of workers' pages that went well and that did not, once there was one.
    scrapes: Option<[Counter; 2]>,
    /// GPUs of its workers, and how often they made room for others; only once there was something to tell.
    gpus: GpuMetrics,
    cost: CostMetrics,
}

/// Says what the metrics mean; to be called once a recorder is there.
pub fn describe() {
    rollout::describe();
    gpus::describe();
    cost::describe();
    crate::store::describe();
    crate::api::describe();
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
            desired: gauge!("penstock_desired_workers", &labels),
            paused: gauge!("penstock_paused", &labels),
            advised: None,
            decisions: Vec::new(),
            starts_ready: starts("ready"),
            starts_failed: starts("failed"),
            start_seconds: histogram!("penstock_start_seconds", &labels),
            scrapes: None,
            gpus: GpuMetrics::default(),
            cost: CostMetrics::default(),
            service,
            deployment,
        }
    }

    /// Takes in what is new.
    pub(crate) fn take(&mut self, metric: Metric) {
        match metric {
            Metric::Workers(counts) => {
                for (gauge, count) in self.workers.iter().zip(counts) {
                    gauge.set(count);
                }
            }
            Metric::Desired(desired) => self.desired.set(desired),
            Metric::Paused(paused) => self.paused.set(u8::from(paused)),
            Metric::Advised(count) => self.advised(count),
            Metric::Decided(label) => self.decided(label),
            Metric::Started(seconds) => self.started(seconds),
            Metric::StartFailed(why) => self.start_failed(why),
            Metric::Exited(how) => self.worker_exited(how),
            Metric::Scraped(well) => self.scraped(well),
            Metric::MadeRoom(idle) => {
                self.gpus.made_room(&self.service, &self.deployment, idle);
            }
            Metric::Gpus(count) => self.gpus.held(&self.service, &self.deployment, count),
            Metric::Cost(cost) => self.cost.add(&self.service, &self.deployment, cost),
        }
    }

    fn advised(&mut self, count: u32) {
        let gauge = self.advised.get_or_insert_with(|| {
            let labels = [
                ("service", self.service.clone()),
                ("deployment", self.deployment.clone()),
            ];
            gauge!("penstock_advised_workers", &labels)
        });
        gauge.set(count);
    }

    /// The desired count changed, for the reason with this label.
    fn decided(&mut self, label: &'static str) {
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

    fn started(&self, seconds: f64) {
        self.starts_ready.increment(1);
        self.start_seconds.record(seconds);
    }

    /// A worker's own metrics were read, or not all of them.
    fn scraped(&mut self, well: bool) {
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

    fn start_failed(&mut self, why: StartFailure) {
        self.starts_failed.increment(1);
        self.mishap("penstock_worker_start_failures_total", why.label());
    }

    /// A worker ended without being asked to.
    fn worker_exited(&mut self, how: ExitReason) {
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
