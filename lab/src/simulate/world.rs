//! The run of events.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use super::{
    fleet::Fleet,
    meter::{Costs, Meter},
    model::WorkerModel,
    outcome::{Instant, Outcome},
    scaler::{Scaler, Seen},
    shedding::Shedding,
    trace::Trace,
};
use penstock_control::{
    plan::{Action, StartRecord},
    scale::Observation,
};

/// What a run consists of besides arrivals and scaler.
#[derive(Debug, Clone, PartialEq)]
pub struct Setup {
    /// The workers.
    pub model: WorkerModel,
    /// Most requests in the queue; more are shed.
    pub max_requests: usize,
    /// Longest wait in the queue; then a request is shed.
    pub max_wait: Duration,
    /// Whether a request is shed at once that would have to wait for longer than that.
    pub sheds_early: bool,
    /// Most workers that the settings allow at any time.
    pub max_workers: u32,
    /// Longest time that a worker may take to finish its requests before it is stopped.
    pub drain_timeout: Duration,
    /// For the spread of start times.
    pub seed: u64,
}

/// When a run begins, on its own clock: late enough that windows can reach back.
const BEGIN: Duration = Duration::from_secs(86_400);

/// How long after the last arrival waiting requests may still be served before the run ends.
const SERVED_WITHIN: Duration = Duration::from_secs(86_400);

/// How long after the last request ended a run waits for workers that nobody needs to go. Some never
/// do, such as those that a schedule keeps.
const GONE_WITHIN: Duration = Duration::from_secs(3600);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A request ended on the worker of this number, which took so long for it.
    Ended(usize, Duration),
    /// The worker of this number began to answer a request.
    Answered(usize),
    /// The worker of this number may take more if it is fresh.
    Grows(usize),
    /// A worker became ready or vanished.
    Changed,
    /// The request with this number in the trace comes.
    Arrival(usize),
    /// The scaler has its turn, if it is the turn of this number.
    Turn(u64),
    /// A second is over.
    Second,
}

struct World<'r> {
    trace: &'r Trace,
    setup: &'r Setup,
    scaler: &'r mut dyn Scaler,
    events: BinaryHeap<Reverse<(Duration, Event)>>,
    fleet: Fleet,
    meter: Meter,
    shedding: Shedding,
    starts: StartRecord,
    costs: Costs,
    outcome: Outcome,
    second: Instant,
    now: Duration,
    /// The last arrival.
    end: Duration,
    /// Since when everything that came is answered.
    answered_at: Option<Duration>,
    turn: u64,
    desired: u32,
    chances: u64,
}

/// Runs `trace` under `scaler` until everything is over that it caused: every request answered, and no
/// more workers than in the beginning. So who serves late pays for it late, and who keeps workers pays
/// for that. `progress` is told how much of the trace is over, 0 to 1.
pub fn run(
    trace: &Trace,
    setup: &Setup,
    scaler: &mut dyn Scaler,
    mut progress: impl FnMut(f64),
) -> Outcome {
    let mut world = World::new(trace, setup, scaler);
    let count = trace.arrivals().len();
    while let Some(Reverse((at, event))) = world.events.pop() {
        if world.is_over(at) || at > world.end + SERVED_WITHIN {
            break;
        }
        if matches!(event, Event::Second) {
            progress(world.outcome.requests as f64 / count.max(1) as f64);
        }
        world.happen(at, event);
    }
    world.finish()
}

impl<'r> World<'r> {
    fn new(trace: &'r Trace, setup: &'r Setup, scaler: &'r mut dyn Scaler) -> Self {
        let mut fleet = Fleet::new(setup.model.clone(), setup.drain_timeout);
        let begins_with = scaler.begins_with();
        for slot in 0..begins_with {
            fleet.add_ready(slot, BEGIN);
        }
        let mut world = Self {
            outcome: Outcome {
                scaler: scaler.name().to_owned(),
                ..Outcome::default()
            },
            trace,
            setup,
            scaler,
            events: BinaryHeap::new(),
            fleet,
            meter: Meter::new(BEGIN),
            shedding: Shedding::default(),
            starts: StartRecord::default(),
            costs: Costs::default(),
            second: Instant::default(),
            now: BEGIN,
            end: BEGIN + trace.length(),
            answered_at: None,
            turn: 0,
            desired: begins_with,
            chances: setup.seed,
        };
        world.at(BEGIN, Event::Turn(0));
        world.at(BEGIN + Duration::from_secs(1), Event::Second);
        world.next_arrival(0);
        world
    }

