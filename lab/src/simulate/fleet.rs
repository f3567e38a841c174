//! The simulated workers, and what the gateway does with them: a queue, and the least busy first.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use penstock_balancer::{Gate, Ramp};
use penstock_config::fleet::WorkerId;

use super::{model::WorkerModel, trace::Work};
use penstock_control::plan::{Action, Stage, WorkerFacts};

/// From a stop to nothing being left of a worker.
const STOP: Duration = Duration::from_millis(500);

/// One simulated worker.
#[derive(Debug)]
pub(super) struct Worker {
    /// Which one, counted from 0 in the order of starts.
    pub(super) number: usize,
    id: WorkerId,
    slot: u32,
    pub(super) started_at: Duration,
    pub(super) life: Life,
    pub(super) in_flight: u32,
    /// How it is filled while it is fresh: as in the gateway.
    ramp: Ramp,
    /// Knows how many requests it may have now. Nothing else of it is used.
    limit: Gate,
}

/// Where a worker stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Life {
    Starting { ready_at: Duration },
    Ready,
    Draining { deadline: Duration },
    Stopping { gone_at: Duration },
}

impl Worker {
    fn has_room(&self) -> bool {
        let is_below = |limit| self.in_flight < limit;
        self.life == Life::Ready && self.limit.limit().is_none_or(is_below)
    }
}

/// A request that waits.
#[derive(Debug, Clone, Copy)]
struct Waiter {
    since: Duration,
    work: Work,
}

/// A request that got a worker.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Begun {
    pub(super) worker: usize,
    pub(super) waited: Duration,
    pub(super) ends_at: Duration,
    /// When its answer begins, if that matters to the worker.
    pub(super) answers_at: Option<Duration>,
    /// When the worker may take more than now, whether it answers or not.
    pub(super) grows_at: Option<Duration>,
}

/// All workers of the deployment, and its queue.
#[derive(Debug)]
pub(super) struct Fleet {
    model: WorkerModel,
    drain_timeout: Duration,
    pub(super) workers: Vec<Worker>,
    queue: VecDeque<Waiter>,
    made: usize,
    pub(super) in_flight: u32,
    /// Requests cut off because their worker was stopped.
    pub(super) cut: u64,
}

impl Fleet {
    pub(super) fn new(model: WorkerModel, drain_timeout: Duration) -> Self {
        Self {
            model,
            drain_timeout,
            workers: Vec::new(),
            queue: VecDeque::new(),
            made: 0,
            in_flight: 0,
            cut: 0,
        }
    }

