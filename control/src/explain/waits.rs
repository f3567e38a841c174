//! What is under way, and what it waits for.

use std::time::Duration;

use super::record::Step;
use crate::{
    plan::{Situation, Stage, StartRecord, WorkerFacts},
    scale::Seconds,
};

/// How far the fleet is from the decision, as far as waiting goes.
pub(crate) struct Waits<'a> {
    /// Workers there should be.
    pub(crate) desired: u32,
    pub(crate) situation: &'a Situation<'a>,
    pub(crate) starts: &'a StartRecord,
    pub(crate) now: Duration,
}

impl Waits<'_> {
    /// Everything that is waited for: workers in the order of their numbers, then starts that must
    /// not happen yet.
    pub(crate) fn steps(&self) -> Vec<Step> {
        let mut workers: Vec<&WorkerFacts> = self.situation.workers.iter().collect();
        workers.sort_unstable_by_key(|worker| worker.slot);
        let workers = workers.into_iter();
        let about = workers.filter_map(|worker| Some((Some(worker.slot), self.about(worker)?)));
        let starts = self.about_starts().map(|words| (None, words));
        let step = |(worker, words)| Step {
            action: "wait".into(),
            worker,
            words,
        };
        about.chain(starts).map(step).collect()
    }

    /// What one worker waits for; `None` for one that just works.
    fn about(&self, worker: &WorkerFacts) -> Option<String> {
        let slot = worker.slot;
        match worker.stage {
            Stage::Starting => Some(self.about_start(worker)),
            Stage::NotReady => Some(format!(
                "worker {slot} gets no requests: its readiness probe fails"
            )),
            Stage::Draining {
                deadline,
                gates_closed,
                ..
            } => {
                let left = Seconds(deadline.saturating_sub(self.now));
                Some(match (worker.in_flight, gates_closed) {
                    (0, false) => format!(
                        "worker {slot} drains: it is stopped when every gateway sends it nothing any more, in {left} at the latest"
                    ),
                    (0, true) => format!("worker {slot} has drained and is about to be stopped"),
                    (1, _) => format!(
                        "worker {slot} drains: waits for 1 request in flight, {left} at most"
                    ),
                    (more, _) => format!(
                        "worker {slot} drains: waits for {more} requests in flight, {left} at most"
                    ),
                })
            }
            Stage::Stopping => Some(format!("worker {slot} is being ended")),
            // The deployment knows more of those.
            Stage::Asleep | Stage::Waking => None,
            Stage::Ready if worker.outdated && self.situation.starts.failing => Some(format!(
                "worker {slot} runs an older revision and serves on: starts of the newer one fail"
            )),
            Stage::Ready if worker.outdated => Some(format!(
                "worker {slot} runs an older revision: it goes when another one stands in for it"
            )),
            Stage::Ready => None,
        }
    }

    fn about_start(&self, worker: &WorkerFacts) -> String {
        let (slot, since) = (worker.slot, self.now.saturating_sub(worker.started_at));
        if self.situation.start_timeout.is_none() {
            return format!("address {slot} gets no requests while another one passes its probe");
        }
        if worker.adopted {
            return format!("worker {slot} is of an earlier run: waits for its readiness probe");
        }
        let mut text = format!("worker {slot} has been starting for {}", Seconds(since));
        match self.starts.times() {
            Some(times) => {
                let (p50, p90) = (Seconds(times.p50), Seconds(times.p90));
                text += &format!(", which takes {p50}, in nine of ten cases at most {p90}");
            }
            None => text += ", the first of the deployment",
        }
        if let Some(limit) = self.situation.start_timeout {
            let left = limit.saturating_sub(since);
            if left < limit / 2 {
                text += &format!("; it is given up in {}", Seconds(left));
            }
        }
        text
    }

    /// Why workers that are wanted are not started, if so.
    fn about_starts(&self) -> Option<String> {
        let kept = self
            .situation
            .workers
            .iter()
            .filter(|w| w.is_kept())
            .count();
        let missing = (self.desired as usize).saturating_sub(kept);
        if let Some(failed) = self.starts.failed(self.now) {
            let left = Seconds(failed.until.saturating_sub(self.now));
            let reason = &failed.reason;
            return Some(format!("no worker is started for {left} more: {reason}"));
        }
        if missing == 0 {
            return None;
        }
        let more = match missing {
            1 => "1 more worker is".to_owned(),
            more => format!("{more} more workers are"),
        };
        if self.situation.starts_wait {
            return Some(format!(
                "{more} started when the workers of an earlier run are found or ended"
            ));
        }
        let facts = self.situation.starts;
        if let Some(no_room) = &facts.no_room {
            return Some(format!(
                "{more} started as soon as there is room: {no_room}"
            ));
        }
        let not_before = facts.not_before.filter(|at| self.now < *at)?;
        let left = Seconds(not_before.saturating_sub(self.now));
        Some(match self.starts.failures() {
            0 | 1 => format!("{more} started in {left}: the last start failed"),
            failures => format!("{more} started in {left}: {failures} starts in a row failed"),
        })
    }
}

#[cfg(test)]
mod tests;
