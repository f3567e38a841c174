//! Whether the state file can be written.

use std::sync::Arc;

use metrics::{Counter, Gauge, counter, gauge};
use parking_lot::Mutex;

use crate::remembered::StateFailure;

/// What the thread that writes tells everybody.
#[derive(Debug, Clone, Default)]
pub(super) struct Health(Arc<Mutex<Option<StateFailure>>>);

/// The metrics of it, and what was said last.
pub(super) struct Teller {
    health: Health,
    failing: Gauge,
    failures: Counter,
}

impl Health {
    pub(super) fn failure(&self) -> Option<StateFailure> {
        self.0.lock().clone()
    }

    fn set(&self, failure: Option<StateFailure>) -> Option<StateFailure> {
        std::mem::replace(&mut *self.0.lock(), failure)
    }
}

/// Says what the metrics mean.
pub(crate) fn describe() {
    metrics::describe_gauge!(
        "penstock_state_failing",
        "1 while the state file cannot be written."
    );
    metrics::describe_counter!(
        "penstock_state_write_failures_total",
        "Attempts to write the state file that failed."
    );
}

impl Teller {
    pub(super) fn new(health: Health) -> Self {
        let failing = gauge!("penstock_state_failing");
        failing.set(0);
        Self {
            health,
            failing,
            failures: counter!("penstock_state_write_failures_total"),
        }
    }

    /// Writing went well.
    pub(super) fn well(&self) {
        if self.health.set(None).is_some() {
            self.failing.set(0);
            tracing::info!("the state file can be written again");
        }
    }

    /// Writing failed. Control works on: what is lost is memory, not service.
    pub(super) fn failed(&self, reason: Arc<str>, unwritten: usize) {
        self.failures.increment(1);
        self.failing.set(1);
        let failure = StateFailure {
            reason: Arc::clone(&reason),
            unwritten,
        };
        let known = self.health.set(Some(failure));
        // Not with every attempt.
        if known.is_none_or(|known| known.reason != reason) {
            tracing::error!(
                reason = &*reason,
                "the state file cannot be written: changes of weights, pauses and workers are tried again, the journal loses entries, and a restart forgets what is not written"
            );
        }
    }
}
