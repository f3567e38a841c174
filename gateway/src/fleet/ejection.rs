//! The workers of one deployment that are out because they fail requests or asked for rest.
//!
//! Who is ejected, and for how long, is decided by the balancer's [`Ejector`]. Here it is kept under
//! a lock that only failures and changes of the fleet take, told of both, and woken in time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use penstock_balancer::{Candidate, EjectRules, Ejector};
use penstock_config::Ejection;

use crate::fleet::{deployment::DeploymentState, reminders::Reminders, worker::WorkerState};

/// Between two lines of the log about workers that stay in although they fail.
const COMPLAIN_SECONDS: u64 = 60;

/// The balancer's form of a service's settings.
pub(crate) fn rules(settings: &Ejection) -> EjectRules {
    EjectRules {
        failures: settings.failures,
        first: settings.first,
        longest: settings.longest,
        max_ejected_percent: settings.max_ejected_percent,
    }
}

/// The ejections of one deployment. They survive snapshots and reloads.
pub(crate) struct Ejections {
    ejector: Mutex<Ejector>,
    /// Ejections and rests so far.
    total: AtomicU64,
    /// When it was last said that a worker stays in although it fails: a second, plus one.
    complained: AtomicU64,
    reminders: Arc<Reminders>,
}

impl Ejections {
    /// No worker is out yet. Those that will be are put down in `reminders`.
    pub(crate) fn new(rules: EjectRules, reminders: Arc<Reminders>) -> Self {
        Self {
            ejector: Mutex::new(Ejector::new(rules)),
            total: AtomicU64::new(0),
            complained: AtomicU64::new(0),
            reminders,
        }
    }

    /// Obeys new rules and another fleet: `ready` are the workers that take requests.
    pub(crate) fn apply(&self, rules: EjectRules, ready: &[Candidate], now: Duration) {
        let mut ejector = self.ejector.lock();
        ejector.set_rules(rules);
        ejector.keep(ready, now);
    }

    /// Considers a worker that failed once more. One that drains gets nothing more anyway.
    pub(crate) fn failed(
        &self,
        worker: &WorkerState,
        deployment: &Arc<DeploymentState>,
        now: Duration,
    ) {
        let mut ejector = self.ejector.lock();
        if worker.gate().is_closed() {
            return;
        }
        let workers = deployment.view().ready();
        let until = ejector.failed(&worker.candidate(1), workers, now);
        let rules = ejector.rules();
        let stays = rules.failures > 0
            && ejector.ejected_until(worker.key).is_none()
            && worker.fails_since(rules.failures);
        let others = workers.saturating_sub(1);
        let ejected = ejector.ejected();
        drop(ejector);
        if stays && self.may_complain(now) {
            tracing::error!(
                service = deployment.service.as_str(),
                deployment = deployment.name.as_str(),
                worker = worker.slot,
                address = %worker.address,
                others, ejected,
                "a worker fails request after request and gets them all the same: too few others are left"
            );
        }
        self.is_out(worker, deployment, until, now);
    }

    /// Lets a worker rest that asked for it.
    pub(crate) fn rest(
        &self,
        worker: &WorkerState,
        length: Duration,
        deployment: &Arc<DeploymentState>,
        now: Duration,
    ) {
        let mut ejector = self.ejector.lock();
        if worker.gate().is_closed() {
            return;
        }
        let was_out = ejector.ejected_until(worker.key).is_some();
        let workers = deployment.view().ready();
        let until = ejector.rest(&worker.candidate(1), length, workers, now);
        drop(ejector);
        if was_out {
            // Whoever looks at the old time puts down the new one.
            return;
        }
        self.is_out(worker, deployment, until, now);
    }

    /// Readmits the workers whose time is over. Also when to do this again.
    pub(crate) fn readmit(&self, now: Duration) -> (usize, Option<Duration>) {
        let mut ejector = self.ejector.lock();
        (ejector.readmit(now), ejector.next_readmission())
    }

    /// Workers that are out now.
    pub(crate) fn ejected(&self) -> usize {
        self.ejector.lock().ejected()
    }

    /// Ejections and rests so far.
    pub(crate) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Whether it is worth a line of the log again.
    fn may_complain(&self, now: Duration) -> bool {
        let now = now.as_secs();
        let before = self.complained.load(Ordering::Relaxed);
        let may = before == 0 || now.saturating_sub(before - 1) >= COMPLAIN_SECONDS;
        if may {
            self.complained.store(now + 1, Ordering::Relaxed);
        }
        may
    }

    fn is_out(
        &self,
        worker: &WorkerState,
        deployment: &Arc<DeploymentState>,
        until: Option<Duration>,
        now: Duration,
    ) {
        let Some(until) = until else { return };
        self.total.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(
            service = deployment.service.as_str(),
            deployment = deployment.name.as_str(),
            worker = worker.slot,
            address = %worker.address,
            seconds = until.saturating_sub(now).as_secs_f64(),
            "a worker gets no requests for a while because of how it answers"
        );
        self.reminders.at(until, deployment);
        // Who waits for just this worker may now have another one.
        deployment.serve_queue();
        deployment.poke();
    }
}
