//! What `core` does, for one deployment and with a driver that only takes time.

mod workers;

use std::time::Duration;

use penstock_config::{
    ScalingMode,
    fleet::{LoadReport, WorkerId},
};
use penstock_control::{
    plan::{Situation, StartRecord, WorkerFacts, plan},
    reports::{Gateways, Measured, Tracker},
    scale::{Decision, History, Keeper, Observation, Reason, ScaleState, Told, decide},
};

pub(crate) use self::workers::Published;
use self::workers::{Life, Worker};
use super::Setup;
use crate::coverage::Met;

/// The control of the simulation.
pub(crate) struct Control {
    scale: ScaleState,
    history: Vec<(Duration, u32)>,
    /// What stays, and what is advised, while decisions are only told.
    keeper: Option<(Keeper, Decision)>,
    tracker: Tracker,
    gateways: Gateways,
    starts: StartRecord,
    pub(crate) workers: Vec<Worker>,
    pub(crate) decision: Decision,
    pub(crate) published: Published,
    next_tick: Duration,
    made: u32,
    /// Workers whose processes are gone since the last look.
    pub(crate) ended: Vec<WorkerId>,
    /// Workers that are stopped because nobody uses them, since the last look.
    pub(crate) let_go: Vec<WorkerId>,
    pub(crate) starts_made: u32,
    /// Why no worker is wanted whatever the load, if so.
    pub(crate) end: Option<Reason>,
    /// How many workers an operator asked for.
    scaled: Option<u32>,
    /// What the decisions said.
    pub(crate) met: Met,
}

impl Control {
    pub(crate) fn new(desired: u32, now: Duration) -> Self {
        Self {
            scale: ScaleState::new(desired, History::default(), now),
            history: Vec::new(),
            keeper: None,
            tracker: Tracker::default(),
            gateways: Gateways::new(false, now),
            starts: StartRecord::default(),
            workers: Vec::new(),
            decision: Decision::fixed(desired, desired, Reason::Asleep),
            published: Published::default(),
            next_tick: now,
            made: 0,
            ended: Vec::new(),
            let_go: Vec::new(),
            starts_made: 0,
            end: None,
            scaled: None,
            met: Met::default(),
        }
    }

    /// Another run of control: only workers and the desired history are left.
    pub(crate) fn restart(&mut self, setup: &Setup, now: Duration) {
        let workers = std::mem::take(&mut self.workers);
        let history = std::mem::take(&mut self.history);
        let (made, published) = (self.made, self.published.clone());
        let met = std::mem::take(&mut self.met);
        let running = (workers.len() as u32).clamp(setup.scaling.min, setup.scaling.max);
        *self = Self::new(running, now);
        self.met = met;
        self.scale = ScaleState::new(running, History::restore(history.iter().copied()), now);
        self.remember(setup);
        self.gateways = Gateways::new(true, now);
        (self.workers, self.made, self.published, self.history) =
            (workers, made, published, history);
    }

    /// Takes up what an earlier run wrote down.
    pub(crate) fn remember(&mut self, setup: &Setup) {
        if let Some(past) = &setup.past {
            self.scale.remember(past.clone());
        }
    }

    /// Takes in what came, and has a turn if it is time; what happened, in words.
    pub(crate) fn run(
        &mut self,
        setup: &Setup,
        reports: Vec<LoadReport>,
        wall_ms: u64,
        now: Duration,
    ) -> Vec<String> {
        let mut notes = Vec::new();
        let mut turn = !reports.is_empty();
        for report in reports {
            if let Some(base) = self.gateways.take(&report, now) {
                for load in &report.deployments {
                    self.tracker
                        .take(report.gateway, report.sequence, load, base, now);
                }
            }
        }
        turn |= self.progress(&mut notes, now);
        if now >= self.next_tick {
            self.next_tick = now + Duration::from_secs(1);
            self.gateways.expire(now);
            turn = true;
        }
        if turn {
            self.turn(setup, &mut notes, wall_ms, now);
        }
        notes
    }

