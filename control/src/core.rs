//! What control knows and decides: [`Core::handle`] is told what happened and when, and says what is
//! to be done. It does nothing itself: no I/O, no task, no clock, no randomness. The
//! `shell` carries its [`Effect`]s out and tells what came of them as [`Event`]s; in tests that is done by a
//! [virtual world](crate::virtual_world) around the same core. The same events at the same moments give the
//! same effects.
//!
//! # What happens, and what is done about it
//!
//! | Event | What it changes | Effects, at once or in the next turn |
//! |---|---|---|
//! | `Report`, `NobodyReports` | load of deployments, which gateways live and obey | `Answered` for workers with a liveness probe |
//! | `Started`, `CalledOff`, `Adopted`, `Stopped`, `Exited`, `Swept` | the life of a worker (`worker`), how starting went | `Probe`, `Stop`, `Forget` |
//! | `GpusFound`, `Holds` | which GPUs there are, and which a worker of an earlier run has (`gpus`) | – |
//! | `Prepared` | whether the image of workers with GPUs is there | – |
//! | `Slept`, `Woke`, `Sleeps` | whether a worker sleeps (`sleeping`), and so whether it has its GPUs | `Probe`, `Stop`, `WatchSleep`, `Sleep`, `Wake` |
//! | `Noticed` | that workers are taken away soon (`preempt`) | – |
//! | `Probed` | whether a worker is ready, broken, or why it is neither | – |
//! | `Scraped` | what it tells of itself (`scrapes`) | – |
//! | `Asked(Apply)`, `Rejected` | the configuration (`apply`) | `Probe` anew, `Answer` once it is published |
//! | `Asked(Traffic)`, `Asked(Pause)`, `Asked(Workers)` | weights (`traffic`), rollouts (`rollouts`), pauses (`pauses`), revisions and updates (`updates`) | `Save`; `Answer` once `Saved` |
//! | `Asked(Status)` and other questions | nothing | `Answer` |
//! | `Saved`, `StateFile` | what the state file has (`saving`) | `Answer` |
//! | `Shutdown`, `Hurry` | everything is to go | `Hurry`, and in the end `Ended` |
//! | `Turn` | every second all deployments, else those that something happened to: observe → decide → plan (`deployment`), carried out in memory (`carry_out`); who lacks GPUs is given some or others make room (`sharing`); then rollouts look, pauses end | `Prepare`, `Start`, `CallOff`, `Stop`, `Sleep`, `Wake`, `StopProbing`, `Scrape`, `StopScraping`, `Publish`, `Alarm` |
//!
//! Whatever is worth a line is told as `Journal` or `Log`, what the next run must know as `Remember` or
//! `Save`, what is counted as `Metric`.
//!
//! # How to read it
//!
//! A turn does not wait for the effects of the last one: a worker that is being started *is* one in
//! the next facts, so nothing is done twice, and what failed, is late or never came back shows there
//! too. An event about a worker that is gone changes nothing. An effect says what to start, never how:
//! another kind of worker is another driver in the shell, and nothing here.

mod adopt;
mod advice;
mod apply;
mod carry_out;
mod cost;
mod demand;
mod deployment;
mod describe;
mod effect;
mod event;
mod explain;
mod gpus;
mod happen;
mod journal;
mod lookup;
mod pauses;
mod phase;
mod preempt;
mod publish;
mod revision;
mod rollouts;
mod saving;
mod scrapes;
mod sharing;
mod sleeping;
mod status;
mod tally;
#[cfg(test)]
mod tests;
mod traffic;
mod trouble;
mod updates;
mod waiting;
mod worker;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use penstock_config::{
    DeploymentName, Service, ServiceName,
    fleet::{ServiceFleet, WorkerId},
};

