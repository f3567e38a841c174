//! What there is to tell about decisions of one deployment.

use std::time::Duration;

use penstock_config::fleet::Phase;

use super::{
    deployment::{DeploymentState, Turn, count},
    worker::Life,
};
use crate::{
    explain::{Inputs, Present, Record, Rules, Waits, steps},
    plan::{Plan, Situation, plan},
    reports::Gateways,
    scale::Bounds,
};

/// The word for a phase in the API.
pub(super) fn phase_name(phase: &Phase) -> &'static str {
    match phase {
        Phase::Cold => "cold",
        Phase::Starting => "starting",
        Phase::Warm => "warm",
        Phase::Failed { .. } => "failed",
        Phase::Paused { .. } => "paused",
    }
}

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
            mean_arrivals_per_second: self.means.as_ref().and_then(|means| means.arrivals()),
            mean_concurrency: self.means.as_ref().and_then(|means| means.concurrency()),
            ready: self.ready(),
            starting: of(|life| life == Life::Starting),
            draining: of(|life| matches!(life, Life::Draining { .. })),
            start_p50_seconds: times.map(|times| times.p50.as_secs_f64()),
            start_p90_seconds: times.map(|times| times.p90.as_secs_f64()),
            hold: gateways.hold(now).map(|hold| hold.cause.to_string()),
        }
    }

    /// The decision in force, and what is on its way.
    pub(super) fn present(&self, turn: Turn<'_>) -> Present {
        let decision = &self.decision;
        let now = turn.now;
        let facts = self.facts(turn);
        let situation = self.situation(&facts, turn);
        let waits = Waits {
            desired: decision.desired,
            situation: &situation,
            starts: &self.starts,
            now,
        };
        let hold = turn.gateways.hold(now);
        let by_rules = !decision.reason.is_given();
        let outlook = by_rules
            .then(|| self.scale.outlook(decision, &self.spec.scaling, hold, now))
            .unwrap_or_default();
        let bounds = Bounds::at(&self.spec.scaling, turn.wall_ms);
        let rules = Rules::new(decision, &outlook);
        // What is about to be done, and what is waited for.
        let mut plan = steps(&plan(decision, &situation, now), &situation);
        plan.extend(waits.steps());
        Present {
            at_ms: turn.wall_ms,
            desired: decision.desired,
            min: bounds.min,
            max: bounds.max,
            phase: phase_name(&self.phase).into(),
            reason: decision.reason.label().into(),
            reason_text: decision.reason.to_string(),
            inputs: self.inputs(turn.gateways, now),
            wishes: rules.wishes,
            clamps: rules.clamps,
            plan,
            next: rules.next,
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
