//! Workers that are about to be taken away: a notice says when.
//!
//! From then on such a worker counts no more as one of those there should be, so that its successor is started at once.
//! It serves on until that is ready, but no longer than leaves time for its last request; then it drains.

use std::time::Duration;

use penstock_config::fleet::WorkerId;

use super::{
    Core,
    deployment::{DeploymentState, Key},
    worker::{Life, Worker},
};
use crate::{
    plan::{DrainCause, StopCause},
    scale::Seconds,
    weights::{Change, Refused},
};

/// What the requests of a worker may take longer than the longest that was seen.
const MARGIN: Duration = Duration::from_secs(1);

/// A notice to a worker that serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Notice {
    /// When it is gone.
    pub(super) deadline: Duration,
    /// When it drains at the latest.
    pub(super) drain_by: Duration,
}

impl Core {
    /// A worker is taken away within this time; what there is to tell.
    pub(super) fn preempt(
        &mut self,
        key: &Key,
        slot: u32,
        within: Option<Duration>,
        change: &Change,
    ) -> Result<String, Refused> {
        let now = self.now.at;
        let id = self.numbered(key, slot)?;
        let Some((_, deployment, place)) = self.worker_mut(&id) else {
            return Err(self.no_worker(key, slot));
        };
        let within = within.unwrap_or(deployment.spec.preemptible.within);
        let (deadline, left) = (now + within, Seconds(within));
        let drain_by = deployment.drain_by(within, now);
        // A next run ends it, which cannot know how much time is left.
        let drained = &mut deployment.course.drained;
        drained.insert(id.to_string(), change.clone());
        deployment.course_changed = true;
        deployment.changed = true;
        deployment.tally.preempted();
        let worker = &mut deployment.workers[place];
        Ok(match worker.life {
            Life::Serving => {
                let sooner = worker
                    .notice
                    .map_or(deadline, |known| known.deadline.min(deadline));
                worker.notice = Some(Notice {
                    deadline: sooner,
                    drain_by: drain_by.min(sooner),
                });
                format!("worker {slot} is taken away in {left}: it is replaced, and drains")
            }
            Life::Draining { .. } => {
                worker.keep_draining();
                worker.hasten(deadline);
                format!("worker {slot} drains already, and has {left} more")
            }
            Life::Stopping => format!("worker {slot} is ending already"),
            _ => {
                self.stop(&id, StopCause::Unwanted, now);
                format!("worker {slot} is stopped: it serves nobody")
            }
        })
    }

    /// A file says that a worker, or all of a deployment, are taken away.
    pub(super) fn on_notice(&mut self, key: &Key, slot: Option<u32>, within: Option<Duration>) {
        let at_ms = self.now.wall_ms;
        let Some(deployment) = self.deployment(key) else {
            return;
        };
        let slots = deployment.workers.iter().map(|worker| worker.new.slot);
        let slots: Vec<u32> = slots
            .filter(|known| slot.is_none_or(|slot| slot == *known))
            .collect();
        let change = Change {
            at_ms,
            by: None,
            reason: Some("notice by a file".to_owned()),
        };
        for slot in slots {
            if let Ok(text) = self.preempt(key, slot, within, &change) {
                self.note(key, "preempted", &format!("{text} (notice by a file)"));
            }
        }
        self.touched.insert(key.clone());
    }

    /// Drains what has been given notice, when it is replaced or the time has come.
    pub(super) fn mind_notices(&mut self, key: &Key) {
        let now = self.now.at;
        let Some(deployment) = self.deployment(key) else {
            return;
        };
        let due = deployment.to_drain_for_notice(now);
        for (id, notice) in due {
            self.drain(&id, DrainCause::Preempted, now);
            if let Some((_, deployment, place)) = self.worker_mut(&id) {
                deployment.workers[place].set_deadline(notice.deadline);
            }
        }
    }
}

impl DeploymentState {
    /// When a worker that is taken away within this time must drain, so that its last request is answered. As
    /// long as nobody knows how long requests take, at once; and never later than after half of the time.
    fn drain_by(&self, within: Duration, now: Duration) -> Duration {
        let longest = self.tracker.longest_served();
        let left = longest.map(|longest| within.saturating_sub(longest + MARGIN));
        now + left.unwrap_or_default().min(within / 2)
    }

    fn to_drain_for_notice(&self, now: Duration) -> Vec<(WorkerId, Notice)> {
        let given = self.workers.iter().filter_map(|worker| {
            let notice = worker.notice.filter(|_| worker.life == Life::Serving)?;
            Some((worker, notice))
        });
        let given: Vec<_> = given.collect();
        if given.is_empty() {
            return Vec::new();
        }
        let stays = |worker: &&Worker| worker.is_ready() && worker.notice.is_none();
        let ready = self.workers.iter().filter(stays).count();
        let is_replaced = ready >= (self.decision.desired as usize).max(1);
        let due = given
            .into_iter()
            .filter(|(worker, notice)| is_replaced || now >= notice.drain_by || !worker.passes);
        due.map(|(worker, notice)| (worker.id().clone(), notice))
            .collect()
    }
}

impl Worker {
    /// In how long it is taken away, if it is.
    pub(super) fn taken_away_in(&self, now: Duration) -> Option<Duration> {
        let notice = self.notice.filter(|_| self.life != Life::Stopping)?;
        Some(notice.deadline.saturating_sub(now))
    }

    /// What there is to say of that.
    pub(super) fn about_notice(&self, now: Duration) -> Option<String> {
        let (left, slot) = (self.taken_away_in(now)?, self.new.slot);
        let drain_by = self.notice?.drain_by.saturating_sub(now);
        let mut text = format!("worker {slot} is taken away in {}", Seconds(left));
        if self.life == Life::Serving {
            text += &format!(
                ": it serves until it is replaced, {} at most, and drains then",
                Seconds(drain_by)
            );
        }
        Some(text)
    }
}
