//! Decides how many workers a deployment should have.
//!
//! Pure and told the time: the same settings, observations and times give the same decisions. Every
//! rule yields a *wish*. The largest wins, then come the bounds and the pace. Growing is immediate,
//! shrinking is patient:
//!
//! - **up** to the wish at once, but never faster than `up` allows (`pace`);
//! - **down** to the largest wish of the last `down.stable_for`, so that for all this time fewer
//!   workers would have done too, and by no more than `down.step` in a second;
//! - **to zero** only from one, with `min = 0`, and when nothing was in flight, queued or open and
//!   nothing came for `idle_timeout`;
//! - **from zero** with the first request, whether it is still there or not, or a start-time before
//!   load that a `forecast` rule expects.
//!
//! What the gateways count comes first. What workers tell of themselves ([`Told`]) may ask for more,
//! and for fewer only together with the rest; a rule that is told too little holds back no other.

mod backlog;
mod bounds;
mod concurrency;
mod datapoints;
mod decision;
mod demand;
mod down;
mod forecast;
mod history;
mod keeper;
mod observation;
mod outlook;
mod pace;
mod patience;
mod queue_wait;
mod rate;
mod recent;
mod rules;
mod service_time;
mod step;
mod target_tracking;
#[cfg(test)]
mod tests;
mod told;
mod total;
mod up;
mod waits;
mod wish;
mod words;

use std::time::Duration;

use penstock_config::{Rule, Scaling};

pub(crate) use self::words::Seconds;
pub use self::{
    bounds::Bounds,
    decision::{Clamp, Decision, Reason},
    forecast::{Expectation, Foresight, Learned, Past, PastDay, Pattern, Proof, Sign},
    history::History,
    keeper::Keeper,
    observation::{Hold, HoldCause, Load, Observation},
    outlook::{Edge, Outlook, Threshold},
    told::{Tellers, Told},
    wish::{Basis, Pause, Wish},
};
use self::{
    bounds::KnownBounds,
    patience::Patience,
    recent::Recent,
    rules::{RuleState, View},
};

/// What decisions about one deployment remember.
#[derive(Debug, Clone)]
pub struct ScaleState {
    desired: u32,
    history: History,
    rules: Vec<RuleState>,
    bounds: KnownBounds,
    patience: Patience,
    /// What was wished for in that time.
    recent: Recent,
    /// Whether the last wish was more than the pace allowed.
    paced: bool,
    /// When the count last shrank.
    stepped_at: Option<Duration>,
    /// When there was last something to do.
    busy_at: Duration,
    /// Whether no worker has been ready since the wake from zero.
    waking: bool,
    /// The load of the last weeks, where a rule ever asked for it.
    past: Option<Box<Past>>,
}

impl ScaleState {
    /// Begins with `desired` workers, which are there already or on their way. `history` may reach
    /// back into an earlier run.
    pub fn new(desired: u32, history: History, now: Duration) -> Self {
        let mut state = Self {
            desired,
            history,
            rules: Vec::new(),
            bounds: KnownBounds::unknown(),
            patience: Patience::new(now),
            recent: Recent::default(),
            paced: false,
            stepped_at: None,
            busy_at: now,
            waking: false,
            past: None,
        };
        state.history.record(desired, Duration::MAX, now);
        state
    }

    /// The count is another than was thought, for no reason that has to do with load.
    pub fn correct(&mut self, desired: u32, now: Duration) {
        if desired != self.desired {
            self.desired = desired;
            self.recent.clear();
            self.history.record(desired, Duration::MAX, now);
        }
    }

    /// No worker may run for now, whatever the load. What comes afterwards begins as new: the pace
    /// does not count from the zero, which no load asked for.
    pub fn rest(&mut self, now: Duration) {
        self.desired = 0;
        self.recent.clear();
        self.rules.iter_mut().for_each(RuleState::clear);
        (self.paced, self.waking) = (false, false);
        self.busy_at = now;
    }

    /// Decisions begin to be followed that were only advice until now: from this count on, with all
    /// that is known of the load.
    pub fn begin_again(&mut self, desired: u32, now: Duration) {
        self.desired = desired;
        self.recent.clear();
        self.paced = false;
        self.stepped_at = None;
        self.history = History::default();
        self.history.record(desired, Duration::MAX, now);
    }

    /// An operator set the count until now. The rules begin with what there is, and with patience.
    pub fn hand_back(&mut self, desired: u32, now: Duration) {
        self.rest(now);
        self.begin_again(desired, now);
    }

    /// The count decided last.
    pub fn desired(&self) -> u32 {
        self.desired
    }

    /// Whether a hold still forbids fewer workers.
    pub fn is_held(&self, hold: &Hold, now: Duration) -> bool {
        down::is_held(hold, self, now)
    }

    /// The bounds that the last decision was made with.
    pub fn bounds(&self) -> Bounds {
        self.bounds.bounds()
    }

    /// Takes over rules that changed; the unchanged ones keep what they know.
    fn follow(&mut self, rules: &[Rule]) {
        let same = self.rules.len() == rules.len()
            && self
                .rules
                .iter()
                .zip(rules)
                .all(|(known, rule)| known.rule == *rule);
        if same {
            return;
        }
        self.bounds.forget();
        let mut old = std::mem::take(&mut self.rules);
        self.rules = rules
            .iter()
            .map(|rule| {
                if let Some(place) = old.iter().position(|known| known.rule == *rule) {
                    return old.swap_remove(place);
                }
                RuleState::new(rule)
            })
            .collect();
    }