    fn turn(&mut self, setup: &Setup, notes: &mut Vec<String>, wall_ms: u64, now: Duration) {
        let workers = &self.workers;
        let is_draining = |id: &WorkerId| {
            let left = |life| matches!(life, Life::Draining { .. } | Life::Stopping { .. });
            workers
                .iter()
                .any(|worker| worker.id == *id && left(worker.life))
        };
        let measured = self.tracker.measure(&self.gateways, is_draining, now);
        self.decision = self.decide(setup, measured, wall_ms, now);
        self.met.take(&self.decision);
        if self.decision.desired != self.decision.before {
            self.history.push((now, self.decision.desired));
            notes.push(said(&self.decision));
        }
        if let Some((_, advice)) = self.keeper.as_ref().filter(|(_, a)| a.desired != a.before) {
            notes.push(format!("advice: {}", said(advice)));
        }
        let facts: Vec<WorkerFacts> = self
            .workers
            .iter()
            .map(|worker| self.facts(worker))
            .collect();
        let situation = Situation {
            workers: &facts,
            starts: self.starts.facts(),
            start_timeout: Some(setup.start_timeout),
            starts_wait: false,
            update: Default::default(),
        };
        let plan = plan(&self.decision, &situation, now);
        for action in plan.actions {
            self.carry_out(action, setup, notes, now);
        }
        self.publish(now);
    }

    /// An operator sets the count, or leaves it to the rules.
    pub(crate) fn scale_by_hand(&mut self, count: Option<u32>, now: Duration) {
        if count.is_none() {
            self.scale.hand_back(self.decision.desired, now);
        }
        self.scaled = count;
    }

    fn decide(
        &mut self,
        setup: &Setup,
        measured: Measured,
        wall_ms: u64,
        now: Duration,
    ) -> Decision {
        let before = self.decision.desired;
        if let Some(end) = &self.end {
            if matches!(end, Reason::Paused(_)) {
                self.scale.rest(now);
            }
            return Decision::fixed(before, 0, end.clone());
        }
        if let Some(count) = self.scaled {
            self.scale.correct(count, now);
            let about = format!("{count} by hand");
            return Decision::fixed(before, count, Reason::Scaled(about.into()));
        }
        if let Some(given) = setup.given {
            return Decision::fixed(before, given, Reason::Given);
        }
        let starting = |worker: &&Worker| matches!(worker.life, Life::Starting { .. });
        let seen = Observation {
            wall_ms,
            current: measured.current,
            queued: measured.queued,
            load: measured.load,
            ready: self.ready() as u32,
            starting: self.workers.iter().filter(starting).count() as u32,
            start_time: self.starts.times().map(|times| times.p90),
            hold: self.gateways.hold(now),
            start_failed: self.failed(now),
            told: self.told(setup),
        };
        if setup.scaling.mode == ScalingMode::Act && self.keeper.take().is_some() {
            self.scale.begin_again(before, now);
        }
        let kept = self.scale.desired();
        let decided = decide(&setup.scaling, &seen, &mut self.scale, now);
        if setup.scaling.mode == ScalingMode::Act {
            return decided;
        }
        self.met.take(&decided);
        let new = || (Keeper::new(kept), decided.clone());
        let (keeper, advice) = self.keeper.get_or_insert_with(new);
        *advice = decided;
        keeper.keep(&setup.scaling, self.scale.bounds(), before)
    }

    /// What workers tell of requests that wait in them.
    fn told(&self, setup: &Setup) -> Vec<Told> {
        let Some(batch) = setup.batch else {
            return Vec::new();
        };
        let ready = self.workers.iter().filter(|w| w.life == Life::Ready);
        let waiting: Vec<u32> = ready
            .take(setup.pages)
            .map(|worker| self.tracker.in_flight(&worker.id).saturating_sub(batch))
            .collect();
        let metrics = setup.scaling.worker_metrics().into_iter();
        metrics
            .map(|metric| Told {
                metric,
                sum: waiting.iter().sum::<u32>().into(),
                fresh: waiting.len() as u32,
                oldest: Duration::from_secs(2),
            })
            .collect()
    }

    /// Whether no request can hope for a worker.
    fn failed(&self, now: Duration) -> bool {
        let hope = |worker: &Worker| matches!(worker.life, Life::Ready | Life::Starting { .. });
        self.starts.failed(now).is_some() && !self.workers.iter().any(hope)
    }
}

/// A decision in words.
fn said(decision: &Decision) -> String {
    let Decision {
        before,
        desired,
        reason,
        clamps,
        ..
    } = decision;
    let clamps: Vec<_> = clamps.iter().map(|clamp| format!(" ({clamp})")).collect();
    format!("{before} → {desired}: {reason}{}", clamps.concat())
}
