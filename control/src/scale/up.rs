//! Growing: at once, within the pace.

use std::time::Duration;

use penstock_config::Scaling;

use super::{
    ScaleState, bound,
    decision::{Clamp, Decision, Reason},
    forecast::Foresight,
    observation::Observation,
    pace,
    wish::{Basis, Wish},
};

/// What to do with no worker wanted: any request, also one that came and went since the last look or
/// was spilled to a sibling, wakes the deployment. Mirrored copies that may wake it wake one worker, and
/// so does load that is expected soon.
pub(super) fn from_zero(
    scaling: &Scaling,
    seen: &Observation,
    state: &mut ScaleState,
    now: Duration,
) -> Decision {
    let mut decision = Decision::fixed(0, 0, Reason::Asleep);
    if seen.current > 0 || seen.load.wanted() > 0 {
        state.waking = true;
        decision.reason = Reason::Wake {
            current: seen.current,
            arrivals: seen.load.wanted(),
        };
        let wanted = burst(scaling, seen, state).max(1);
        let bounds = state.bounds();
        decision.desired = wanted.min(bounds.max);
        if wanted > bounds.max {
            decision.clamps.push(bounds.max_clamp());
        }
    }
    if decision.desired == 0 && seen.load.woken {
        decision.reason = Reason::WokenByCopies;
        decision.desired = 1.min(state.bounds().max);
    }
    decision.wishes = state.foresee(seen, now);
    let expected = decision.wishes.iter().find(|wish| wish.workers > 0);
    if let Some(wish) = expected.filter(|_| decision.desired == 0) {
        decision.reason = because(wish);
        // One, and the next decision goes on from there, within the pace.
        decision.desired = 1.min(state.bounds().max);
    }
    bound(&mut decision, state.bounds());
    decision
}

/// Raises the count to `wish`, as far as `max` and the pace allow.
pub(super) fn grow(
    decision: &mut Decision,
    wish: u32,
    scaling: &Scaling,
    seen: &Observation,
    state: &mut ScaleState,
    now: Duration,
) {
    let before = decision.before;
    let mut desired = wish;
    let bounds = state.bounds();
    if desired > bounds.max {
        desired = bounds.max.max(before);
        decision.clamps.push(bounds.max_clamp());
        decision.reason = Reason::AtMaximum { wish };
    }
    let most = pace::most(&scaling.up, &state.history, before, now)
        .max(burst(scaling, seen, state))
        .max(before);
    state.paced = desired > most;
    if state.paced {
        desired = most;
        decision.clamps.push(Clamp::UpPace(most));
        decision.reason = Reason::Paced { wish };
    }
    if desired > before
        && let Some(largest) = decision.winner()
    {
        decision.reason = because(largest);
    }
    decision.desired = desired;
}

/// What `burst_from_zero` allows until the first worker after a wake is ready; 0 when it is off.
fn burst(scaling: &Scaling, seen: &Observation, state: &ScaleState) -> u32 {
    if !scaling.up.burst_from_zero || !state.waking {
        return 0;
    }
    let wishes = state.rules.iter();
    let wishes = wishes.filter_map(|known| known.workers_for(f64::from(seen.queued)));
    wishes.max().unwrap_or(0)
}

/// The reason to grow that the largest wish gives.
fn because(wish: &Wish) -> Reason {
    match wish.basis {
        Basis::Concurrency {
            concurrency,
            target,
            ..
        } => Reason::LoadRose {
            concurrency,
            target,
        },
        Basis::Forecast {
            foresight: Foresight::More { load, at, .. },
            ..
        } => Reason::LoadExpected { load, at },
        _ => Reason::RuleAsked {
            rule: wish.rule,
            wish: wish.workers,
        },
    }
}