pub use self::{
    deployment::Key,
    effect::{About, Answer, Declined, Effect, Level, Log, Memory, Nap},
    event::{
        Ask, AskId, Event, Moment, NewWorker, NotSaved, ProbeEvent, ProbeFailure, ScrapeEvent,
        StartError, WorkerExit,
    },
    explain::Explained,
    gpus::FoundGpu,
    pauses::{PauseAsk, PauseRequest},
    rollouts::RolloutAsk,
    scrapes::{Sample, ScrapeSpec},
    tally::{ExitReason, Metric, RolloutTold, STATES, StartFailure},
    traffic::{TrafficAsk, TrafficRequest},
    updates::{WorkersAsk, WorkersRequest},
};
use self::{
    deployment::{DeploymentState, Turn},
    lookup::deployment_mut,
    pauses::Stopped,
    rollouts::Rolling,
    saving::{Save, Saved},
    traffic::Traffic,
};
use crate::{remembered::StateFailure, reports::Gateways, secret::SecretKey, status::ConfigStatus};

/// Every deployment gets a turn this often even if nothing happens.
const TICK: Duration = Duration::from_secs(1);

/// GPUs are shared out so often in one turn at most; what is left has the next one.
const SHARES_MAX: usize = 4;

/// One service and its deployments.
struct ServiceState {
    spec: Arc<Service>,
    /// Not configured any more; stays until the workers are gone.
    removed: bool,
    deployments: BTreeMap<DeploymentName, DeploymentState>,
    traffic: Traffic,
    /// What the state file has of it.
    saved: Saved<Traffic>,
    /// What an operator has stopped.
    stopped: Stopped,
    /// Whether the file's weights differ from those that an override was made over.
    file_changed: bool,
    /// Whether the state file does not have what there is to remember of its revisions.
    courses_unsaved: bool,
    /// The deployment whose share is being raised step by step.
    rolling: Option<Rolling>,
    /// What the page of metrics has of that.
    rollout_told: Option<RolloutTold>,
    published: Option<Arc<ServiceFleet>>,
}

/// The state of control.
pub struct Core {
    /// The moment of the event in hand. Nothing else here knows the time.
    now: Moment,
    /// What is to be done about it, so far.
    effects: Vec<Effect>,
    config: ConfigStatus,
    services: BTreeMap<ServiceName, ServiceState>,
    gateways: Gateways,
    /// Whose worker it is.
    owners: HashMap<WorkerId, Key>,
    /// Why the state file cannot be written, if so.
    state_failure: Option<StateFailure>,
    /// Rows on their way there.
    saves: BTreeMap<u64, Save>,
    saves_made: u64,
    generation: u64,
    /// Who has which GPU.
    gpus: gpus::Ledger,
    /// How long requests wait before busy workers give way.
    give_way_after: Duration,
    /// Most workers that sleep.
    max_asleep: u32,
    /// Whether files are looked out for that give notice.
    notices: bool,
    /// Deployments that lack workers with GPUs.
    wanting: BTreeSet<Key>,
    /// What was told last of each group: its name, GPUs in use, and free ones.
    groups_told: Vec<(Arc<str>, u32, u32)>,
    /// Deployments to get a turn before the next tick.
    touched: BTreeSet<Key>,
    /// Deployments whose plan changes by itself before the next tick.
    due: BTreeMap<Duration, BTreeSet<Key>>,
    next_tick: Duration,
    /// Until when the costs of workers are noted.
    costs_at: Option<Duration>,
    /// When the next turn is to be, as it was told.
    alarm: Option<Duration>,
    /// Makes worker ids; together with `run` never used twice.
    workers_made: u64,
    run: u64,
    /// Workers of an earlier run that are being taken over or ended.
    adopting: usize,
    /// Services of which something was published that is not true any more.
    stale: BTreeSet<ServiceName>,
    /// Who waits for a configuration to be published.
    applied: Vec<AskId>,
    shutting_down: bool,
    /// What digests of revisions are made with.
    secret_key: Arc<SecretKey>,
}

