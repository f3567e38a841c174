//! Shrinking: patiently, and to zero only after a time with nothing to do.

use std::time::Duration;

use penstock_config::Scaling;

use super::{
    Fits, ScaleState,
    decision::{Clamp, Decision, Reason},
    observation::{Hold, Observation},
    pace,
    rules::RuleState,
};

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
    let held = seen.hold.filter(|hold| is_held(hold, scaling, state, now));
    if before <= 1 {
        state.fits = None;
        return to_zero(decision, scaling, seen, state, held, now);
    }
    if wish >= before {
        state.fits = None;
        return;
    }
    let fits = state.fits.get_or_insert(Fits {
        since: now,
        largest_wish: wish,
    });
    fits.largest_wish = fits.largest_wish.max(wish);
    let fits = *fits;
    let stable = now.saturating_sub(fits.since);
    if before <= state.bounds().min {
        decision.reason = Reason::AtMinimum;
    } else if let Some(hold) = held {
        decision.reason = Reason::Held(hold.cause);
    } else if stable < scaling.down.stable_for {
        decision.reason = Reason::Settling {
            wish,
            stable,
            needed: scaling.down.stable_for,
        };
    } else {
        step(decision, fits, stable, scaling, state, now);
    }
}

/// One step down, to what fitted all the time.
fn step(
    decision: &mut Decision,
    fits: Fits,
    stable: Duration,
    scaling: &Scaling,
    state: &ScaleState,
    now: Duration,
) {
    let before = decision.before;
    let mut desired = fits.largest_wish.max(state.bounds().min).max(1);
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
    decision.desired = desired;
    decision.reason = if desired < before {
        Reason::LoadFell { stable }
    } else {
        Reason::PacedDown
    };
}

/// The last worker goes when there has been nothing to do for `idle_timeout`.
fn to_zero(
    decision: &mut Decision,
    scaling: &Scaling,
    seen: &Observation,
    state: &ScaleState,
    held: Option<Hold>,
    now: Duration,
) {
    let idle = now.saturating_sub(state.busy_at);
    if seen.current > 0 || idle.is_zero() {
        return;
    }
    decision.reason = if state.bounds().min > 0 {
        Reason::AtMinimum
    } else if let Some(hold) = held {
        Reason::Held(hold.cause)
    } else if idle < scaling.idle_timeout {
        Reason::Idling {
            idle,
            timeout: scaling.idle_timeout,
        }
    } else {
        decision.desired = 0;
        Reason::Idle { idle }
    };
}

/// A hold lasts one window: the longest over which anything is averaged or has to be stable.
fn is_held(hold: &Hold, scaling: &Scaling, state: &ScaleState, now: Duration) -> bool {
    let windows = state.rules.iter().map(RuleState::window);
    let window = windows
        .max()
        .unwrap_or_default()
        .max(scaling.down.stable_for);
    now.saturating_sub(hold.since) < window
}
