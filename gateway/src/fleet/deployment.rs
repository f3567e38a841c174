//! One deployment: its workers, its queue, and the decision between them.

mod admit;
mod copies;
mod eta;
mod overflow;
mod pace;
mod standing;
mod view;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use penstock_balancer::{EjectRules, Policy, Strikes};
use penstock_config::{
    DeploymentName, ServiceName,
    fleet::{DeploymentFleet, DeploymentInsight, DeploymentLoad, OverflowLoad},
};

use crate::{
    base::{clock::Clock, reason::Reason, refusal::Refusal, wait_notice::WaitsFor},
    count::{
        load_meter::LoadMeter,
        metrics::{AtomicTimeHistogram, DeploymentMetrics, Page},
        outcome_meter::OutcomeMeter,
        recent::RecentMeter,
        spread,
        tokens::ModelMeters,
    },
    fleet::{
        ejection::Ejections,
        poke::Poke,
        queue::{Places, Queue},
        reminders::Reminders,
        worker::WorkerState,
    },
};

pub(crate) use self::{
    admit::{Admission, Wanted},
    copies::{Copies, CopyLease, Load, Waking},
    standing::Standing,
    view::{NoRoom, View},
};
use tokio::sync::{Notify, futures::Notified};

use self::{overflow::Overflows, pace::Pace};

/// A deployment as the gateway keeps it: what changes is in its view, everything else survives
/// snapshots and reloads.
pub(crate) struct DeploymentState {
    /// Its service.
    pub(crate) service: ServiceName,
    /// Its name.
    pub(crate) name: DeploymentName,
    /// Time-weighted concurrency.
    pub(crate) load: LoadMeter,
    /// What makes it look busier than it is when its workers fail.
    pub(crate) strikes: Strikes,
    /// Waits of requests that got a worker from the queue.
    pub(crate) wait: AtomicTimeHistogram,
    /// Times from getting a worker to the end of the answer.
    pub(crate) service_time: AtomicTimeHistogram,
    /// How well it answers.
    pub(crate) outcomes: OutcomeMeter,
    /// How its requests did of late.
    pub(crate) recent: RecentMeter,
    /// Requests that got an error or were cut off.
    pub(crate) errors: AtomicU64,
    /// Handles of its metrics.
    pub(crate) metrics: DeploymentMetrics,
    /// Copies of requests that are mirrored here.
    pub(crate) copies: Copies,
    /// What is counted of its models.
    pub(crate) models: ModelMeters,
    /// When a worker last became ready where none was, in microseconds.
    woke_at: AtomicU64,
    /// What goes to other tiers and comes from them.
    pub(crate) overflow: Overflows,
    view: ArcSwap<View>,
    /// Told when another view is there.
    changed: Notify,
    ejections: Ejections,
    reminders: Arc<Reminders>,
    /// Whether the newest snapshot does not list it.
    retired: AtomicBool,
    queue: Arc<Queue>,
    places: Arc<Places>,
    no_capacity: AtomicU64,
    pace: Pace,
    poke: Poke,
    clock: Clock,
    threads: usize,
}

/// What a deployment is made of besides a snapshot.
pub(crate) struct Surroundings<'a> {
    /// Its service.
    pub(crate) service: &'a ServiceName,
    /// Places in the queues of its service.
    pub(crate) places: Arc<Places>,
    /// Makes the reporter report.
    pub(crate) poke: Poke,
    /// Makes it look after its workers in time.
    pub(crate) reminders: Arc<Reminders>,
    /// The gateway's clock.
    pub(crate) clock: Clock,
    /// Number of the gateway's threads.
    pub(crate) threads: usize,
}

impl DeploymentState {
    /// A deployment that was just listed for the first time.
    pub(crate) fn new(
        fleet: &DeploymentFleet,
        policy: Policy,
        eject: EjectRules,
        around: Surroundings<'_>,
    ) -> Self {
        let name = fleet.spec.name.clone();
        let view = View::next(fleet, policy, None, around.clock, around.threads);
        let outcomes = OutcomeMeter::new(around.threads);
        outcomes.set_on_trial(fleet.spec.rollout.is_some());
        Self {
            metrics: DeploymentMetrics::new(around.service, &name),
            service: around.service.clone(),
            name,
            load: LoadMeter::new(around.threads),
            strikes: Strikes::default(),
            wait: AtomicTimeHistogram::default(),
            service_time: AtomicTimeHistogram::default(),
            outcomes,
            recent: RecentMeter::new(around.threads),
            copies: Copies::default(),
            models: ModelMeters::default(),
            woke_at: AtomicU64::new(0),
            overflow: Overflows::default(),
            view: ArcSwap::from_pointee(view),
            changed: Notify::new(),
            ejections: Ejections::new(eject, Arc::clone(&around.reminders)),
            reminders: around.reminders,
            retired: AtomicBool::new(false),
            queue: Arc::default(),
            places: around.places,
            errors: AtomicU64::new(0),
            no_capacity: AtomicU64::new(0),
            pace: Pace::default(),
            poke: around.poke,
            clock: around.clock,
            threads: around.threads,
        }
    }

