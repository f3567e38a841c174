//! One worker, as control follows it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use penstock_config::{
    Deployment, Probes, Source, StaticAddress,
    fleet::{WorkerEntry, WorkerId, WorkerState},
};

use super::{
    effect::Effect,
    event::{NewWorker, ProbeFailure},
    preempt::Notice,
    scrapes::Known,
};
use crate::{
    plan::{DrainCause, PROVEN_AFTER, Stage, WorkerFacts},
    reports::{Gateways, Tracker},
};

/// A worker that is not gone yet.
pub(super) struct Worker {
    pub(super) new: NewWorker,
    /// What it runs, as text.
    pub(super) revision: Arc<str>,
    pub(super) life: Life,
    pub(super) started_at: Duration,
    pub(super) ready_at: Option<Duration>,
    /// Known once it exists.
    pub(super) address: Option<SocketAddr>,
    /// How far its start is, where that takes a while.
    pub(super) progress: Option<Arc<str>>,
    /// What its readiness probe says now.
    pub(super) passes: bool,
    /// The last failure of a probe, for people.
    pub(super) probe_failure: Option<Arc<str>>,
    /// Set when its liveness probe failed.
    pub(super) broken: Option<Arc<str>>,
    /// Whether an earlier run of control started it.
    pub(super) adopted: bool,
    /// Whether it is being probed.
    pub(super) is_probed: bool,
    /// Why its startup or readiness probe fails at the moment, if it was asked.
    pub(super) probe_says: Option<ProbeFailure>,
    /// Since when it has had nothing to do.
    pub(super) idle_since: Option<Duration>,
    /// Whether it is only there until its image is; then another one takes its place.
    pub(super) prepares: bool,
    /// What it tells of itself, while it is ready and a rule asks for that.
    pub(super) scraping: Option<Known>,
    /// What it answered before it slept for the first time, where that is checked after waking.
    pub(super) recorded: Option<Arc<str>>,
    /// How often what is known of its sleep has changed: tells old news of it from new.
    pub(super) naps: u64,
    /// That it is taken away.
    pub(super) notice: Option<Notice>,
}

/// Where a worker is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Life {
    /// Has never been ready.
    Starting,
    /// Has been ready and is wanted.
    Serving,
    /// To take no new requests.
    Draining {
        cause: DrainCause,
        began: Duration,
        deadline: Duration,
        /// The generation that tells the gateways; `None` until it is published.
        generation: Option<u64>,
    },
    /// Giving the memory of its GPUs up. It has them still.
    FallingAsleep,
    /// Without the memory of its GPUs, which others may have.
    Asleep { since: Duration },
    /// Taking it again.
    Waking { since: Duration },
    /// Being ended.
    Stopping,
}

impl Worker {
    pub(super) fn new(new: NewWorker, revision: Arc<str>, adopted: bool, now: Duration) -> Self {
        Self {
            new,
            revision,
            life: Life::Starting,
            started_at: now,
            ready_at: None,
            address: None,
            progress: None,
            passes: false,
            probe_failure: None,
            broken: None,
            adopted,
            is_probed: false,
            probe_says: None,
            idle_since: None,
            prepares: false,
            scraping: None,
            recorded: None,
            naps: 0,
            notice: None,
        }
    }

    pub(super) fn id(&self) -> &WorkerId {
        &self.new.id
    }

    pub(super) fn is_ready(&self) -> bool {
        self.life == Life::Serving && self.passes
    }

    /// Whether it has been ready for so long that its start was a good one.
    pub(super) fn is_proven(&self, now: Duration) -> bool {
        let since = self.ready_at.filter(|_| self.is_ready());
        since.is_some_and(|since| now.saturating_sub(since) >= PROVEN_AFTER)
    }

    /// Whether it is meant to go on.
    pub(super) fn is_kept(&self) -> bool {
        self.notice.is_none()
            && matches!(
                self.life,
                Life::Starting | Life::Waking { .. } | Life::Serving
            )
    }

    /// Whether it is on its way to readiness.
    pub(super) fn is_coming(&self) -> bool {
        matches!(self.life, Life::Starting | Life::Waking { .. })
    }

    /// Whether it sleeps, or is about to.
    pub(super) fn is_asleep(&self) -> bool {
        matches!(self.life, Life::FallingAsleep | Life::Asleep { .. })
    }

    pub(super) fn is_draining(&self) -> bool {
        self.is_asleep() || matches!(self.life, Life::Draining { .. } | Life::Stopping)
    }

    /// What `plan` needs to know.
    pub(super) fn facts(
        &self,
        outdated: bool,
        tracker: &Tracker,
        gateways: &Gateways,
        shutting_down: bool,
        now: Duration,
    ) -> WorkerFacts {
        let stage = match (self.life, self.notice) {
            // It takes requests still, but others are to be started for it.
            (Life::Serving, Some(notice)) => Stage::Draining {
                deadline: notice.deadline,
                gates_closed: false,
                cancellable: false,
            },
            (life, _) => self.stage(life, gateways, shutting_down),
        };
        WorkerFacts {
            id: self.new.id.clone(),
            slot: self.new.slot,
            stage,
            started_at: self.started_at,
            in_flight: tracker.in_flight(&self.new.id),
            adopted: self.adopted,
            outdated,
            is_proven: self.is_proven(now),
            broken: self.broken.clone(),
        }
    }