    pub(super) fn queued(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn count(&self, is: impl Fn(&Life) -> bool) -> u32 {
        let count = self.workers.iter().filter(|worker| is(&worker.life));
        u32::try_from(count.count()).unwrap_or(u32::MAX)
    }

    pub(super) fn ready(&self) -> u32 {
        self.count(|life| *life == Life::Ready)
    }

    pub(super) fn starting(&self) -> u32 {
        self.count(|life| matches!(life, Life::Starting { .. }))
    }

    /// When the first of those that are starting was started.
    pub(super) fn oldest_start(&self) -> Option<Duration> {
        let starting = self.workers.iter();
        let starting = starting.filter(|worker| matches!(worker.life, Life::Starting { .. }));
        starting.map(|worker| worker.started_at).min()
    }

    /// Places at so many workers.
    pub(super) fn places(&self, workers: u32) -> f64 {
        f64::from(workers) * f64::from(self.model.max_concurrency)
    }

    /// Requests in flight on workers that are going.
    pub(super) fn in_flight_leaving(&self) -> u32 {
        let leaving = self
            .workers
            .iter()
            .filter(|worker| matches!(worker.life, Life::Draining { .. } | Life::Stopping { .. }));
        leaving.map(|worker| worker.in_flight).sum()
    }

    /// Whether a request that comes now gets a worker at once.
    pub(super) fn has_room(&self) -> bool {
        self.queue.is_empty() && self.workers.iter().any(Worker::has_room)
    }

    /// Puts a request at the end of the queue.
    pub(super) fn join(&mut self, work: Work, now: Duration) {
        self.queue.push_back(Waiter { since: now, work });
    }

    /// Takes out requests that have waited for longer than `max_wait`; how many.
    pub(super) fn give_up(&mut self, max_wait: Duration, now: Duration) -> u64 {
        let mut gone = 0;
        while let Some(waiter) = self.queue.front()
            && now.saturating_sub(waiter.since) >= max_wait
        {
            self.queue.pop_front();
            gone += 1;
        }
        gone
    }

    /// Gives the next waiting request to the least busy worker that has room.
    pub(super) fn dispatch(&mut self, now: Duration) -> Option<Begun> {
        let waiter = *self.queue.front()?;
        let free = self.workers.iter_mut().filter(|worker| worker.has_room());
        let worker = free.min_by_key(|worker| worker.in_flight)?;
        self.queue.pop_front();
        worker.in_flight += 1;
        self.in_flight += 1;
        let grows_at = worker.ramp.requested(&worker.limit, || now);
        let first_byte = self.model.first_byte(waiter.work, worker.in_flight);
        Some(Begun {
            worker: worker.number,
            waited: now.saturating_sub(waiter.since),
            ends_at: now + self.model.service_time(waiter.work, worker.in_flight),
            answers_at: worker.ramp.is_under_way().then(|| now + first_byte),
            grows_at,
        })
    }

    /// Worker `number` began to answer a request.
    pub(super) fn answered(&mut self, number: usize, now: Duration) -> Option<Duration> {
        let worker = self.workers.iter().find(|w| w.number == number)?;
        worker.ramp.answered(&worker.limit, now).next
    }

    /// Worker `number` may have had long enough to get warm.
    pub(super) fn grow(&mut self, number: usize, now: Duration) -> Option<Duration> {
        let worker = self.workers.iter().find(|w| w.number == number)?;
        worker.ramp.grow(&worker.limit, now).next
    }

    /// A request ended on worker `number`; whether the worker was still there to end it.
    pub(super) fn ended(&mut self, number: usize) -> bool {
        let Some(worker) = self.workers.iter_mut().find(|w| w.number == number) else {
            return false;
        };
        worker.in_flight -= 1;
        self.in_flight -= 1;
        true
    }

    /// Lets workers become ready whose time has come; how long each took.
    pub(super) fn finish_starts(&mut self, now: Duration) -> Vec<Duration> {
        let mut took = Vec::new();
        for worker in &mut self.workers {
            if matches!(worker.life, Life::Starting { ready_at } if ready_at <= now) {
                worker.life = Life::Ready;
                took.push(now - worker.started_at);
            }
        }
        took
    }

    /// Lets workers vanish whose time has come; those that are gone.
    pub(super) fn finish_stops(&mut self, now: Duration) -> Vec<Worker> {
        let is_gone = |worker: &mut Worker| matches!(worker.life, Life::Stopping { gone_at } if gone_at <= now);
        let gone: Vec<_> = self.workers.extract_if(.., is_gone).collect();
        for worker in &gone {
            self.cut += u64::from(worker.in_flight);
            self.in_flight -= worker.in_flight;
        }
        gone
    }

    /// Starts a worker that takes `chance` of the spread of start times; when it is ready.
    fn start(&mut self, slot: u32, chance: f64, now: Duration) -> Duration {
        let ready_at = now + self.model.start_time(chance);
        self.push(slot, Life::Starting { ready_at }, self.model.ramp, now);
        ready_at
    }

    /// Adds a worker that is ready and warm already.
    pub(super) fn add_ready(&mut self, slot: u32, now: Duration) {
        self.push(slot, Life::Ready, false, now);
    }

    fn push(&mut self, slot: u32, life: Life, is_fresh: bool, now: Duration) {
        let (ramp, limit) = Ramp::new(Some(self.model.max_concurrency), is_fresh);
        let number = self.made;
        self.made += 1;
        self.workers.push(Worker {
            number,
            id: WorkerId(Arc::from(number.to_string())),
            slot,
            started_at: now,
            life,
            in_flight: 0,
            ramp,
            limit,
        });
    }

    /// Does what a plan says; when the change shows, if it takes time. `chance` is for a start.
    pub(super) fn carry_out(
        &mut self,
        action: &Action,
        chance: f64,
        now: Duration,
    ) -> Option<Duration> {
        let (id, life) = match action {
            Action::Start { slot } => return Some(self.start(*slot, chance, now)),
            Action::Drain { id, .. } => {
                let deadline = now.saturating_add(self.drain_timeout);
                (id, Life::Draining { deadline })
            }
            Action::Undrain { id } => (id, Life::Ready),
            Action::Stop { id, .. } => {
                let gone_at = now + STOP;
                (id, Life::Stopping { gone_at })
            }
        };
        let worker = self.workers.iter_mut().find(|worker| worker.id == *id)?;
        worker.life = life;
        match life {
            Life::Stopping { gone_at } => Some(gone_at),
            _ => None,
        }
    }

    /// The workers as `plan` sees them.
    pub(super) fn facts(&self) -> Vec<WorkerFacts> {
        let facts = |worker: &Worker| WorkerFacts {
            id: worker.id.clone(),
            slot: worker.slot,
            stage: match worker.life {
                Life::Starting { .. } => Stage::Starting,
                Life::Ready => Stage::Ready,
                Life::Draining { deadline } => Stage::Draining {
                    deadline,
                    gates_closed: true,
                    cancellable: true,
                },
                Life::Stopping { .. } => Stage::Stopping,
            },
            started_at: worker.started_at,
            in_flight: worker.in_flight,
            adopted: false,
            outdated: false,
            is_proven: false,
            broken: None,
        };
        self.workers.iter().map(facts).collect()
    }
}