    fn at(&mut self, at: Duration, event: Event) {
        self.events.push(Reverse((at, event)));
    }

    fn next_arrival(&mut self, number: usize) {
        if let Some(arrival) = self.trace.arrivals().get(number) {
            self.at(BEGIN + arrival.at, Event::Arrival(number));
        }
    }

    /// Whether nothing more is to come from `now` on.
    fn is_over(&self, now: Duration) -> bool {
        let Some(answered_at) = self.answered_at else {
            return false;
        };
        let begins_with = self.scaler.begins_with() as usize;
        // The last request may have woken somebody.
        let is_back = self.fleet.workers.len() <= begins_with && now > answered_at;
        is_back || now > answered_at + GONE_WITHIN
    }

    /// Notes when the last request is answered.
    fn look_for_end(&mut self) {
        let all = self.trace.arrivals().len() as u64;
        let waits_or_goes_on = self.fleet.queued() > 0 || self.fleet.in_flight > 0;
        if self.answered_at.is_none() && self.outcome.requests == all && !waits_or_goes_on {
            self.answered_at = Some(self.now);
        }
    }

    fn happen(&mut self, at: Duration, event: Event) {
        self.pass(at);
        match event {
            Event::Arrival(number) => self.arrive(number),
            Event::Ended(worker, took) => {
                if self.fleet.ended(worker) {
                    self.meter.served();
                    self.shedding.served(took);
                }
            }
            Event::Answered(worker) => {
                let grows_at = self.fleet.answered(worker, at);
                self.grows(worker, grows_at);
            }
            Event::Grows(worker) => {
                let grows_at = self.fleet.grow(worker, at);
                self.grows(worker, grows_at);
            }
            Event::Changed => self.change(),
            Event::Turn(number) if number == self.turn => self.take_turn(),
            Event::Turn(_) => {}
            Event::Second => self.end_second(),
        }
        self.dispatch();
        self.look_for_end();
    }

    fn change(&mut self) {
        for took in self.fleet.finish_starts(self.now) {
            self.starts.ready(self.now.saturating_sub(took), took);
        }
        let gone = self.fleet.finish_stops(self.now);
        let cut: u32 = gone.iter().map(|worker| worker.in_flight).sum();
        self.meter.refused(u64::from(cut));
    }

    /// Time passes with everything as it is.
    fn pass(&mut self, to: Duration) {
        let passed = to.saturating_sub(self.now);
        self.costs.pass(&self.fleet, passed.as_secs_f64());
        self.meter.pass(&self.fleet, to);
        self.now = to;
    }

    fn arrive(&mut self, number: usize) {
        self.outcome.requests += 1;
        self.second.arrivals += 1;
        let has_room = self.fleet.has_room();
        self.meter.arrived(has_room);
        self.next_arrival(number + 1);
        let is_full = self.fleet.queued() >= self.setup.max_requests;
        if !has_room && (is_full || self.would_wait_in_vain()) {
            self.shed(1);
        } else {
            let work = self.trace.arrivals()[number].work;
            self.fleet.join(work, self.now);
        }
        // Also for one that is shed: it comes too early, not for nothing.
        if self.fleet.ready() == 0 && self.scaler.wakes_at_once() {
            self.turn += 1;
            self.at(self.now, Event::Turn(self.turn));
        }
    }

