//! How the gateways see a deployment: its phase, its workers, and what is known of those to come.

use std::{sync::Arc, time::Duration};

use penstock_config::fleet::{Coming, DeploymentFleet, Phase};

use super::{
    deployment::{DeploymentState, count},
    effect::{Effect, Level, Log},
    worker::{Life, Worker},
};

impl DeploymentState {
    /// Brings the phase up to date; to be called after the plan was carried out. Gives what the log is to
    /// say of it.
    pub(super) fn update_phase(&mut self, now: Duration) -> Option<Effect> {
        let phase = self.phase_at(now);
        let same = match (&phase, &self.phase) {
            // How long it still lasts shrinks all the time; that is no news.
            (Phase::Failed { reason, .. }, Phase::Failed { reason: known, .. }) => reason == known,
            (new, known) => new == known,
        };
        if same {
            return None;
        }
        self.phase = phase;
        self.changed = true;
        let Phase::Failed {
            reason,
            retry_after,
        } = &self.phase
        else {
            return None;
        };
        let text = format!(
            "no worker can be started, requests are refused for {retry_after:.1?}: {reason}"
        );
        Some(Log::effect(Level::Error, Some((&self.key).into()), text))
    }

    fn phase_at(&self, now: Duration) -> Phase {
        if let Some(paused) = &self.paused {
            return paused.phase.clone();
        }
        if self.ready() > 0 || self.fails_open() {
            return Phase::Warm;
        }
        if self.is_static() {
            return self.static_phase(now);
        }
        if let Some(failed) = self.failed(now) {
            let retry_after = failed.until.saturating_sub(now);
            return Phase::Failed {
                reason: Arc::clone(&failed.reason),
                retry_after,
            };
        }
        let on_their_way = self.workers.iter().any(Worker::is_kept);
        if on_their_way || self.decision.desired > 0 {
            Phase::Starting
        } else {
            Phase::Cold
        }
    }

    /// A static deployment without a ready worker is on its way until every address has been looked
    /// up and has answered its first probe, one way or the other. After that it is down.
    fn static_phase(&self, now: Duration) -> Phase {
        let undecided =
            |worker: &Worker| worker.life == Life::Starting && worker.unreachable().is_none();
        let on_their_way = self.free_address().is_some() || self.workers.iter().any(undecided);
        if on_their_way && self.starts.failed(now).is_none() {
            Phase::Starting
        } else {
            Phase::Cold
        }
    }

    /// How the gateways see it at `now`.
    pub(super) fn fleet(&self, now: Duration) -> DeploymentFleet {
        let open = self.fails_open();
        let mut workers: Vec<_> = self
            .workers
            .iter()
            .filter_map(|worker| worker.entry(&self.spec, open))
            .collect();
        workers.sort_unstable_by_key(|worker| worker.slot);
        DeploymentFleet {
            spec: Arc::clone(&self.spec),
            weight: self.weight,
            phase: self.phase.clone(),
            workers,
            coming: self.coming(now),
        }
    }

    /// What is known of workers that are not ready yet. Given addresses may answer at any moment.
    fn coming(&self, now: Duration) -> Coming {
        if let Some(coming) = self.coming_awake(now) {
            return coming;
        }
        let times = self.starts.times();
        let learned = Coming {
            start_p50: times.map(|times| times.p50),
            start_p90: times.map(|times| times.p90),
            ..Coming::default()
        };
        if self.is_static() {
            return learned;
        }
        let starting = || self.workers.iter().filter(|w| w.life == Life::Starting);
        let oldest = starting().map(|worker| worker.started_at).min();
        Coming {
            start_least: self.starts.least(),
            starting: count(starting()),
            no_room: self.waits_for_room().is_some(),
            oldest: oldest
                .filter(|_| starting().all(|worker| !worker.adopted && worker.progress.is_none()))
                .map(|oldest| now.saturating_sub(oldest)),
            ..learned
        }
    }

    /// The same where the next worker comes from sleep: one is being woken, or none starts and one sleeps.
    fn coming_awake(&self, now: Duration) -> Option<Coming> {
        self.spec.sleep.as_ref()?;
        let waking = || {
            self.workers.iter().filter_map(|worker| match worker.life {
                Life::Waking { since } => Some((since, worker.adopted)),
                _ => None,
            })
        };
        let wakes = waking().next().is_some();
        let starts = self.workers.iter().any(|w| w.life == Life::Starting);
        if !wakes && (starts || self.sleepers().is_empty()) {
            return None;
        }
        let times = self.starts.wake_times();
        let known = waking().all(|(_, adopted)| !adopted);
        Some(Coming {
            start_p50: times.map(|times| times.p50),
            start_p90: times.map(|times| times.p90),
            start_least: self.starts.least_wake(),
            starting: count(waking()),
            no_room: self.waits_for_room().is_some(),
            oldest: waking()
                .map(|(since, _)| since)
                .min()
                .filter(|_| known)
                .map(|since| now.saturating_sub(since)),
            asleep: true,
        })
    }
}
