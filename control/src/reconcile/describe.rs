//! What there is to tell about decisions of one deployment.

use std::time::Duration;

use super::{
    deployment::{DeploymentState, count},
    worker::Life,
};
use crate::{
    explain::{Inputs, Record, steps},
    plan::{Plan, Situation},
    reports::Gateways,
};

/// A decision worth a line in the journal.
#[derive(Debug)]
pub(super) struct News {
    /// What kind of thing it is.
    pub(super) kind: &'static str,
    /// In words.
    pub(super) text: String,
    pub(super) before: u32,
    pub(super) desired: u32,
    pub(super) record: Box<Record>,
}

impl DeploymentState {
    /// What the last decision was made from.
    pub(super) fn inputs(&self, gateways: &Gateways, now: Duration) -> Inputs {
        let measured = &self.measured;
        let times = self.starts.times();
        let of = |is: fn(Life) -> bool| {
            let workers = self.workers.iter();
            count(workers.filter(|worker| is(worker.life)))
        };
        Inputs {
            in_flight: measured.current.saturating_sub(measured.queued),
            queued: measured.queued,
            arrivals_per_second: measured.load.arrival_rate,
            mean_arrivals_per_second: self.means.arrivals(),
            mean_concurrency: self.means.concurrency(),
            ready: self.ready(),
            starting: of(|life| life == Life::Starting),
            draining: of(|life| matches!(life, Life::Draining { .. })),
            start_p50_seconds: times.map(|times| times.p50.as_secs_f64()),
            start_p90_seconds: times.map(|times| times.p90.as_secs_f64()),
            hold: gateways.hold(now).map(|hold| hold.cause.to_string()),
        }
    }

    /// What is new in the last decision.
    pub(super) fn news(
        &self,
        plan: &Plan,
        situation: &Situation<'_>,
        gateways: &Gateways,
        now: Duration,
    ) -> Vec<News> {
        let decision = &self.decision;
        let (before, desired) = (decision.before, decision.desired);
        if desired == before {
            return Vec::new();
        }
        let inputs = self.inputs(gateways, now);
        vec![News {
            kind: decision.reason.label(),
            text: format!("{before} → {desired} workers: {}", decision.reason),
            before,
            desired,
            record: Box::new(Record::new(decision, inputs, steps(plan, situation))),
        }]
    }
}
