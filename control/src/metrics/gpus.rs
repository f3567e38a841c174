//! The metrics of GPUs.

use metrics::{Counter, Gauge, counter, gauge};

/// Says what the metrics mean.
pub(super) fn describe() {
    metrics::describe_gauge!("penstock_gpus", "GPUs of each group, by state.");
    metrics::describe_gauge!("penstock_worker_gpus", "GPUs that workers have.");
    metrics::describe_counter!(
        "penstock_gpu_handovers_total",
        "Workers that gave their GPUs up for another deployment, by why."
    );
}

/// GPUs of one group, in use and free.
pub(crate) struct GroupMetrics {
    used: Gauge,
    free: Gauge,
}

impl GroupMetrics {
    pub(crate) fn new(name: &str) -> Self {
        let of = |state: &'static str| gauge!("penstock_gpus", "group" => name.to_owned(), "state" => state);
        Self {
            used: of("used"),
            free: of("free"),
        }
    }

    pub(crate) fn update(&self, used: u32, free: u32) {
        self.used.set(used);
        self.free.set(free);
    }
}

/// What one deployment has to do with GPUs; only once it had some.
#[derive(Default)]
pub(super) struct GpuMetrics(Option<Handles>);

struct Handles {
    held: Gauge,
    idle: Counter,
    turn: Counter,
}

impl GpuMetrics {
    pub(super) fn held(&mut self, service: &str, deployment: &str, count: u32) {
        self.handles(service, deployment).held.set(count);
    }

    /// A worker made room, because it was idle or because it was another deployment's turn.
    pub(super) fn made_room(&mut self, service: &str, deployment: &str, is_idle: bool) {
        let handles = self.handles(service, deployment);
        let counter = if is_idle {
            &handles.idle
        } else {
            &handles.turn
        };
        counter.increment(1);
    }

    fn handles(&mut self, service: &str, deployment: &str) -> &Handles {
        self.0.get_or_insert_with(|| {
            let labels = || {
                [
                    ("service", service.to_owned()),
                    ("deployment", deployment.to_owned()),
                ]
            };
            let handovers = |reason: &str| {
                let [service, deployment] = labels();
                let reason = ("reason", reason.to_owned());
                counter!(
                    "penstock_gpu_handovers_total",
                    &[service, deployment, reason]
                )
            };
            Handles {
                held: gauge!("penstock_worker_gpus", &labels()),
                idle: handovers("idle"),
                turn: handovers("turn"),
            }
        })
    }
}
