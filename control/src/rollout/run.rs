//! The life of a rollout: from no traffic through its steps to the last share, or back to none.

use std::{fmt, time::Duration};

use penstock_config::{Rollout, fleet::Outcomes};
use serde::{Deserialize, Serialize};

use super::{Evidence, Hold, Looks, Verdict, evidence, judge};

/// What is remembered of a rollout across restarts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// What the deployment's workers run. Something else is another rollout.
    pub revision: String,
    /// The steps that are gone through. Others are another rollout.
    pub steps: Vec<u32>,
    /// How many of them have been taken.
    pub taken: usize,
    /// Where it stands.
    pub stage: Stage,
    /// Since when it stands there: milliseconds since 1970.
    pub since_ms: u64,
    /// Whether it was an operator who took it back, and not its failures.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_operator: bool,
}

/// Where a rollout stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// On its way.
    Running,
    /// Kept where it is by an operator. Still taken back if the canary turns out bad.
    Paused,
    /// The last share was reached.
    Done,
    /// Taken back, for this reason.
    RolledBack(String),
}

/// What a rollout sees at one moment.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Everything that canary and siblings have answered so far.
    pub totals: Evidence,
    /// Ready workers of the canary that run its newest revision.
    pub ready: u32,
    /// Workers of the canary that run an earlier one.
    pub outdated: u32,
    /// Why the canary has no worker and cannot hope for one, if so.
    pub down: Option<String>,
    /// Requests that the service has now, in flight and queued.
    pub current: u32,
    /// Concurrency that one worker of the canary should have.
    pub target: f64,
    /// Most workers that the canary may have.
    pub workers_max: u32,
    /// Whether weights set by hand are in force.
    pub by_hand: bool,
    /// A deployment that has a part in it and is paused, if there is one.
    pub stopped: Option<String>,
}

/// Something that happened to a rollout.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Another share is in force, in percent.
    Stepped(u32),
    /// The last share stays, in percent.
    Done(u32),
    /// The canary gets nothing any more, for this reason.
    RolledBack(String),
    /// Stays where it is, for another reason than before.
    Held(Hold),
}

/// A rollout that is under way.
#[derive(Debug, Clone)]
pub struct Run {
    /// What is remembered of it.
    pub memory: Memory,
    /// Follows the step. Begins anew with every step, and when control starts.
    watch: Option<Watch>,
    hold: Option<Hold>,
    /// What spoke for and against it when it was last judged.
    seen: Option<String>,
    /// Workers that the canary must have, whatever its load.
    workers_min: u32,
    /// How often it was judged by a test since this began.
    looks: u64,
}

#[derive(Debug, Clone)]
struct Watch {
    began: Duration,
    base: Evidence,
    looks: Looks,
    /// What the siblings did in the step before: a reference when they get too little now.
    siblings_before: Outcomes,
}

impl Stage {
    /// Their names, as they are told to operators.
    pub const NAMES: [&str; 4] = ["running", "paused", "done", "rolled_back"];

    /// Its name.
    pub fn name(&self) -> &'static str {
        let [running, paused, done, rolled_back] = Self::NAMES;
        match self {
            Self::Running => running,
            Self::Paused => paused,
            Self::Done => done,
            Self::RolledBack(_) => rolled_back,
        }
    }
}

impl Memory {
    /// A rollout of which no step has been taken.
    pub fn new(revision: String, rollout: &Rollout, at_ms: u64) -> Self {
        Self {
            revision,
            steps: rollout.steps.clone(),
            taken: 0,
            stage: Stage::Running,
            since_ms: at_ms,
            by_operator: false,
        }
    }

    /// The canary's share in percent.
    pub fn share(&self) -> u32 {
        match (&self.stage, self.taken.checked_sub(1)) {
            (Stage::RolledBack(_), _) | (_, None) => 0,
            (_, Some(last)) => self.steps.get(last).copied().unwrap_or(0),
        }
    }
}

impl Run {
    /// Goes on where `memory` says.
    pub fn new(memory: Memory) -> Self {
        Self {
            memory,
            watch: None,
            hold: None,
            seen: None,
            workers_min: 0,
            looks: 0,
        }
    }

    /// How often it was judged by what the canary answered, since this run of control or this rollout
    /// began.
    pub fn looks(&self) -> u64 {
        self.looks
    }

    /// What the step was last judged by, in words.
    pub fn seen(&self) -> Option<&str> {
        self.seen.as_deref()
    }

    /// Why it stays where it is.
    pub fn hold(&self) -> Option<&Hold> {
        self.hold.as_ref()
    }

    /// Workers that the canary must have for its share, whatever its load: a step is not taken with
    /// a cold canary, and it does not go cold within one.
    pub fn workers_min(&self) -> u32 {
        self.workers_min
    }

