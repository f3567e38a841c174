//! What is wrong with a deployment, in words. It comes first wherever somebody looks, and stays until
//! it is right.

use std::{sync::Arc, time::Duration};

use penstock_config::{Probe, ProbeKind, Source, fleet::Phase};

use super::{
    deployment::DeploymentState,
    describe::phase_name,
    sleeping::any_asleep,
    tally::{ExitReason, StartFailure},
    worker::{Life, Worker},
};
use crate::{plan::PROVEN_AFTER, scale::Seconds, status::ExitStatus};

/// Workers that are named one by one; the others are counted.
const NAMED_MAX: usize = 3;

/// Workers that ended without being asked to, since control began or the deployment came.
#[derive(Debug, Default)]
pub(super) struct Exits {
    pub(super) count: u32,
    last: Option<(Arc<str>, Duration)>,
}

impl Exits {
    /// How the last one ended.
    pub(super) fn last(&self, now: Duration) -> Option<ExitStatus> {
        let (reason, at) = self.last.as_ref()?;
        Some(ExitStatus {
            seconds_ago: now.saturating_sub(*at).as_secs_f64(),
            reason: reason.to_string(),
        })
    }
}

impl DeploymentState {
    /// A worker ended without being asked to. Of a static deployment only its address has changed.
    pub(super) fn note_exit(&mut self, worker: &Worker, reason: &Arc<str>, now: Duration) {
        if self.is_static() {
            return;
        }
        self.tally.worker_exited(ExitReason::of(reason));
        let is_current = self.is_current(worker);
        if worker.is_draining() || !is_current {
            return;
        }
        self.exits.count = self.exits.count.saturating_add(1);
        let slot = worker.new.slot;
        self.exits.last = Some((format!("worker {slot}: {reason}").into(), now));
        let up = worker.ready_at.map(|ready_at| {
            self.starts.up_since(ready_at, now);
            now.saturating_sub(ready_at)
        });
        if up.is_none_or(|up| up < PROVEN_AFTER) {
            let began = worker.started_at;
            self.starts.crashed(Arc::clone(reason), began, now);
            self.tally.start_failed(StartFailure::Crashed);
        }
    }

    /// The word for how it is: its phase, unless something is wrong.
    pub(super) fn state_word(&self, troubles: &[String]) -> &'static str {
        if self.paused.is_some() || troubles.is_empty() {
            let sleeps = self.phase == Phase::Cold && any_asleep(self);
            if sleeps {
                "asleep"
            } else {
                phase_name(&self.phase)
            }
        } else if self.ready() > 0 {
            "degraded"
        } else if self.starts.last_failure().is_none() && self.waits_for_room().is_some() {
            "waiting"
        } else {
            "failed"
        }
    }

    /// Everything that is wrong with it, the worst first.
    pub(super) fn troubles(&self, now: Duration) -> Vec<String> {
        if self.paused.is_some() || self.removed {
            return Vec::new();
        }
        let all = [
            self.about_stopped(),
            self.failing_starts(now),
            self.waits_for_room(),
            self.unready(),
            self.ejected(),
        ];
        all.into_iter().flatten().collect()
    }

    fn failing_starts(&self, now: Duration) -> Option<String> {
        let (reason, at) = self.starts.last_failure()?;
        let ago = Seconds(now.saturating_sub(at));
        if self.is_static() {
            return Some(format!("{reason} ({ago} ago)"));
        }
        Some(match self.starts.failures() {
            0 | 1 => format!("the last start failed {ago} ago: {reason}"),
            more => format!("{more} starts in a row failed, the last {ago} ago: {reason}"),
        })
    }

    /// How many workers wait for room, and who has it. While one of them tries again it still waits.
    pub(super) fn waits_for_room(&self) -> Option<String> {
        let reason = self.starts.facts().no_room.as_ref()?;
        let there = |worker: &&Worker| {
            worker.is_kept() && worker.address.is_some() && worker.broken.is_none()
        };
        let current = |worker: &&Worker| self.is_current(worker);
        let there = self.workers.iter().filter(there).filter(current).count();
        let missing = (self.decision.desired as usize).saturating_sub(there);
        match missing {
            0 => None,
            1 => Some(format!("1 worker waits for room: {reason}")),
            more => Some(format!("{more} workers wait for room: {reason}")),
        }
    }

    /// Workers that are there and fail their readiness probe.
    fn unready(&self) -> Option<String> {
        let is_asked = |worker: &&Worker| self.is_static() || worker.life == Life::Serving;
        let kept = self.workers.iter().filter(|w| w.is_kept()).count();
        let failing = self.workers.iter().filter(is_asked);
        let failing = failing.filter_map(|worker| Some((worker, worker.unreachable()?)));
        let failing: Vec<_> = failing
            .map(|(worker, reason)| match worker.address {
                // A failed connection names the address itself.
                Some(_) if reason.contains("connecting to ") => reason,
                Some(address) if self.is_static() => format!("{address}: {reason}"),
                _ => format!("worker {}: {reason}", worker.new.slot),
            })
            .collect();
        if failing.is_empty() {
            return None;
        }
        let (count, named) = (failing.len(), named(&failing));
        Some(if self.fails_open() {
            format!("no address passes its probe, requests go there all the same: {named}")
        } else if self.is_static() {
            format!("{count} of {kept} addresses fail their probe: {named}")
        } else {
            format!("{count} of {kept} workers fail their readiness probe: {named}")
        })
    }

    /// Workers that gateways send nothing for a while.
    fn ejected(&self) -> Option<String> {
        let kept = self.workers.iter().filter(|worker| worker.is_ready());
        let all = kept.clone().count();
        let ejected = kept.filter(|worker| self.tracker.is_ejected(worker.id()));
        let ejected: Vec<_> = ejected
            .map(|worker| format!("worker {}", worker.new.slot))
            .collect();
        if ejected.is_empty() {
            return None;
        }
        let (count, named) = (ejected.len(), named(&ejected));
        Some(format!(
            "{count} of {all} workers get no requests for a while (ejected): {named}"
        ))
    }

    /// Whether every given address fails a probe that says no more than that nobody listens. Then none
    /// is worse than another, and requests go to all of them: they find out for themselves, are told
    /// what the connection says, and the first address that listens again serves at once. A probe that
    /// asks more, which the user has set, is believed.
    pub(super) fn fails_open(&self) -> bool {
        let says_little = |probe: &Probe| probe.kind == ProbeKind::Tcp;
        let probes = &self.spec.probes;
        if !matches!(self.spec.source, Source::Static(_))
            || self.removed
            || probes.startup.is_some()
            || !probes.ready.as_ref().is_some_and(says_little)
        {
            return false;
        }
        let mut kept = self.workers.iter().filter(|worker| worker.is_kept());
        let mut any = false;
        kept.all(|worker| {
            any = true;
            worker.unreachable().is_some()
        }) && any
    }
}

/// The first few of them, and how many more there are.
fn named(all: &[String]) -> String {
    let mut text = all[..all.len().min(NAMED_MAX)].join("; ");
    if all.len() > NAMED_MAX {
        text += &format!("; and {} more", all.len() - NAMED_MAX);
    }
    text
}
