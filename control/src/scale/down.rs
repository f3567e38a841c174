//! Shrinking: patiently, and to zero only after a time with nothing to do.

use std::time::Duration;

use penstock_config::Scaling;

use super::{
    ScaleState,
    decision::{Clamp, Decision, Reason},
    observation::{Hold, HoldCause, Observation},
    pace,
    rules::RuleState,
    wish::Wish,
};

/// From one step to the next, however often decisions are made.
const STEP_PAUSE: Duration = Duration::from_secs(1);

/// Lowers the count if `wish`, which is not above it, has been lower for long enough.
pub(super) fn shrink(
    decision: &mut Decision,
    wish: u32,
    scaling: &Scaling,
    seen: &Observation,
    state: &mut ScaleState,
    now: Duration,
) {
    let before = decision.before;
    let held = seen
        .hold
        .filter(|hold| is_held(hold, state, now))
        .map(|hold| hold.cause);
    if before <= 1 || (held.is_none() && has_idled(decision, scaling, seen, state, now)) {
        return to_zero(decision, scaling, seen, state, held, now);
    }
    if wish >= before {
        return;
    }
    let fits = state.recent.largest(state.patience.current(), now);
    if before <= state.bounds().min {
        decision.reason = Reason::AtMinimum;
    } else if let Some(cause) = held {
        decision.reason = Reason::Held(cause);
    } else if let Some(fits) = fits.filter(|fits| *fits < before) {
        step(decision, fits, scaling, state, now);
    } else {
        decision.reason = Reason::Settling {
            wish,
            stable: state.recent.below(before, now),
            needed: state.patience.current(),
        };
    }
}

/// One step down towards `fits`, the count that fitted all the time.
fn step(
    decision: &mut Decision,
    fits: u32,
    scaling: &Scaling,
    state: &mut ScaleState,
    now: Duration,
) {
    let before = decision.before;
    let mut desired = fits.max(state.bounds().min).max(1);
    let one_step = before.saturating_sub(scaling.down.step);
    if desired < one_step {
        desired = one_step;
        decision.clamps.push(Clamp::DownStep(one_step));
    }
    let least = pace::least(&scaling.down, &state.history, before, now);
    if desired < least {
        desired = least.min(before);
        decision.clamps.push(Clamp::DownPace(least));
    }
    if state.stepped_at.is_some_and(|at| now < at + STEP_PAUSE) {
        desired = before;
    }
    decision.desired = desired;
    decision.reason = if desired < before {
        state.stepped_at = Some(now);
        let stable = state.recent.below(before, now);
        Reason::LoadFell { stable }
    } else {
        Reason::PacedDown
    };
}

/// Whether none of the workers has had anything to do for `idle_timeout`: then all of them go at once,
/// however long the rules' windows are. They stay where a rule that never asks for fewer, or that
/// expects load, wants them.
fn has_idled(
    decision: &Decision,
    scaling: &Scaling,
    seen: &Observation,
    state: &ScaleState,
    now: Duration,
) -> bool {
    seen.current == 0
        && state.bounds().min == 0
        && now.saturating_sub(state.busy_at) >= scaling.idle_timeout
        && decision.wishes.iter().all(|wish| {
            wish.expects().is_none() && (wish.shrinks || wish.workers < decision.before)
        })
}

/// The last worker goes when there has been nothing to do for `idle_timeout`.
fn to_zero(
    decision: &mut Decision,
    scaling: &Scaling,
    seen: &Observation,
    state: &ScaleState,
    held: Option<HoldCause>,
    now: Duration,
) {
    let idle = now.saturating_sub(state.busy_at);
    if seen.current > 0 || idle.is_zero() {
        return;
    }
    decision.reason = if state.bounds().min > 0 {
        Reason::AtMinimum
    } else if let Some(cause) = held {
        Reason::Held(cause)
    } else if idle < scaling.idle_timeout {
        Reason::Idling {
            idle,
            timeout: scaling.idle_timeout,
        }
    } else if let Some((load, at)) = decision.wishes.iter().find_map(Wish::expects) {
        Reason::Expecting { load, at }
    } else {
        decision.desired = 0;
        Reason::Idle { idle }
    };
}

/// A hold lasts one window: the longest over which anything is averaged or has to be stable.
pub(super) fn is_held(hold: &Hold, state: &ScaleState, now: Duration) -> bool {
    now.saturating_sub(hold.since) < hold_window(state)
}

/// How long a hold lasts.
pub(super) fn hold_window(state: &ScaleState) -> Duration {
    let windows = state.rules.iter().map(RuleState::window);
    windows
        .max()
        .unwrap_or_default()
        .max(state.patience.current())
}
