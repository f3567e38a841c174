//! Metrics of a rollout.

use metrics::{Counter, Gauge, counter, gauge};

use crate::{core::RolloutTold, rollout::Stage};

/// The metrics of the deployment that a service rolls out. Its gauges read zero once it is dropped.
pub(crate) struct RolloutMetrics {
    share: Gauge,
    steps_taken: Gauge,
    states: [Gauge; Stage::NAMES.len()],
    looks: Counter,
    rollbacks: Counter,
    /// How many of them have been counted.
    looks_counted: u64,
    /// Whether the rollback in force has been counted, or was by an earlier run.
    rollback_counted: bool,
}

pub(super) fn describe() {
    metrics::describe_gauge!(
        "penstock_rollout_share",
        "Percent of the traffic that a rollout gives its deployment."
    );
    metrics::describe_gauge!(
        "penstock_rollout_steps_taken",
        "Steps that a rollout has taken."
    );
    metrics::describe_gauge!(
        "penstock_rollout_state",
        "1 for the state that a rollout is in, 0 for the others."
    );
    metrics::describe_counter!(
        "penstock_rollout_looks_total",
        "How often a rollout was judged by what its deployment answered."
    );
    metrics::describe_counter!(
        "penstock_rollout_rollbacks_total",
        "How often a rollout was taken back."
    );
}

impl RolloutMetrics {
    /// Those of a rollout that is so far.
    pub(crate) fn new(service: &str, told: &RolloutTold) -> Self {
        let labels = [
            ("service", service.to_owned()),
            ("deployment", told.deployment.to_string()),
        ];
        let of_state = |state: &'static str| {
            let [service, deployment] = labels.clone();
            let state = ("state", state.to_owned());
            gauge!("penstock_rollout_state", &[service, deployment, state])
        };
        Self {
            share: gauge!("penstock_rollout_share", &labels),
            steps_taken: gauge!("penstock_rollout_steps_taken", &labels),
            states: Stage::NAMES.map(of_state),
            looks: counter!("penstock_rollout_looks_total", &labels),
            rollbacks: counter!("penstock_rollout_rollbacks_total", &labels),
            looks_counted: told.looks,
            rollback_counted: told.rolled_back,
        }
    }

    /// Follows the rollout.
    pub(crate) fn update(&mut self, told: &RolloutTold) {
        self.share.set(told.share);
        self.steps_taken.set(told.steps_taken as f64);
        for (gauge, name) in self.states.iter().zip(Stage::NAMES) {
            gauge.set(u8::from(told.state == name));
        }
        // One that is begun again has made none.
        let made = told.looks;
        self.looks
            .increment(made.checked_sub(self.looks_counted).unwrap_or(made));
        self.looks_counted = made;
        if told.rolled_back && !self.rollback_counted {
            self.rollbacks.increment(1);
        }
        self.rollback_counted = told.rolled_back;
    }
}

impl Drop for RolloutMetrics {
    fn drop(&mut self) {
        self.share.set(0);
        self.steps_taken.set(0);
        self.states.iter().for_each(|state| state.set(0));
    }
}