impl Core {
    /// Takes in what happened; gives what is to be done about it, in this order. After the last of a
    /// burst of events there must be a [`Event::Turn`]: until then nothing is decided.
    pub fn handle(&mut self, event: Event, now: Moment) -> Vec<Effect> {
        let at = now.at.max(self.now.at);
        self.now = Moment { at, ..now };
        match event {
            Event::Turn => self.take_turn(),
            Event::Report(report) => self.on_report(&report),
            Event::NobodyReports => self.gateways.clear(),
            Event::Exited(exit) => self.on_exit(exit),
            Event::Started(id, result) => self.on_started(&id, result),
            Event::Progress(id, text) => self.on_progress(&id, text),
            Event::GpusFound(found) => self.on_gpus_found(found),
            Event::Prepared(id, result) => self.on_prepared(&id, result),
            Event::Holds(id, gpus) => self.on_holds(&id, &gpus),
            Event::CalledOff(id) | Event::Stopped(id) => self.on_gone(&id),
            Event::Slept(id, result) => self.on_slept(&id, result),
            Event::Woke(id, result) => self.on_woke(&id, result),
            Event::Sleeps(id, number, sleeps) => self.on_sleeps(&id, number, sleeps),
            Event::Noticed { key, slot, within } => self.on_notice(&key, slot, within),
            Event::Adopted(id, found) => self.on_adopted(&id, found),
            Event::Swept => self.one_adopted(),
            Event::Probed(event) => self.on_probe(event),
            Event::Scraped(event) => self.on_scrape(event),
            Event::Saved(number, result) => self.on_saved(number, result),
            Event::StateFile(failure) => self.state_failure = failure,
            Event::Rejected(error) => self.config.last_error = Some(error),
            Event::Asked(to, ask) => self.on_asked(to, ask),
            Event::Shutdown => {
                self.shutting_down = true;
                self.force_drains();
            }
            Event::Hurry => self.hurry(),
        }
        std::mem::take(&mut self.effects)
    }

    fn on_asked(&mut self, to: AskId, ask: Ask) {
        let answer = match ask {
            Ask::Apply(config, origin) => {
                self.apply(&config, Some(&origin));
                self.applied.push(to);
                return;
            }
            Ask::Traffic(request) => return self.on_traffic(to, request),
            Ask::Pause(request) => return self.on_pause(to, request),
            Ask::Workers(request) => return self.on_workers(to, request),
            Ask::Status => Answer::Status(Box::new(self.status())),
            Ask::Service(name) => Answer::Service(self.service_status(&name).map(Box::new)),
            Ask::Explain(service, deployment) => {
                Answer::Explained(self.explain(&service, deployment.as_deref()))
            }
        };
        self.effects.push(Effect::Answer(to, answer));
    }

    /// Decides, and tells what came of it.
    fn take_turn(&mut self) {
        self.run_due();
        self.tell_groups();
        self.publish();
        for to in std::mem::take(&mut self.applied) {
            let answer = Answer::Applied(self.generation);
            self.effects.push(Effect::Answer(to, answer));
        }
        if self.shutting_down && self.owners.is_empty() && self.adopting == 0 {
            self.effects.push(Effect::Ended);
        }
        self.set_alarm();
    }

    /// Says when the next turn is to be.
    fn set_alarm(&mut self) {
        let due = self.due.keys().next();
        let at = due.map_or(self.next_tick, |due| self.next_tick.min(*due));
        if self.alarm.replace(at) != Some(at) {
            self.effects.push(Effect::Alarm(at));
        }
    }

    /// Gives a turn to all deployments if it is time, else to those that something happened to.
    fn run_due(&mut self) {
        let now = self.now.at;
        if now >= self.next_tick {
            self.tick();
            return;
        }
        while let Some(first) = self.due.first_entry().filter(|first| *first.key() <= now) {
            let keys = first.remove();
            self.touched.extend(keys);
        }
        self.run_touched(now);
    }

