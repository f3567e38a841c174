//! Penstock's own scaling: `decide` and `plan` as they run in production.

use std::time::Duration;

use penstock_config::Scaling;

use super::scaler::{Scaler, Seen, Turn};
use penstock_control::{
    plan::{Situation, StartFacts, plan},
    scale::{History, ScaleState, decide},
};

/// Control decides every second.
const TICK: Duration = Duration::from_secs(1);

/// One deployment under Penstock.
#[derive(Debug)]
pub struct Penstock {
    name: String,
    scaling: Scaling,
    state: Option<ScaleState>,
}

impl Penstock {
    /// A deployment with these settings; `name` is what tables call it.
    pub fn new(name: impl Into<String>, scaling: Scaling) -> Self {
        Self {
            name: name.into(),
            scaling,
            state: None,
        }
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
        let min = self.scaling.min;
        let state = self
            .state
            .get_or_insert_with(|| ScaleState::new(min, History::default(), now));
        let decision = decide(&self.scaling, &seen.observation, state, now);
        let situation = Situation {
            workers: seen.workers,
            // No simulated start fails.
            starts: &StartFacts::default(),
            start_timeout: None,
            starts_wait: false,
            update: Default::default(),
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