    fn would_wait_in_vain(&mut self) -> bool {
        let max = self.setup.max_workers;
        let mut least = || {
            self.shedding
                .least_wait(&self.fleet, &self.starts, max, self.now)
        };
        self.setup.sheds_early && least() > self.setup.max_wait
    }

    fn shed(&mut self, count: u64) {
        self.outcome.shed += count;
        self.outcome.waits.in_vain(count);
        self.meter.refused(count);
    }

    fn dispatch(&mut self) {
        let late = self.fleet.give_up(self.setup.max_wait, self.now);
        if late > 0 {
            self.shedding.left(late);
            self.shed(late);
        }
        while let Some(begun) = self.fleet.dispatch(self.now) {
            self.outcome.waits.record(begun.waited);
            self.meter.waited(begun.waited);
            self.second.longest_wait = self.second.longest_wait.max(begun.waited);
            let took = begun.ends_at - self.now;
            self.at(begun.ends_at, Event::Ended(begun.worker, took));
            if let Some(at) = begun.answers_at {
                self.at(at, Event::Answered(begun.worker));
            }
            self.grows(begun.worker, begun.grows_at);
        }
    }

    /// A worker is fresh, and is looked at again at this time.
    fn grows(&mut self, worker: usize, at: Option<Duration>) {
        if let Some(at) = at {
            self.at(at, Event::Grows(worker));
        }
    }

    fn take_turn(&mut self) {
        let facts = self.fleet.facts();
        let leaving = self.fleet.in_flight_leaving();
        let queued = u32::try_from(self.fleet.queued()).unwrap_or(u32::MAX);
        let since = u64::try_from((self.now - BEGIN).as_millis()).unwrap_or(u64::MAX / 2);
        let seen = Seen {
            observation: Observation {
                wall_ms: self.trace.wall_ms() + since,
                current: queued.saturating_add(self.fleet.in_flight - leaving),
                queued,
                load: self.meter.take(),
                ready: self.fleet.ready(),
                starting: self.fleet.starting(),
                start_time: self.starts.times().map(|times| times.p90),
                ..Observation::default()
            },
            workers: &facts,
        };
        let turn = self.scaler.turn(&seen, self.now);
        for action in &turn.actions {
            let chance = self.chance();
            if matches!(action, Action::Start { .. }) {
                self.outcome.starts += 1;
            }
            if let Some(at) = self.fleet.carry_out(action, chance, self.now) {
                self.at(at, Event::Changed);
            }
        }
        if turn.desired != self.desired {
            let since = self.now - BEGIN;
            self.outcome.scale_events += 1;
            let decision = (since, self.desired, turn.desired, turn.reason);
            self.outcome.decisions.push(decision);
            self.desired = turn.desired;
        }
        self.turn += 1;
        self.at(self.now + self.scaler.interval(), Event::Turn(self.turn));
    }

    fn end_second(&mut self) {
        let queued = u32::try_from(self.fleet.queued()).unwrap_or(u32::MAX);
        let second_before = self.now.saturating_sub(Duration::from_secs(1));
        if self.answered_at.is_none_or(|at| at > second_before) {
            self.outcome.course.push(Instant {
                at: self.now - BEGIN,
                current: queued.saturating_add(self.fleet.in_flight),
                queued,
                desired: self.desired,
                ready: self.fleet.ready(),
                starting: self.fleet.starting(),
                ..std::mem::take(&mut self.second)
            });
        }
        self.at(self.now + Duration::from_secs(1), Event::Second);
    }

    /// The next number between 0 and 1: splitmix64, which is all the randomness a run needs.
    fn chance(&mut self) -> f64 {
        self.chances = self.chances.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.chances;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn finish(mut self) -> Outcome {
        // What waits when nobody serves it any more has waited in vain.
        let left = self.fleet.queued() as u64;
        if left > 0 {
            self.shed(left);
        }
        self.outcome.worker_seconds = self.costs.worker_seconds;
        self.outcome.idle_seconds = self.costs.idle_seconds;
        self.outcome.cut = self.fleet.cut;
        self.outcome.waits.sort();
        self.outcome
    }
}
