//! A service under simulated load, with a rollout.

use std::time::Duration;

use penstock_config::{Rollout, fleet::Outcomes};

use crate::rollout::{Event, Evidence, Facts, Memory, Run, Stage};

fn rollout() -> Rollout {
    Rollout {
        steps: vec![1, 5, 25, 50, 100],
        interval: Duration::from_secs(60),
        min_requests: 100,
        max_error_rate: 0.01,
        max_p95_ratio: Some(1.3),
        confidence: 0.95,
    }
}

/// A service under load: every second so many requests, of which some fail, and some take long.
pub(super) struct World {
    pub(super) rollout: Rollout,
    pub(super) run: Run,
    pub(super) facts: Facts,
    pub(super) now: Duration,
    pub(super) per_second: u32,
    pub(super) canary: Behaviour,
    pub(super) siblings: Behaviour,
    random: u64,
    /// How many seconds a worker that is asked for takes until it is ready.
    pub(super) starts_in: Option<u32>,
    /// Whether control forgets all but its memory every hundred seconds.
    pub(super) restarts: bool,
}

#[derive(Clone, Copy)]
pub(super) struct Behaviour {
    pub(super) failures: f64,
    /// Median of the time to the first byte.
    pub(super) median: Duration,
}

pub(super) const GOOD: Behaviour = Behaviour {
    failures: 0.005,
    median: Duration::from_millis(80),
};

impl World {
    pub(super) fn new(canary: Behaviour, siblings: Behaviour, seed: u64) -> Self {
        let rollout = rollout();
        let memory = Memory::new("v2".to_owned(), &rollout, 0);
        let facts = Facts {
            ready: 1,
            target: 100.0,
            workers_max: 1,
            ..Facts::default()
        };
        Self {
            rollout,
            run: Run::new(memory),
            facts,
            now: Duration::ZERO,
            per_second: 100,
            canary,
            siblings,
            random: seed,
            starts_in: None,
            restarts: false,
        }
    }

    /// What happens, each with its second.
    pub(super) fn timeline(&mut self, limit: Duration) -> String {
        let mut text = String::new();
        let mut starting = None;
        while self.now < limit && matches!(self.run.memory.stage, Stage::Running) {
            if self.restarts && self.now.as_secs() % 100 == 99 {
                self.run = Run::new(self.run.memory.clone());
                self.facts.totals = Evidence::default();
            }
            let event = self.second();
            if let Some(event) = event {
                text += &format!("{:5} s  {event}\n", self.now.as_secs());
            }
            let wanted = self.run.workers_min();
            if let Some(seconds) = self.starts_in.filter(|_| wanted > self.facts.ready) {
                let left = *starting.get_or_insert(seconds);
                starting = left.checked_sub(1);
                if left == 0 {
                    self.facts.ready = wanted;
                }
            }
        }
        text
    }

    /// One second of traffic, and a look.
    pub(super) fn second(&mut self) -> Option<Event> {
        self.now += Duration::from_secs(1);
        let share = f64::from(self.run.memory.share()) / 100.0;
        for _ in 0..self.per_second {
            let to_canary = self.draw() < share;
            let behaviour = if to_canary {
                self.canary
            } else {
                self.siblings
            };
            let failed = self.draw() < behaviour.failures;
            // Exponential above half the median: a long tail, as inference has.
            let wait = behaviour
                .median
                .mul_f64(0.5 - self.draw().max(1e-12).ln() * 0.72);
            let totals = &mut self.facts.totals;
            let outcomes = if to_canary {
                &mut totals.canary
            } else {
                &mut totals.siblings
            };
            count(outcomes, failed, wait);
        }
        self.run.turn(&self.rollout, &self.facts, self.now)
    }

    /// Until it is over or `limit` has passed; what happened.
    pub(super) fn play(&mut self, limit: Duration) -> Vec<Event> {
        let mut events = Vec::new();
        while self.now < limit && matches!(self.run.memory.stage, Stage::Running | Stage::Paused) {
            events.extend(self.second());
        }
        events
    }

    /// From 0 to 1 (splitmix64).
    fn draw(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(super) fn requests(&self) -> u64 {
        self.facts.totals.canary.succeeded + self.facts.totals.canary.failed
    }

    pub(super) fn is_rolled_back(&self) -> bool {
        matches!(self.run.memory.stage, Stage::RolledBack(_))
    }
}

fn count(outcomes: &mut Outcomes, failed: bool, wait: Duration) {
    if failed {
        outcomes.failed += 1;
    } else {
        outcomes.succeeded += 1;
        outcomes.first_byte.record(wait);
    }
}
