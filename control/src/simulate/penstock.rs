//! Penstock's own scaling: `decide` and `plan` as they run in production.

use std::time::Duration;

use penstock_config::{Scaling, fleet::WorkerId};

use super::scaler::{Scaler, Seen, Turn};
use crate::{
    plan::{Situation, Stage, StartRecord, plan},
    scale::{History, Observation, ScaleState, decide},
};

/// Control decides every second.
const TICK: Duration = Duration::from_secs(1);

/// One deployment under Penstock.
#[derive(Debug)]
pub struct Penstock {
    name: String,
    scaling: Scaling,
    state: Option<ScaleState>,
    starts: StartRecord,
    /// Workers that were starting at the last turn, with the time when they were started.
    starting: Vec<(WorkerId, Duration)>,
}

impl Penstock {
    /// A deployment with these settings; `name` is what tables call it.
    pub fn new(name: impl Into<String>, scaling: Scaling) -> Self {
        Self {
            name: name.into(),
            scaling,
            state: None,
            starts: StartRecord::default(),
            starting: Vec::new(),
        }
    }
}

impl Penstock {
    /// Learns how long starts take from workers that became ready.
    fn learn(&mut self, seen: &Seen<'_>, now: Duration) {
        let is_at = |id: &WorkerId, stage: Stage| {
            let mut workers = seen.workers.iter();
            workers.any(|worker| worker.id == *id && worker.stage == stage)
        };
        for (id, started_at) in &self.starting {
            if is_at(id, Stage::Ready) {
                self.starts.ready(now - *started_at);
            }
        }
        let starting = seen.workers.iter();
        let starting = starting.filter(|worker| worker.stage == Stage::Starting);
        self.starting = starting
            .map(|worker| (worker.id.clone(), worker.started_at))
            .collect();
    }
}

impl Scaler for Penstock {
    fn name(&self) -> &str {
        &self.name
    }

    fn interval(&self) -> Duration {
        TICK
    }

    fn wakes_at_once(&self) -> bool {
        true
    }

    fn begins_with(&self) -> u32 {
        self.scaling.min
    }

    fn turn(&mut self, seen: &Seen<'_>, now: Duration) -> Turn {
        self.learn(seen, now);
        let min = self.scaling.min;
        let state = self
            .state
            .get_or_insert_with(|| ScaleState::new(min, History::default(), now));
        let observation = Observation {
            start_time: self.starts.times().map(|times| times.p90),
            ..seen.observation.clone()
        };
        let decision = decide(&self.scaling, &observation, state, now);
        let situation = Situation {
            workers: seen.workers,
            starts: self.starts.facts(),
            start_timeout: None,
            starts_wait: false,
        };
        let plan = plan(&decision, &situation, now);
        Turn {
            desired: decision.desired,
            actions: plan.actions,
            reason: if decision.desired == decision.before {
                String::new()
            } else {
                decision.reason.to_string()
            },
        }
    }
}