    /// Gives a turn to those that something happened to; and to those that are touched by who is given GPUs.
    fn run_touched(&mut self, now: Duration) {
        for _ in 0..SHARES_MAX {
            let touched = std::mem::take(&mut self.touched);
            if touched.is_empty() {
                return;
            }
            for key in &touched {
                self.turn(key, now);
            }
            self.share_gpus();
        }
    }

    fn tick(&mut self) {
        let now = self.now.at;
        self.next_tick = now + TICK;
        self.gateways.expire(now);
        self.end_pauses();
        self.touched.clear();
        self.due.clear();
        self.note_costs();
        let keys: Vec<Key> = self.keys().cloned().collect();
        for key in keys {
            self.turn(&key, now);
        }
        self.share_gpus();
        self.run_touched(now);
        self.turn_rollouts(now);
        self.effects.push(Effect::SaveAgain);
        self.save_all_traffic();
        self.save_all_pauses();
        self.save_all_courses();
        self.save_demand();
        self.forget_removed();
    }

    /// One deployment: observe, decide, plan, execute.
    fn turn(&mut self, key: &Key, now: Duration) {
        let turn = Turn {
            now,
            wall_ms: self.now.wall_ms,
            gateways: &self.gateways,
            shutting_down: self.shutting_down,
            starts_wait: self.adopting > 0,
        };
        let Some(deployment) = deployment_mut(&mut self.services, key) else {
            return;
        };
        let (plan, news) = deployment.turn(turn);
        let update = deployment.take_update_news();
        deployment.wanted.clear();
        let (any_nap, any_notice) = deployment.minds();
        if deployment.course_changed {
            // Before a worker is started by it.
            self.save_courses(&key.service);
        }
        if let Some(at) = plan.wake_at.filter(|at| *at < self.next_tick) {
            self.due.entry(at.max(now)).or_default().insert(key.clone());
        }
        if let Some((kind, text)) = update {
            self.note(key, kind, &text);
        }
        for news in news {
            self.note_decision(key, news);
        }
        for action in plan.actions {
            self.carry_out(key, action, now);
        }
        if any_nap {
            self.mind_sleepers(key);
        }
        if any_notice {
            self.mind_notices(key);
        }
        self.note_wanting(key);
        self.show(key, now);
    }

    /// Whether it lacks workers with GPUs.
    fn note_wanting(&mut self, key: &Key) {
        let Some(deployment) = deployment_mut(&mut self.services, key) else {
            return;
        };
        if !deployment.wanted.is_empty() {
            self.wanting.insert(key.clone());
        } else if self.wanting.remove(key) {
            deployment.starts.found_room();
            deployment.changed = true;
        }
    }

    /// Brings up to date what others see of a deployment after its turn.
    fn show(&mut self, key: &Key, now: Duration) {
        let effects = &mut self.effects;
        let Some(deployment) = deployment_mut(&mut self.services, key) else {
            return;
        };
        effects.extend(deployment.update_phase(now));
        deployment.follow_scrapes(effects);
        let advised = deployment.advised().map(|advised| advised.desired);
        let states = deployment.workers.iter().map(worker::Worker::state);
        deployment.tally.desired(deployment.decision.desired);
        deployment.tally.paused(deployment.paused.is_some());
        deployment.tally.advised(advised);
        let awake = deployment.workers.iter();
        let awake = awake.filter(|worker| !matches!(worker.life, worker::Life::Asleep { .. }));
        let gpus = awake.map(|worker| worker.new.gpus.as_ref());
        let gpus: usize = gpus.flatten().map(|gpus| gpus.len()).sum();
        deployment.tally.workers(states);
        deployment
            .tally
            .gpus(u32::try_from(gpus).unwrap_or(u32::MAX));
        if let Some(row) = deployment.advice_to_save() {
            effects.push(Effect::Remember(Memory::Advice(row)));
        }
        let metrics = deployment.tally.take().into_iter();
        effects.extend(metrics.map(|metric| Effect::Metric(key.clone(), metric)));
        if deployment.changed {
            self.stale.insert(key.service.clone());
        }
    }
}