    /// Its address in memory, which names it as long as anybody holds it.
    pub(crate) fn address(self: &Arc<Self>) -> usize {
        Arc::as_ptr(self).addr()
    }

    /// How its requests, and those of its workers, did of late.
    pub(crate) fn insight(&self, now: Duration) -> DeploymentInsight {
        let view = self.view.load();
        let workers = view.workers.iter();
        DeploymentInsight {
            deployment: self.name.clone(),
            recent: self.recent.read(now),
            workers: workers
                .map(|worker| (worker.id.clone(), worker.recent.read(now)))
                .collect(),
        }
    }

    /// What the newest snapshot says.
    pub(crate) fn view(&self) -> arc_swap::Guard<Arc<View>> {
        self.view.load()
    }

    /// Obeys a newer snapshot: afterwards no worker that is draining or gone gets a request.
    pub(crate) fn apply(
        self: &Arc<Self>,
        fleet: &DeploymentFleet,
        policy: Policy,
        eject: EjectRules,
    ) {
        let old = self.view.load_full();
        self.retired.store(false, Ordering::SeqCst);
        self.outcomes.set_on_trial(fleet.spec.rollout.is_some());
        self.view.store(Arc::new(View::next(
            fleet,
            policy,
            Some(&old),
            self.clock,
            self.threads,
        )));
        if !old.has_ready() && self.view().has_ready() {
            let now = spread::micros(self.clock.now());
            self.woke_at.store(now, Ordering::Relaxed);
        }
        old.close_all_but(&self.view());
        let ready = self.view();
        let ready = ready.picker.candidates();
        self.ejections.apply(eject, ready, self.clock.now());
        self.refuse_if_hopeless();
        self.serve_queue();
        self.refuse_late(&old);
        self.changed.notify_waiters();
    }

    /// Ready when a snapshot has come that is newer than this call.
    pub(crate) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// Obeys a snapshot that does not list the deployment any more. A request that was routed here
    /// just before is refused as well.
    pub(crate) fn retire(&self) {
        let view = self.view.load();
        view.workers.iter().for_each(|worker| worker.gate().close());
        self.retired.store(true, Ordering::SeqCst);
        self.refuse_if_hopeless();
    }

