//! What there is to tell about decisions of one deployment.

use std::time::Duration;

use penstock_config::fleet::Phase;

use super::{
    deployment::{DeploymentState, Key, Turn, count},
    worker::Life,
};
use crate::{
    explain::{Inputs, Present, Record, Rules, Step, Waits, steps},
    plan::plan,
    reports::Gateways,
    scale::{Bounds, Decision},
    status,
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

/// What is new in a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NewsKind {
    /// The desired count changed, for the reason with this label.
    Change(&'static str),
    /// Another count is advised.
    Advice,
    /// Something began to hold the count back.
    Limited,
}

/// A decision worth a line in the journal.
#[derive(Debug)]
pub(super) struct News {
    pub(super) kind: NewsKind,
    /// In words.
    pub(super) text: String,
    pub(super) before: u32,
    pub(super) desired: u32,
    pub(super) record: Box<Record>,
}

impl NewsKind {
    /// The kind of journal entry.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Change(reason) => reason,
            Self::Advice => "advice",
            Self::Limited => "limited",
        }
    }
}

impl DeploymentState {
    /// What the last decision was made from.
    pub(super) fn inputs(&self, gateways: &Gateways, now: Duration) -> Inputs {
        let measured = &self.measured;
        let times = self.starts.times();
        let hold = gateways
            .hold(now)
            .filter(|hold| self.scale.is_held(hold, now));
        let of = |is: fn(Life) -> bool| {
            let workers = self.workers.iter();
            count(workers.filter(|worker| is(worker.life)))
        };
        let Key {
            service,
            deployment,
        } = &self.key;
        let overflow = status::overflow(deployment, gateways.told(service));
        let elsewhere = overflow.map_or(0, |overflow| overflow.away);
        let on_workers = measured.current.saturating_sub(measured.queued);
        Inputs {
            in_flight: on_workers.saturating_sub(elsewhere),
            overflow: overflow.filter(|overflow| overflow.taken > 0 || overflow.away > 0),
            queued: measured.queued,
            arrivals_per_second: measured.load.arrival_rate,
            mean_arrivals_per_second: self.means.as_ref().and_then(|means| means.arrivals()),
            mean_concurrency: self.means.as_ref().and_then(|means| means.concurrency()),
            ready: self.ready(),
            starting: of(|life| life == Life::Starting),
            draining: of(|life| matches!(life, Life::Draining { .. })),
            start_p50_seconds: times.map(|times| times.p50.as_secs_f64()),
            start_p90_seconds: times.map(|times| times.p90.as_secs_f64()),
            hold: hold.map(|hold| hold.cause.to_string()),
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
        let ruled = self.ruled();
        let outlook = if self.by_rules {
            self.scale.outlook(ruled, &self.spec.scaling, hold, now)
        } else {
            Vec::new()
        };
        let bounds = Bounds::at(&self.spec.scaling, turn.wall_ms);
        let rules = Rules::new(ruled, &outlook);
        // What is about to be done, and what is waited for.
        let troubles = self.troubles(now);
        let mut plan = steps(&plan(decision, &situation, now), &situation);
        // What waits for GPUs is among what is waited for.
        plan.retain(|step| step.action != "start" || !self.starts.facts().lacks_gpus);
        plan.extend(waits.steps());
        plan.extend(self.workers.iter().filter_map(|worker| {
            let progress = worker.progress.as_ref()?;
            let slot = worker.new.slot;
            Some(Step {
                action: "wait".into(),
                worker: Some(slot),
                words: format!("worker {slot} {progress}"),
            })
        }));
        Present {
            at_ms: turn.wall_ms,
            desired: decision.desired,
            min: bounds.min,
            max: bounds.max,
            phase: self.state_word(&troubles).into(),
            troubles,
            reason: decision.reason.label().into(),
            reason_text: decision.reason.to_string(),
            by_hand: self.about_switched().into_iter().collect(),
            update: self
                .describe_update()
                .filter(|update| update.why.is_none())
                .map(|update| update.words),
            advice: self.describe_advice(),
            cost: self.describe_cost(),
            inputs: self.inputs(turn.gateways, now),
            wishes: rules.wishes,
            clamps: rules.clamps,
            plan,
            next: rules.next,
        }
    }

    /// Whether there is something new in the last decision.
    pub(super) fn is_new(&mut self, now: Duration) -> bool {
        let changes = |decision: &Decision| decision.desired != decision.before;
        let changed = changes(&self.decision) || self.advised().is_some_and(changes);
        let ruled = self
            .advice
            .as_ref()
            .and_then(|advice| advice.decision.as_ref());
        let ruled = ruled.unwrap_or(&self.decision);
        self.limited = self.episodes.note(ruled, changes(ruled), now);
        changed || self.limited
    }

    /// What is new in the last decision, in words.
    pub(super) fn news(&self, inputs: &Inputs, steps: &[Step]) -> Vec<News> {
        let news = |kind, text, of: &Decision, steps: &[Step]| News {
            kind,
            text,
            before: of.before,
            desired: of.desired,
            record: Box::new(Record::new(of, inputs.clone(), steps.to_vec())),
        };
        let mut all = Vec::new();
        let Decision {
            before,
            desired,
            reason,
            ..
        } = &self.decision;
        if desired != before {
            let text = format!("{before} → {desired} workers: {reason}");
            all.push(news(
                NewsKind::Change(reason.label()),
                text,
                &self.decision,
                steps,
            ));
        }
        if let Some(advice) = self.advised()
            && advice.desired != advice.before
        {
            let text = format!(
                "advice: {} → {} workers: {}; {desired} are kept",
                advice.before, advice.desired, advice.reason
            );
            all.push(news(NewsKind::Advice, text, advice, &[]));
        }
        if self.limited {
            let ruled = self.ruled();
            let what = self.advised().map_or("", |_| "advice: ");
            let text = format!("{what}{} workers stay: {}", ruled.desired, ruled.reason);
            all.push(news(NewsKind::Limited, text, ruled, &[]));
        }
        all
    }
}