    fn stage(&self, life: Life, gateways: &Gateways, shutting_down: bool) -> Stage {
        match life {
            Life::Starting => Stage::Starting,
            Life::Serving if self.passes => Stage::Ready,
            Life::Serving => Stage::NotReady,
            Life::Draining {
                cause,
                deadline,
                generation,
                ..
            } => Stage::Draining {
                deadline,
                // At shutdown no gateway takes requests any more, or soon nobody answers them.
                gates_closed: shutting_down
                    || generation.is_some_and(|generation| gateways.obey(generation)),
                // One that makes room goes, or a rule that has not yet seen how idle it is would take it back again
                // and again, and nobody would get its GPU.
                cancellable: cause == DrainCause::Surplus,
            },
            Life::FallingAsleep | Life::Asleep { .. } => Stage::Asleep,
            Life::Waking { .. } => Stage::Waking,
            Life::Stopping => Stage::Stopping,
        }
    }

    /// Begins to probe it, in place of any probes before.
    pub(super) fn probe(&mut self, probes: &Probes) -> Effect {
        self.is_probed = true;
        self.probe_says = None;
        Effect::Probe {
            worker: self.new.id.clone(),
            spec: Arc::clone(&self.new.spec),
            probes: probes.clone(),
        }
    }

    /// It is to end, whatever it drains for.
    pub(super) fn keep_draining(&mut self) {
        if let Life::Draining { cause, .. } = &mut self.life {
            *cause = DrainCause::Asked;
        }
    }

    /// Gives what it has no more time than until `deadline`, if it drains.
    pub(super) fn hasten(&mut self, latest: Duration) {
        if let Life::Draining { deadline, .. } = &mut self.life {
            *deadline = latest.min(*deadline);
        }
    }

    /// It has until then, if it drains.
    pub(super) fn set_deadline(&mut self, to: Duration) {
        if let Life::Draining { deadline, .. } = &mut self.life {
            *deadline = to;
        }
    }

    /// Why its readiness probe fails, if it was asked and is not ready.
    pub(super) fn unreachable(&self) -> Option<String> {
        let waits = matches!(self.life, Life::Starting | Life::Serving) && !self.passes;
        let says = self.probe_says.as_ref().filter(|_| waits)?;
        Some(says.text.to_string())
    }

    /// Who else holds its port, or where it listens instead.
    pub(super) fn wrong_port(&self) -> Option<String> {
        let says = self.probe_says.as_ref().filter(|says| says.wrong_port)?;
        Some(says.text.to_string())
    }

    /// How the gateways see it; `None` as long as it has never been ready. `regardless`: it gets
    /// requests whatever its readiness probe says.
    pub(super) fn entry(&self, spec: &Deployment, regardless: bool) -> Option<WorkerEntry> {
        let state = match self.life {
            Life::Starting | Life::Serving if regardless => WorkerState::Ready,
            // Nothing is sent to one that sleeps, and it has nothing to finish.
            Life::Starting | Life::Asleep { .. } | Life::Waking { .. } => return None,
            Life::Serving if self.passes => WorkerState::Ready,
            // Its gate closes too, until it passes again.
            Life::Serving | Life::Draining { .. } | Life::FallingAsleep | Life::Stopping => {
                WorkerState::Draining
            }
        };
        if !regardless {
            self.ready_at?;
        }
        Some(WorkerEntry {
            id: self.new.id.clone(),
            slot: self.new.slot,
            address: self.address?,
            host: spec
                .source
                .is_fixed()
                .then(|| StaticAddress::host_of(&self.revision).into()),
            state,
            weight: self.weight(spec),
            // What is given by address or was there before is warm already.
            ramp: spec.ramp && !self.adopted && !spec.source.is_fixed(),
        })
    }

    /// Static workers have the weight of their address.
    fn weight(&self, spec: &Deployment) -> u32 {
        match &spec.source {
            Source::Static(addresses) => addresses
                .iter()
                .find(|address| address.address == *self.revision)
                .map_or(1, |address| address.weight),
            Source::Process(_) | Source::Container(_) => 1,
        }
    }

    /// The word for its state in the API and in metrics.
    pub(super) fn state(&self) -> &'static str {
        match self.life {
            // A given address is there or not; nobody starts it.
            Life::Starting if self.new.spec.source.is_fixed() && self.unreachable().is_some() => {
                "not_ready"
            }
            Life::Starting => "starting",
            Life::Serving if self.passes => "ready",
            Life::Serving => "not_ready",
            Life::Draining { .. } => "draining",
            Life::FallingAsleep => "falling_asleep",
            Life::Asleep { .. } => "asleep",
            Life::Waking { .. } => "waking",
            Life::Stopping => "stopping",
        }
    }
}
