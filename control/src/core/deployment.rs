//! One deployment: its settings, workers and memory, and one turn of observe → decide → plan.

use std::{borrow::Cow, collections::HashSet, sync::Arc, time::Duration};

use penstock_config::{Deployment, DeploymentName, Scaling, ServiceName, fleet::Phase};

use super::{
    advice::Advice,
    cost::Bill,
    describe::News,
    pauses::Paused,
    revision::{revision, wanted_addresses},
    scrapes::ScrapeSpec,
    tally::Tally,
    trouble::Exits,
    waiting::Waiting,
    worker::{Life, Worker},
};
use crate::{
    explain::{Episodes, Means, steps},
    plan::{Failed, Plan, Situation, StartRecord, WorkerFacts, plan},
    reports::{Gateways, Measured, OutcomeSums, Tracker},
    revisions::{Course, Origin},
    scale::{Decision, Observation, Reason, ScaleState, decide},
    secret::SecretKey,
};

/// Which deployment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The service.
    pub service: ServiceName,
    /// The deployment.
    pub deployment: DeploymentName,
}

/// Everything about one deployment.
pub(super) struct DeploymentState {
    pub(super) key: Key,
    /// What holds for it: the file's settings, with what workers run by the revision in force.
    pub(super) spec: Arc<Deployment>,
    /// What the file says.
    pub(super) file: Arc<Deployment>,
    /// Its revisions, and what operators asked of its workers.
    pub(super) course: Course,
    /// Whether the state file does not have that yet.
    pub(super) course_changed: bool,
    /// What the journal is to say of an update after this turn.
    update_news: Option<(&'static str, String)>,
    /// Its share of the service's traffic in force.
    pub(super) weight: u32,
    pub(super) revision: Arc<str>,
    /// What digests of revisions are made with.
    pub(super) secret_key: Arc<SecretKey>,
    /// Not configured any more; stays until its workers are gone.
    pub(super) removed: bool,
    pub(super) scale: ScaleState,
    pub(super) starts: StartRecord,
    pub(super) exits: Exits,
    pub(super) tracker: Tracker,
    /// How well it answered; only while somebody asks, that is during a rollout of its service.
    pub(super) outcomes: Option<Box<OutcomeSums>>,
    /// Workers that a rollout asks for, whatever the load.
    pub(super) workers_min: u32,
    /// What an operator has stopped it for.
    pub(super) paused: Option<Arc<Paused>>,
    pub(super) workers: Vec<Worker>,
    pub(super) measured: Measured,
    /// Averages for people, from the first request on.
    pub(super) means: Option<Box<Means>>,
    pub(super) decision: Decision,
    /// Only where scaling advises.
    pub(super) advice: Option<Box<Advice>>,
    /// Whether the rules had a part in the last decision.
    pub(super) by_rules: bool,
    /// What limited decisions lately.
    pub(super) episodes: Episodes,
    /// Whether one of them is to be told now.
    pub(super) limited: bool,
    pub(super) phase: Phase,
    /// Whether the gateways must be told something.
    pub(super) changed: bool,
    pub(super) tally: Tally,
    /// What its workers cost, where they have a price.
    pub(super) bill: Option<Bill>,
    /// Places of workers that are to be started as soon as there are GPUs for them.
    pub(super) wanted: Vec<u32>,
    /// Those who wait, where that matters to others: where workers have GPUs.
    pub(super) waiting: Waiting,
    /// The revision whose image is there.
    pub(super) prepared: Option<Arc<str>>,
    /// What rules ask of the workers' own pages, if they do.
    pub(super) scrape: Option<Arc<ScrapeSpec>>,
}

/// What holds for all deployments in one turn.
#[derive(Clone, Copy)]
pub(super) struct Turn<'a> {
    pub(super) now: Duration,
    /// What wall clocks say, in milliseconds since 1970.
    pub(super) wall_ms: u64,
    pub(super) gateways: &'a Gateways,
    pub(super) shutting_down: bool,
    /// Workers of an earlier run may still hold GPUs and ports: start none yet.
    pub(super) starts_wait: bool,
}

