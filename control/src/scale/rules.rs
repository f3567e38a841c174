//! The rules' memories, and how each is asked.

use std::{sync::Arc, time::Duration};

use penstock_config::{Metric, Rule};

use super::{
    backlog,
    concurrency::ConcurrencyState,
    forecast::{ForecastState, Past},
    observation::Observation,
    outlook::Outlook,
    queue_wait::QueueWaitState,
    step::StepState,
    target_tracking::TrackingState,
    wish::{Basis, Wish},
};

/// One rule and what it remembers.
#[derive(Debug, Clone)]
pub(super) struct RuleState {
    pub(super) rule: Rule,
    memory: Memory,
}

/// By type of rule, in the order of [`Rule`].
#[derive(Debug, Clone)]
enum Memory {
    Concurrency(ConcurrencyState),
    TargetTracking(TrackingState),
    Step(StepState),
    /// Schedules move bounds, see `bounds`.
    Schedule,
    QueueWait(Box<QueueWaitState>),
    Backlog,
    Forecast(Box<ForecastState>),
}

/// What a rule looks at when it is asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) seen: &'a Observation,
    /// The load of the last weeks, where a rule asks for it.
    pub(super) past: Option<&'a Past>,
    /// The count decided last.
    pub(super) desired: u32,
    /// Whether fewer workers are ready than the load asks for.
    pub(super) missing: bool,
    pub(super) now: Duration,
}

impl RuleState {
    pub(super) fn new(rule: &Rule) -> Self {
        let memory = match rule {
            Rule::Concurrency(rule) => Memory::Concurrency(ConcurrencyState::new(rule)),
            Rule::TargetTracking(rule) => Memory::TargetTracking(TrackingState::new(rule)),
            Rule::Step(rule) => Memory::Step(StepState::new(rule)),
            Rule::Schedule(_) => Memory::Schedule,
            Rule::QueueWait(_) => Memory::QueueWait(Box::new(QueueWaitState::new())),
            Rule::Backlog(_) => Memory::Backlog,
            Rule::Forecast(_) => Memory::Forecast(Box::default()),
        };
        Self {
            rule: rule.clone(),
            memory,
        }
    }

    /// Takes in what happened since the last time.
    pub(super) fn record(&mut self, view: View<'_>) {
        match (&self.rule, &mut self.memory) {
            (_, Memory::Concurrency(state)) => state.record(view),
            (_, Memory::TargetTracking(state)) => state.record(view),
            (Rule::Step(rule), Memory::Step(state)) => state.record(rule, view),
            (_, Memory::QueueWait(state)) => state.record(view),
            (Rule::Forecast(rule), Memory::Forecast(state)) => state.record(rule, view),
            (_, Memory::Step(_) | Memory::Schedule | Memory::Backlog | Memory::Forecast(_)) => {}
        }
    }

    /// What the rule asks for; `None` when it has nothing to say.
    pub(super) fn wish(&mut self, view: View<'_>) -> Option<Wish> {
        if let Some(metric) = self.rule.worker_metric()
            && view.seen.told(metric).is_none()
        {
            let metric = Metric::Worker(Arc::clone(metric));
            return self.nothing_told(metric, view.seen.ready);
        }
        match (&self.rule, &mut self.memory) {
            (Rule::Concurrency(rule), Memory::Concurrency(state)) => {
                Some(state.wish(rule, view.desired))
            }
            (Rule::TargetTracking(rule), Memory::TargetTracking(state)) => state.wish(rule, view),
            (Rule::Step(rule), Memory::Step(state)) => state.wish(rule, view),
            (Rule::QueueWait(rule), Memory::QueueWait(state)) => state.wish(rule, view),
            (Rule::Backlog(rule), Memory::Backlog) => Some(backlog::wish(rule, view)),
            (Rule::Forecast(rule), Memory::Forecast(state)) => state.wish(rule, view),
            _ => None,
        }
    }

    /// As long as a worker is ready it should tell something.
    fn nothing_told(&self, metric: Metric, ready: u32) -> Option<Wish> {
        let rule = match &self.rule {
            Rule::Step(_) => "step",
            _ => "target_tracking",
        };
        (ready > 0).then_some(Wish {
            rule,
            workers: 0,
            shrinks: false,
            basis: Basis::NothingTold { metric, ready },
        })
    }

    /// The count changed from `before` to `after`, after the rule was asked.
    pub(super) fn settled(&mut self, before: u32, after: u32, now: Duration) {
        match (&self.rule, &mut self.memory) {
            (Rule::TargetTracking(rule), Memory::TargetTracking(state)) => {
                state.settled(rule, before, after, now);
            }
            (Rule::Step(rule), Memory::Step(state)) => state.settled(rule, before, after, now),
            _ => {}
        }
    }

    /// What would make it ask for more or fewer than `desired`, where that is not a matter of a measure
    /// and a target alone. From what it knew when it was asked last.
    pub(super) fn outlook(&self, desired: u32, past: Option<&Past>, now: Duration) -> Vec<Outlook> {
        match (&self.rule, &self.memory) {
            (Rule::Step(rule), Memory::Step(state)) => state.outlook(rule, desired, now),
            (Rule::QueueWait(rule), Memory::QueueWait(state)) => state.outlook(rule, desired),
            (Rule::Forecast(rule), Memory::Forecast(state)) => state.outlook(rule, past, desired),
            _ => Vec::new(),
        }
    }

    /// Forgets the load: the last worker goes.
    pub(super) fn clear(&mut self) {
        match &mut self.memory {
            Memory::Concurrency(state) => state.clear(),
            Memory::TargetTracking(state) => state.clear(),
            Memory::Step(state) => state.clear(),
            Memory::QueueWait(state) => state.clear(),
            // A night without load is part of what it learns.
            Memory::Schedule | Memory::Backlog | Memory::Forecast(_) => {}
        }
    }

    /// Whether it looks ahead: it takes in the load, and may ask for workers, also at zero.
    pub(super) fn looks_ahead(&self) -> bool {
        matches!(self.rule, Rule::Forecast(_))
    }

    /// The longest stretch of time the rule looks back over.
    pub(super) fn window(&self) -> Duration {
        match &self.rule {
            Rule::Concurrency(rule) => rule.window,
            Rule::Step(rule) => rule.period.saturating_mul(rule.datapoints),
            // Backlog looks at the moment, which may mislead for as long when a gateway is silent.
            Rule::TargetTracking(_) | Rule::QueueWait(_) | Rule::Backlog(_) => super::total::WINDOW,
            Rule::Schedule(_) | Rule::Forecast(_) => Duration::ZERO,
        }
    }

    /// Workers that so many requests at a time need, if the rule can tell.
    pub(super) fn workers_for(&self, requests: f64) -> Option<u32> {
        let target = match &self.rule {
            Rule::Concurrency(rule) => rule.target,
            Rule::Backlog(rule) => rule.target,
            Rule::QueueWait(rule) => rule.concurrency,
            Rule::Step(_) | Rule::Schedule(_) | Rule::Forecast(_) => return None,
            Rule::TargetTracking(rule) => super::total::requests_per_worker(rule)?,
        };
        Some(super::wish::workers_for(requests, target))
    }
}