    /// Takes a look; what came of it.
    pub fn turn(&mut self, rollout: &Rollout, facts: &Facts, now: Duration) -> Option<Event> {
        if !matches!(self.memory.stage, Stage::Running | Stage::Paused) {
            self.rest();
            self.hold = None;
            return None;
        }
        if facts.by_hand {
            // Nobody knows what share the canary has got meanwhile.
            self.rest();
            return self.held(Hold::ByHand);
        }
        if let Some(name) = &facts.stopped {
            // Its share is with others meanwhile.
            self.rest();
            return self.held(Hold::Stopped(name.clone()));
        }
        let event = if self.memory.taken == 0 {
            self.begin(facts, now)
        } else {
            self.go_on(rollout, facts, now)
        };
        match event {
            Ok(event) => {
                self.hold = None;
                Some(event)
            }
            Err(hold) => self.held(hold),
        }
    }

    fn rest(&mut self) {
        self.watch = None;
        self.workers_min = 0;
    }

    fn held(&mut self, hold: Hold) -> Option<Event> {
        let known = self.hold.as_ref().is_some_and(|known| known.is_like(&hold));
        self.hold = Some(hold.clone());
        (!known).then_some(Event::Held(hold))
    }

    /// From nothing to the first share.
    fn begin(&mut self, facts: &Facts, now: Duration) -> Result<Event, Hold> {
        if self.memory.stage == Stage::Paused {
            self.rest();
            return Err(Hold::Paused);
        }
        self.step_up(facts, Outcomes::default(), now)
    }

    /// From one share to the next, to the end, or back.
    fn go_on(&mut self, rollout: &Rollout, facts: &Facts, now: Duration) -> Result<Event, Hold> {
        self.workers_min = 1;
        if let Some(why) = &facts.down {
            return Ok(self.roll_back(format!("no worker answers: {why}")));
        }
        let watch = self.watch.get_or_insert_with(|| Watch {
            began: now,
            base: facts.totals.clone(),
            looks: Looks::default(),
            siblings_before: Outcomes::default(),
        });
        let mut seen = facts.totals.since(&watch.base);
        let siblings = seen.siblings.clone();
        if siblings.succeeded + siblings.failed < u64::from(rollout.min_requests) {
            evidence::add(&mut seen.siblings, &watch.siblings_before);
        }
        self.seen = Some(seen.to_string());
        let elapsed = now.saturating_sub(watch.began);
        let looks = watch.looks;
        let verdict = judge(rollout, &seen, elapsed, &mut watch.looks);
        self.looks += u64::from(watch.looks != looks);
        match verdict {
            Verdict::RollBack(why) => Ok(self.roll_back(why)),
            _ if self.memory.stage == Stage::Paused => Err(Hold::Paused),
            Verdict::Hold(hold) => Err(hold),
            Verdict::Advance if self.memory.taken == self.memory.steps.len() => {
                self.memory.stage = Stage::Done;
                self.rest();
                Ok(Event::Done(self.memory.share()))
            }
            Verdict::Advance => self.step_up(facts, siblings, now),
        }
    }

    /// Takes the next step if there are workers for it; sees to it that there will be.
    fn step_up(
        &mut self,
        facts: &Facts,
        siblings_before: Outcomes,
        now: Duration,
    ) -> Result<Event, Hold> {
        let share = self
            .memory
            .steps
            .get(self.memory.taken)
            .copied()
            .unwrap_or(0);
        let needed = workers_for(share, facts);
        self.workers_min = needed;
        if facts.ready < needed {
            return Err(match &facts.down {
                Some(why) => Hold::StartFailed(why.clone()),
                None => Hold::Workers {
                    ready: facts.ready,
                    needed,
                    share,
                },
            });
        }
        if facts.outdated > 0 {
            return Err(Hold::Outdated(facts.outdated));
        }
        self.memory.taken += 1;
        self.watch = Some(Watch {
            began: now,
            base: facts.totals.clone(),
            looks: Looks::default(),
            siblings_before,
        });
        Ok(Event::Stepped(share))
    }

    /// Takes everything from the canary.
    pub fn roll_back(&mut self, why: String) -> Event {
        self.memory.stage = Stage::RolledBack(why.clone());
        self.rest();
        self.hold = None;
        Event::RolledBack(why)
    }
}

/// Workers that the canary needs for a share of what the service has now; one at least.
fn workers_for(share: u32, facts: &Facts) -> u32 {
    let concurrency = f64::from(facts.current) * f64::from(share) / 100.0;
    let workers = (concurrency / facts.target.max(f64::MIN_POSITIVE)).ceil();
    let workers = if workers < f64::from(u32::MAX) {
        workers as u32
    } else {
        u32::MAX
    };
    workers.min(facts.workers_max).max(1)
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stepped(share) => write!(f, "rollout: {share} % of the traffic"),
            Self::Done(share) => write!(f, "rollout done: {share} % of the traffic stay"),
            Self::RolledBack(why) => write!(f, "rolled back to 0 %: {why}"),
            Self::Held(hold) => write!(f, "rollout holds: {hold}"),
        }
    }
}