impl DeploymentState {
    pub(super) fn new(
        key: Key,
        spec: Arc<Deployment>,
        scale: ScaleState,
        secret_key: &Arc<SecretKey>,
    ) -> Self {
        let desired = scale.desired();
        let revision = revision(&spec, secret_key);
        let mut starts = StartRecord::default();
        starts.revised(&revision);
        Self {
            tally: Tally::default(),
            bill: None,
            revision,
            secret_key: Arc::clone(secret_key),
            scrape: ScrapeSpec::of(&spec),
            key,
            weight: spec.weight,
            file: Arc::clone(&spec),
            course: Course::default(),
            course_changed: false,
            update_news: None,
            spec,
            removed: false,
            scale,
            starts,
            exits: Exits::default(),
            tracker: Tracker::default(),
            outcomes: None,
            workers_min: 0,
            paused: None,
            workers: Vec::new(),
            measured: Measured::default(),
            means: None,
            decision: Decision::fixed(desired, desired, Reason::Asleep),
            advice: None,
            by_rules: false,
            episodes: Episodes::default(),
            limited: false,
            wanted: Vec::new(),
            waiting: Waiting::default(),
            prepared: None,
            phase: Phase::Cold,
            changed: true,
        }
    }

    /// Takes over new settings. Gives what there is to tell of a new revision. Without an origin what an
    /// earlier run knew of revisions is not known yet.
    pub(super) fn follow(
        &mut self,
        spec: &Arc<Deployment>,
        origin: Option<&Origin>,
        wall_ms: u64,
    ) -> Option<String> {
        if !self.removed && *self.file == **spec {
            return None;
        }
        self.file = Arc::clone(spec);
        self.course_changed |= std::mem::take(&mut self.removed);
        self.changed = true;
        // Whatever failed may be what was mended.
        self.starts.reset();
        self.go_on(wall_ms);
        let news = origin.and_then(|origin| self.note_revision(origin, wall_ms));
        self.aim(false, wall_ms);
        self.follow_scrape_spec();
        news
    }

    /// What the journal is to say of its update.
    pub(super) fn take_update_news(&mut self) -> Option<(&'static str, String)> {
        self.update_news.take()
    }

    pub(super) fn is_static(&self) -> bool {
        wanted_addresses(&self.spec).is_some()
    }

    pub(super) fn ready(&self) -> u32 {
        count(self.workers.iter().filter(|worker| worker.is_ready()))
    }

    /// Observes, decides and plans. Nothing but the memory of this deployment changes.
    pub(super) fn turn(&mut self, turn: Turn<'_>) -> (Plan, Vec<News>) {
        // Looked up for every worker of a report, so not by going through all workers each time.
        let draining = self.workers.iter().filter(|worker| worker.is_draining());
        let draining: HashSet<_> = draining.map(Worker::id).collect();
        let is_draining = |id: &_| draining.contains(id);
        self.measured = self.tracker.measure(turn.gateways, is_draining, turn.now);
        self.note_waits(turn);
        self.note_means(turn.now);
        self.note_proven(turn.now);
        self.decision = self.decide(turn);
        self.update_news = self.follow_update(turn.now, turn.wall_ms);
        let is_new = self.is_new(turn.now);
        let facts = self.facts(turn);
        let situation = self.situation(&facts, turn);
        let plan = plan(&self.decision, &situation, turn.now);
        if !is_new {
            return (plan, Vec::new());
        }
        let inputs = self.inputs(turn.gateways, turn.now);
        let news = self.news(&inputs, &steps(&plan, &situation));
        (plan, news)
    }

    /// What a plan needs to know about each worker.
    pub(super) fn facts(&self, turn: Turn<'_>) -> Vec<WorkerFacts> {
        let facts = |worker: &Worker| {
            let outdated = !self.is_current(worker);
            let (gateways, down) = (turn.gateways, turn.shutting_down);
            worker.facts(outdated, &self.tracker, gateways, down, turn.now)
        };
        self.workers.iter().map(facts).collect()
    }

