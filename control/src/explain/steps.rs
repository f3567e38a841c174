//! A plan in words.

use penstock_config::fleet::WorkerId;

use super::record::Step;
use crate::plan::{Action, Plan, Situation, WorkerFacts};

/// What a plan does, in its order.
pub(crate) fn steps(plan: &Plan, situation: &Situation<'_>) -> Vec<Step> {
    let step = |action| step(action, situation);
    plan.actions.iter().map(step).collect()
}

fn step(action: &Action, situation: &Situation<'_>) -> Step {
    let find = |id: &WorkerId| {
        let mut workers = situation.workers.iter();
        workers.find(|worker| worker.id == *id)
    };
    let slot = |id| find(id).map(|worker: &WorkerFacts| worker.slot);
    let name = |id| slot(id).map_or_else(|| "a worker".to_owned(), |slot| format!("worker {slot}"));
    let (action, worker, words) = match action {
        Action::Start { slot } => ("start", Some(*slot), format!("worker {slot} is started")),
        Action::Drain { id, why } => {
            let in_flight = find(id).map_or(0, |worker| worker.in_flight);
            let has = match in_flight {
                0 => String::new(),
                1 => ", with 1 request in flight".to_owned(),
                more => format!(", with {more} requests in flight"),
            };
            (
                "drain",
                slot(id),
                format!("{} drains{has}: {why}", name(id)),
            )
        }
        Action::Undrain { id } => {
            let words = format!("{} drains no longer: it is needed again", name(id));
            ("undrain", slot(id), words)
        }
        Action::Stop { id, why } => ("stop", slot(id), format!("{} is stopped: {why}", name(id))),
    };
    Step {
        action: action.into(),
        worker,
        words,
    }
}