    /// As long as requests wait, workers for all that are there are not too many: whoever waits sends
    /// nothing more, so that few requests come is no sign that fewer would do.
    fn kept_for_queue(&self, seen: &Observation) -> u32 {
        if seen.queued == 0 {
            return 0;
        }
        let all = f64::from(seen.current);
        let needed = self.rules.iter().filter_map(|known| known.workers_for(all));
        needed.max().unwrap_or(0).min(self.desired)
    }

    /// Takes in an observation.
    fn record(&mut self, seen: &Observation, now: Duration) {
        if self.rules.iter().any(RuleState::looks_ahead) {
            self.past.get_or_insert_default().record(seen, now);
        }
        let past = self.past.take();
        let view = self.view(seen, past.as_deref(), now);
        // At zero the averages rest, so that they begin with the requests that wake.
        let awake = self.desired > 0 || seen.current > 0 || seen.load.wanted() > 0;
        let recording = self.rules.iter_mut();
        for rule in recording.filter(|rule| awake || rule.looks_ahead()) {
            rule.record(view);
        }
        self.past = past;
        // Whoever was refused because a start takes longer than it can wait comes back after it.
        let awaited = self.waking && seen.starting + seen.ready > 0;
        if seen.current > 0 || seen.load.wanted() > 0 || seen.load.woken || awaited {
            self.busy_at = now;
        }
        self.waking &= seen.ready == 0;
    }

    fn view<'a>(&self, seen: &'a Observation, past: Option<&'a Past>, now: Duration) -> View<'a> {
        View {
            seen,
            past,
            desired: self.desired,
            missing: self.paced || seen.ready < self.desired,
            now,
        }
    }

    /// What the rules that are asked wish for.
    fn wishes(
        &mut self,
        seen: &Observation,
        now: Duration,
        is_asked: impl Fn(&RuleState) -> bool,
    ) -> Vec<Wish> {
        let past = self.past.take();
        let view = self.view(seen, past.as_deref(), now);
        let asked = self.rules.iter_mut().filter(|rule| is_asked(rule));
        let wishes = asked.filter_map(|rule| rule.wish(view)).collect();
        self.past = past;
        wishes
    }

    /// What is wished for at zero, where only load that is expected counts.
    fn foresee(&mut self, seen: &Observation, now: Duration) -> Vec<Wish> {
        self.wishes(seen, now, RuleState::looks_ahead)
    }

    /// Takes up the load of the last weeks where an earlier run left it.
    pub fn remember(&mut self, past: Past) {
        self.past = Some(Box::new(past));
    }

    /// The day of the load's past that has news to be written down, if one has.
    pub fn unsaved(&mut self) -> Option<PastDay> {
        self.past.as_mut()?.unsaved()
    }

    /// Puts a decision into force.
    fn settle(&mut self, decision: &Decision, scaling: &Scaling, now: Duration) {
        if decision.desired == decision.before {
            return;
        }
        self.desired = decision.desired;
        match decision.reason {
            Reason::LoadFell { .. } => self.patience.shrank(now),
            Reason::LoadRose { .. } | Reason::RuleAsked { .. } => self.patience.grew(),
            _ => {}
        }
        self.history.record(
            decision.desired,
            scaling.up.period.max(scaling.down.period),
            now,
        );
        for rule in &mut self.rules {
            if decision.desired == 0 {
                self.recent.clear();
                rule.clear();
            } else if decision.before > 0 && !decision.wishes.is_empty() {
                rule.settled(decision.before, decision.desired, now);
            }
        }
    }
}

/// Decides the number of workers at the time `now`, which must not go back between calls.
pub fn decide(
    scaling: &Scaling,
    seen: &Observation,
    state: &mut ScaleState,
    now: Duration,
) -> Decision {
    state.follow(&scaling.rules);
    state.bounds.update(scaling, seen.wall_ms);
    state.patience.follow(&scaling.down, seen.start_time, now);
    state.record(seen, now);
    let decision = if seen.start_failed {
        // The requests were refused, nobody waits.
        state.busy_at = now;
        Decision::fixed(state.desired, state.bounds().min, Reason::StartFailed)
    } else if state.desired == 0 {
        up::from_zero(scaling, seen, state, now)
    } else {
        from_some(scaling, seen, state, now)
    };
    state.settle(&decision, scaling, now);
    decision
}

fn from_some(
    scaling: &Scaling,
    seen: &Observation,
    state: &mut ScaleState,
    now: Duration,
) -> Decision {
    let wishes = state.wishes(seen, now, |_| true);
    let wish = largest(&wishes, state.desired);
    let fits = wish.max(state.kept_for_queue(seen));
    state.recent.record(fits, state.patience.current(), now);
    let mut decision = Decision {
        wishes,
        ..Decision::fixed(state.desired, state.desired, Reason::Steady)
    };
    if wish > state.desired {
        up::grow(&mut decision, wish, scaling, seen, state, now);
    } else {
        state.paced = false;
        down::shrink(&mut decision, wish, scaling, seen, state, now);
    }
    bound(&mut decision, state.bounds());
    decision
}

/// The largest wish. Fewer than there are only if a rule that may ask for it does.
fn largest(wishes: &[Wish], desired: u32) -> u32 {
    let largest = wishes.iter().map(|wish| wish.workers).max().unwrap_or(0);
    if wishes.iter().any(|wish| wish.shrinks) {
        largest
    } else {
        largest.max(desired)
    }
}

/// Bounds win over everything: `min` always runs.
fn bound(decision: &mut Decision, bounds: Bounds) {
    let clamp = if decision.desired < bounds.min {
        decision.desired = bounds.min;
        bounds.min_clamp()
    } else if decision.desired > bounds.max {
        decision.desired = bounds.max;
        bounds.max_clamp()
    } else {
        return;
    };
    decision.reason = Bounds::reason(clamp);
    if !decision.clamps.contains(&clamp) {
        decision.clamps.push(clamp);
    }
}