    pub(super) fn situation<'a>(
        &'a self,
        workers: &'a [WorkerFacts],
        turn: Turn<'_>,
    ) -> Situation<'a> {
        Situation {
            workers,
            starts: self.starts.facts(),
            // Given addresses are probed for ever.
            start_timeout: (!self.is_static()).then_some(self.spec.start_timeout),
            starts_wait: turn.starts_wait,
            update: self.spec.update,
        }
    }

    fn decide(&mut self, turn: Turn<'_>) -> Decision {
        self.by_rules = false;
        if let Some(advice) = &mut self.advice {
            advice.decision = None;
        }
        let before = self.decision.desired;
        if turn.shutting_down {
            return Decision::fixed(before, 0, Reason::Shutdown);
        }
        if self.removed {
            return Decision::fixed(before, 0, Reason::Removed);
        }
        if let Some(paused) = &self.paused {
            self.scale.rest(turn.now);
            return Decision::fixed(before, 0, Reason::Paused(Arc::clone(&paused.about)));
        }
        if let Some(wanted) = wanted_addresses(&self.spec) {
            let desired = u32::try_from(wanted.len()).unwrap_or(u32::MAX);
            return Decision::fixed(before, desired, Reason::Given);
        }
        if let Some((workers, about)) = self.scaled() {
            self.scale.correct(workers, turn.now);
            return Decision::fixed(before, workers, Reason::Scaled(about));
        }
        self.by_rules = true;
        self.follow_mode(turn.now);
        let ready = self.ready();
        let seen = Observation {
            wall_ms: turn.wall_ms,
            current: self.measured.current,
            queued: self.measured.queued,
            load: self.measured.load,
            ready,
            starting: count(
                self.workers
                    .iter()
                    .filter(|worker| worker.life == Life::Starting),
            ),
            start_time: self.starts.times().map(|times| times.p90),
            hold: turn.gateways.hold(turn.now),
            start_failed: self.failed(turn.now).is_some(),
            told: self.told(turn.now),
        };
        let scaling = with_min(&self.spec.scaling, self.workers_min);
        let decided = decide(&scaling, &seen, &mut self.scale, turn.now);
        self.in_force(decided)
    }

    /// Why no request can hope for a worker, if so: starting failed for good, none is ready, and
    /// none is still on its way.
    pub(super) fn failed(&self, now: Duration) -> Option<&Failed> {
        let hope = |worker: &Worker| worker.is_ready() || worker.life == Life::Starting;
        self.starts
            .failed(now)
            .filter(|_| !self.workers.iter().any(hope))
    }

    /// Who waits, and which workers have nothing to do, where others may want their GPUs.
    fn note_waits(&mut self, turn: Turn<'_>) {
        if self.has_gpus() || self.gpus_to_start().is_some() {
            let measured = &self.measured;
            let arrivals = measured.load.arrivals;
            self.waiting.update(arrivals, measured.queued, turn.now);
            self.note_idle(turn.gateways.say_all(turn.now), turn.now);
        }
    }

    /// Whether any of its workers has GPUs; those of an older revision may, where new ones need none.
    fn has_gpus(&self) -> bool {
        let mut given = self.workers.iter().map(|worker| &worker.new.gpus);
        given.any(|gpus| gpus.as_ref().is_some_and(|gpus| !gpus.is_empty()))
    }

    fn note_means(&mut self, now: Duration) {
        let load = &self.measured.load;
        if load.request_seconds > 0.0 || load.arrivals > 0 {
            self.means.get_or_insert_default();
        }
        if let Some(means) = &mut self.means {
            means.record(load, now);
        }
    }

    /// A worker that has been ready for a while was a good start, if it runs what would be started now.
    fn note_proven(&mut self, now: Duration) {
        let workers = self.workers.iter();
        let current = workers.filter(|worker| worker.is_ready() && self.is_current(worker));
        let ready_since: Vec<Duration> = current.filter_map(|worker| worker.ready_at).collect();
        // The one that became ready last comes after the most failures, and the earlier ones prove what
        // it cannot yet.
        let ready = u32::try_from(ready_since.len()).unwrap_or(u32::MAX);
        for ready_at in ready_since {
            self.starts.up_since(ready_at, now);
        }
        if ready > 0 && ready >= self.decision.desired {
            self.starts.all_there(now);
        }
    }

    /// The first address of a static deployment that no worker has.
    pub(super) fn free_address(&self) -> Option<Arc<str>> {
        let wanted = wanted_addresses(&self.spec)?;
        let is_taken = |address: &str| {
            self.workers
                .iter()
                .any(|worker| *worker.revision == *address)
        };
        wanted
            .into_iter()
            .find(|address| !is_taken(address))
            .map(Arc::from)
    }
}

/// The settings with a higher `min`, where a rollout asks for workers.
fn with_min(scaling: &Scaling, workers: u32) -> Cow<'_, Scaling> {
    let min = workers.min(scaling.max);
    if min <= scaling.min {
        return Cow::Borrowed(scaling);
    }
    Cow::Owned(Scaling {
        min,
        ..scaling.clone()
    })
}

pub(super) fn count<T>(items: impl Iterator<Item = T>) -> u32 {
    u32::try_from(items.count()).unwrap_or(u32::MAX)
}