    /// Whether the newest snapshot does not list it.
    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::SeqCst)
    }

    /// Whether nothing of it is left that a report would have to tell.
    pub(crate) fn is_over(&self) -> bool {
        let view = self.view.load();
        let sums = self.load.read(self.clock.now());
        sums.current == 0
            && view
                .workers
                .iter()
                .all(|worker| worker.gate().in_flight() == 0)
    }

    /// What one more request would cost it: the requests it would then have, and more if it fails
    /// them.
    pub(crate) fn cost(&self, now: Duration) -> f64 {
        let current = self.load.current().saturating_sub(self.overflow.away());
        (f64::from(current) + 1.0) * self.strikes.factor(now)
    }

    /// Time since the gateway's start.
    pub(crate) fn now(&self) -> Duration {
        self.clock.now()
    }

    /// Whether control finds no room for a worker that is wanted.
    pub(crate) fn has_no_room(&self) -> Option<NoRoom> {
        self.view.load().no_room()
    }

    /// When a worker last became ready where none was.
    pub(crate) fn woke_at(&self) -> Duration {
        Duration::from_micros(self.woke_at.load(Ordering::Relaxed))
    }

    /// Whether it has no worker because there is no GPU for one.
    pub(crate) fn lacks_gpu(&self) -> bool {
        self.view.load().waits_for() == WaitsFor::Gpu
    }

    /// Whether there is a worker that takes requests beside those with these keys.
    pub(crate) fn has_others(&self, tried: &[u64]) -> bool {
        self.view.load().has_others(tried)
    }

    /// Whether all workers that it has failed a request, those with these keys.
    pub(crate) fn has_failed(&self, tried: &[u64]) -> bool {
        let view = self.view.load();
        !tried.is_empty() && view.has_ready() && !view.has_others(tried)
    }

    /// Counts a request that found no worker here and goes to a sibling. It wakes the deployment as
    /// one that waits would.
    pub(crate) fn spilled(&self) {
        self.no_capacity.fetch_add(1, Ordering::Relaxed);
        self.poke.now();
    }

    /// A worker failed a request; enough of that, and it is ejected.
    pub(crate) fn worker_failed(self: &Arc<Self>, worker: &WorkerState, now: Duration) {
        self.ejections.failed(worker, self, now);
    }

    /// A worker asked to be left alone for so long.
    pub(crate) fn worker_rests(
        self: &Arc<Self>,
        worker: &WorkerState,
        length: Duration,
        now: Duration,
    ) {
        self.ejections.rest(worker, length, self, now);
    }

    /// A worker is to be [looked after](Self::look_after) at this time.
    pub(crate) fn look_after_at(self: &Arc<Self>, time: Duration) {
        self.reminders.at(time, self);
    }

    /// Readmits the ejected workers whose time is over, lets fresh workers take more, and gives the
    /// places to whoever waits. Returns when this is to be done again.
    pub(crate) fn look_after(self: &Arc<Self>, now: Duration) -> Option<Duration> {
        let (readmitted, mut next) = self.ejections.readmit(now);
        if readmitted > 0 {
            self.serve_queue();
            self.poke();
        }
        let view = self.view.load_full();
        for worker in &view.workers {
            let grown = worker.grow(now);
            if grown.has_more {
                self.serve_worker(worker);
            }
            next = [next, grown.next].into_iter().flatten().min();
        }
        next
    }

    /// Makes the reporter report at once.
    pub(crate) fn poke(&self) {
        self.poke.now();
    }

    fn refuse_if_hopeless(&self) {
        if let Some(refusal) = self.hopeless() {
            self.queue.refuse_all(&refusal);
            self.copies.serve();
        }
    }

    /// Why no request can hope for a worker, if that is so.
    fn hopeless(&self) -> Option<Refusal> {
        if self.is_retired() {
            // Not that there is no route: the request was accepted, and may well be sent again.
            let detail = "the deployment was removed while the request waited";
            return Some(Refusal::new(Reason::NoWorkers, detail));
        }
        self.view.load().hopeless(self.clock.now())
    }

    /// What a report says of it.
    pub(crate) fn report(&self, now: Duration) -> DeploymentLoad {
        let sums = self.load.read(now);
        DeploymentLoad {
            service: self.service.clone(),
            deployment: self.name.clone(),
            current: sums.current,
            queued: u32::try_from(self.queue.len() + self.copies.queued()).unwrap_or(u32::MAX),
            integral: sums.integral,
            arrivals: sums.arrivals,
            completions: sums.completions,
            errors: self.errors.load(Ordering::Relaxed),
            no_capacity: self.no_capacity.load(Ordering::Relaxed),
            wait: self.wait.snapshot(),
            service_time: self.service_time.snapshot(),
            outcomes: self.outcomes.read(),
            woken: self.copies.woken(),
            tokens: self.models.load(),
            workers: self
                .view
                .load()
                .workers
                .iter()
                .map(|worker| worker.load())
                .collect(),
        }
    }

    /// What a report says of what goes to other tiers and comes from them.
    pub(crate) fn report_overflow(&self) -> OverflowLoad {
        let arrivals = self.load.read(self.clock.now()).arrivals;
        self.overflow.report(&self.name, arrivals)
    }

    /// Adds what there is to tell of it after it was removed. Gauges only while it has requests: they
    /// would say that there is something where there is nothing.
    pub(crate) fn write_last_metrics(&self, page: &mut Page) {
        if self.is_over() {
            page.add_last(&self.metrics, self.ejections.total());
            page.add_models(&self.metrics, &self.models);
            page.add_overflow(&self.metrics, self.overflow.taken());
            self.write_copies(page);
        } else {
            self.write_metrics(page, 0);
        }
    }

    /// Adds its counts and gauges to the metrics page, with its share of the service's traffic.
    pub(crate) fn write_metrics(&self, page: &mut Page, weight: u32) {
        let view = self.view.load();
        let workers = view
            .workers
            .iter()
            .map(|worker| (worker.slot, worker.gate().in_flight()));
        page.add(&self.metrics, self.queue.len(), weight, workers);
        let (ejected, total) = (self.ejections.ejected(), self.ejections.total());
        page.add_health(&self.metrics, ejected, total);
        page.add_models(&self.metrics, &self.models);
        page.add_overflow(&self.metrics, self.overflow.taken());
        self.write_copies(page);
    }

    fn write_copies(&self, page: &mut Page) {
        let copies = &self.copies;
        let kept = copies.kept.load(Ordering::Relaxed);
        page.add_copies(&self.metrics, &copies.metrics, copies.places.taken(), kept);
    }
}

#[cfg(test)]
mod tests;
