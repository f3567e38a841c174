//! How far an update is, and when it stops.

use std::time::Duration;

use penstock_config::Update;

use super::super::{deployment::DeploymentState, worker::Worker};
use crate::revisions::{Stopped, Updating};

/// Starts that fail in a row until an update stops although a worker of the new revision is ready.
const FAILURES_MAX: u32 = 3;

impl DeploymentState {
    pub(super) fn recreates(&self) -> bool {
        self.spec.update == Update::Recreate
    }

    /// Sees whether an update is finished or must stop. Gives the kind of journal entry, and its text.
    pub(in crate::core) fn follow_update(
        &mut self,
        now: Duration,
        wall_ms: u64,
    ) -> Option<(&'static str, String)> {
        let update = self.course.update.as_ref()?;
        if update.stopped.is_some() || self.paused.is_some() || self.removed {
            return None;
        }
        let why = self.starts.given_up().filter(|_| self.must_stop());
        if let Some(why) = why.map(|why| why.to_string()) {
            return Some(("update_stopped", self.stop_update(why, wall_ms)));
        }
        if !self.is_finished(now) {
            return None;
        }
        let update = self.course.update.take()?;
        self.course_changed = true;
        let took = Duration::from_millis(wall_ms.saturating_sub(update.began_ms));
        let text = format!(
            "{} finished after {:.1?}",
            self.name_of(&update),
            Duration::from_millis(u64::try_from(took.as_millis() / 100 * 100).unwrap_or(u64::MAX))
        );
        Some(("update_finished", text))
    }

    /// Whether starting has failed so that there is nothing to hope for, and something else can serve.
    fn must_stop(&self) -> bool {
        let runs_target = |worker: &&Worker| worker.revision == self.revision;
        let mut ready = self.workers.iter().filter(|worker| worker.is_ready());
        if ready.any(|worker| runs_target(&worker)) && self.starts.failures() < FAILURES_MAX {
            return false;
        }
        let mut kept = self.workers.iter().filter(|worker| worker.is_kept());
        let old_serves = kept.any(|worker| !runs_target(&worker) && worker.ready_at.is_some());
        let from = self.course.update.as_ref().and_then(|update| update.from);
        let target = self.course.in_force().map(|revision| revision.number);
        let can_go_back = || from != target && from.is_some_and(|from| self.kept(from).is_some());
        old_serves || can_go_back()
    }

    fn stop_update(&mut self, why: String, wall_ms: u64) -> String {
        self.course_changed = true;
        self.changed = true;
        if let Some(update) = &mut self.course.update {
            update.stopped = Some(Stopped {
                at_ms: wall_ms,
                why,
            });
        }
        // What is started from now on is something else, and its failures would be its own.
        self.starts_other();
        self.about_stopped().unwrap_or_default()
    }

    /// Whether nothing of the old revision is left, and the new one has proved good.
    fn is_finished(&self, now: Duration) -> bool {
        if self.workers.iter().any(|w| w.revision != self.revision) {
            return false;
        }
        if self.starts.facts().failing {
            return false;
        }
        if self.decision.desired == 0 {
            // None is there to prove anything, so one that was must do.
            return self.starts.has_been_ready();
        }
        let is_proven = self.workers.iter().any(|worker| worker.is_proven(now));
        is_proven && self.ready() >= self.decision.desired
    }

    /// "the update to revision 8".
    pub(super) fn name_of(&self, update: &Updating) -> String {
        let to = self.course.in_force().map_or(0, |to| to.number);
        if update.is_restart {
            format!("the restart of revision {to}")
        } else if update.from == Some(to) {
            format!("the return to revision {to}")
        } else {
            format!("the update to revision {to}")
        }
    }

    /// That an update has stopped, why, and what can be done.
    pub(in crate::core) fn about_stopped(&self) -> Option<String> {
        let update = self.course.update.as_ref()?;
        let stopped = update.stopped.as_ref()?;
        let to = self.course.in_force().map_or(0, |to| to.number);
        let name = &self.key;
        let mut text = format!("{} has stopped: {}", self.name_of(update), stopped.why);
        match update.from {
            Some(from) if from != to => {
                text += &format!(
                    "; revision {from} serves on (penstock switch {name} {to} tries it again, penstock switch {name} {from} gives it up)"
                );
            }
            _ => {
                text +=
                    &format!("; what runs serves on (penstock switch {name} {to} tries it again)");
            }
        }
        Some(text)
    }
}
