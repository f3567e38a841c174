//! A gateway as control sees it: gates, a queue, counts, reports.

use std::{collections::VecDeque, time::Duration};

use penstock_config::fleet::{
    DeploymentLoad, LoadReport, Outcomes, TimeHistogram, TokenLoad, WorkerId, WorkerLoad,
    WorkerState,
};

use super::{Setup, control::Published};

/// One request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request {
    /// Time on the worker.
    pub(crate) service: Duration,
    /// Whether its client asks again as soon as it has the answer.
    pub(crate) again: bool,
}

/// A request in the queue.
struct Waiting {
    since: Duration,
    request: Request,
    /// Whether it is known that it found no worker free.
    counted: bool,
}

/// The gateway.
pub(crate) struct Gateway {
    id: u64,
    started_at: Duration,
    sequence: u64,
    pub(crate) generation: u64,
    workers: Vec<Served>,
    queue: VecDeque<Waiting>,
    /// Sums of the report.
    integral: f64,
    arrivals: u64,
    completions: u64,
    served: u64,
    no_capacity: u64,
    /// Mirrored copies that are no load.
    woken: u64,
    waits: TimeHistogram,
    counted_to: Duration,
    next_report: Duration,
    poke: bool,
    /// Whether its reports get lost.
    pub(crate) silent: bool,
    /// Reports under way, with their time of arrival.
    sent: VecDeque<(Duration, LoadReport)>,
    /// Snapshots under way, with their time of arrival.
    coming: VecDeque<(Duration, Published)>,
    newest: u64,
    /// Requests that ended well.
    pub(crate) answered: u64,
}

/// A worker as the gateway knows it.
struct Served {
    id: WorkerId,
    /// Closed gates let nothing in.
    open: bool,
    /// When the requests on it end.
    running: Vec<(Duration, Request)>,
}

impl Gateway {
    pub(crate) fn new(id: u64, now: Duration) -> Self {
        Self {
            id,
            started_at: now,
            sequence: 0,
            generation: 0,
            workers: Vec::new(),
            queue: VecDeque::new(),
            integral: 0.0,
            arrivals: 0,
            completions: 0,
            served: 0,
            no_capacity: 0,
            woken: 0,
            waits: TimeHistogram::default(),
            counted_to: now,
            next_report: now,
            poke: false,
            silent: false,
            sent: VecDeque::new(),
            coming: VecDeque::new(),
            newest: 0,
            answered: 0,
        }
    }

    pub(crate) fn arrive(&mut self, request: Request, now: Duration) {
        self.count(now);
        self.arrivals += 1;
        self.wait(request, now);
        // A waiter that no worker can serve does not wait for the next report.
        self.poke |= self.queue.len() == 1 && !self.workers.iter().any(|worker| worker.open);
    }

    fn wait(&mut self, request: Request, now: Duration) {
        self.queue.push_back(Waiting {
            since: now,
            request,
            counted: false,
        });
    }

    pub(crate) fn current(&self) -> usize {
        self.queue.len() + self.in_flight()
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.workers.iter().map(|worker| worker.running.len()).sum()
    }

    /// Takes over snapshots that have come, ends requests, fills workers.
    pub(crate) fn run(&mut self, setup: &Setup, published: &Published, now: Duration) {
        if published.generation > self.newest {
            self.newest = published.generation;
            self.coming
                .push_back((now + setup.delay, published.clone()));
        }
        while self.coming.front().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, snapshot)) = self.coming.pop_front() {
                self.obey(snapshot);
            }
        }
        self.end_requests(now);
        self.dispatch(setup.max_concurrency, now);
    }

    fn obey(&mut self, snapshot: Published) {
        self.generation = snapshot.generation;
        for worker in &mut self.workers {
            worker.open = snapshot
                .workers
                .iter()
                .any(|(id, state)| *id == worker.id && *state == WorkerState::Ready);
        }
        for (id, state) in snapshot.workers {
            if !self.workers.iter().any(|worker| worker.id == id) {
                self.workers.push(Served {
                    id,
                    open: state == WorkerState::Ready,
                    running: Vec::new(),
                });
            }
        }
        self.workers
            .retain(|worker| worker.open || !worker.running.is_empty());
    }

    fn end_requests(&mut self, now: Duration) {
        self.count(now);
        let mut again = Vec::new();
        for worker in &mut self.workers {
            worker.running.retain(|(end, request)| {
                let ended = *end <= now;
                if ended && request.again {
                    again.push(*request);
                }
                if ended {
                    self.completions += 1;
                    self.served += 1;
                    self.answered += 1;
                }
                !ended
            });
        }
        self.arrivals += again.len() as u64;
        for request in again {
            self.wait(request, now);
        }
    }

    /// First come, first served, to the least busy.
    fn dispatch(&mut self, max_concurrency: u32, now: Duration) {
        while let Some(waiting) = self.queue.front() {
            let free = self
                .workers
                .iter_mut()
                .filter(|worker| worker.open && worker.running.len() < max_concurrency as usize);
            let Some(worker) = free.min_by_key(|worker| worker.running.len()) else {
                break;
            };
            let request = waiting.request;
            worker.running.push((now + request.service, request));
            if waiting.counted {
                self.waits.counts[TimeHistogram::bucket(now - waiting.since)] += 1;
            }
            self.queue.pop_front();
        }
        let new = self.queue.iter_mut().rev();
        for waiting in new.take_while(|waiting| !waiting.counted) {
            waiting.counted = true;
            self.no_capacity += 1;
        }
    }

    /// Mirrored copies come for a deployment that they may wake.
    pub(crate) fn copy(&mut self, count: u64) {
        self.woken += count;
        self.poke |= !self.workers.iter().any(|worker| worker.open);
    }

    /// Nobody needs to wait any more; how many did.
    pub(crate) fn refuse_all(&mut self, now: Duration) -> usize {
        self.count(now);
        let refused = self.queue.len();
        self.completions += refused as u64;
        self.queue.clear();
        refused
    }

    /// So many clients do not ask again.
    pub(crate) fn send_away(&mut self, count: u32) {
        let running = self
            .workers
            .iter_mut()
            .flat_map(|worker| worker.running.iter_mut());
        let running = running.map(|(_, request)| request);
        let asking = running
            .chain(self.queue.iter_mut().map(|waiting| &mut waiting.request))
            .filter(|request| request.again);
        asking
            .take(count as usize)
            .for_each(|request| request.again = false);
    }

    /// The worker is gone; how many requests were cut off.
    pub(crate) fn lose(&mut self, id: &WorkerId) -> usize {
        let Some(place) = self.workers.iter().position(|worker| worker.id == *id) else {
            return 0;
        };
        let cut = self.workers.remove(place).running.len();
        self.completions += cut as u64;
        cut
    }

    /// Whether a worker may have a request, now or later.
    pub(crate) fn may_use(&self, id: &WorkerId) -> bool {
        let known = self.workers.iter().find(|worker| worker.id == *id);
        known.is_some_and(|worker| worker.open || !worker.running.is_empty())
    }

    pub(crate) fn restart(&mut self, now: Duration) {
        self.count(now);
        let running = std::mem::take(&mut self.workers);
        let queue = std::mem::take(&mut self.queue);
        let fresh = Self::new(self.id + 1, now);
        let (newest, generation, answered) = (self.newest, self.generation, self.answered);
        *self = Self {
            workers: running,
            queue,
            newest,
            generation,
            answered,
            ..fresh
        };
        // Its clients came back.
        self.arrivals = self.current() as u64;
    }

    fn count(&mut self, now: Duration) {
        let dt = now.saturating_sub(self.counted_to).as_secs_f64();
        self.integral += self.current() as f64 * dt;
        self.counted_to = self.counted_to.max(now);
    }

    /// Reports that arrive at control by now.
    pub(crate) fn reports_due(&mut self, delay: Duration, now: Duration) -> Vec<LoadReport> {
        if now >= self.next_report || self.poke {
            if now >= self.next_report {
                self.next_report = now + Duration::from_secs(1);
            }
            self.poke = false;
            let report = self.report(now);
            if !self.silent {
                self.sent.push_back((now + delay, report));
            }
        }
        let due = self.sent.iter().take_while(|(at, _)| *at <= now).count();
        self.sent.drain(..due).map(|(_, report)| report).collect()
    }

    fn report(&mut self, now: Duration) -> LoadReport {
        self.count(now);
        self.sequence += 1;
        let mut service_time = TimeHistogram::default();
        service_time.counts[0] = self.served;
        let worker = |worker: &Served| WorkerLoad {
            id: worker.id.clone(),
            in_flight: worker.running.len() as u32,
            copies: 0,
            answered: 0,
            failed: 0,
            ejected: false,
        };
        let load = DeploymentLoad {
            service: "s".try_into().expect("a name"),
            deployment: "d".try_into().expect("a name"),
            current: self.current() as u32,
            queued: self.queue.len() as u32,
            integral: self.integral,
            arrivals: self.arrivals,
            completions: self.completions,
            errors: 0,
            no_capacity: self.no_capacity,
            wait: self.waits,
            service_time,
            outcomes: Outcomes::default(),
            woken: self.woken,
            tokens: TokenLoad::default(),
            workers: self.workers.iter().map(worker).collect(),
        };
        LoadReport {
            gateway: self.id,
            sequence: self.sequence,
            generation: self.generation,
            at: now - self.started_at,
            deployments: vec![load],
            services: Vec::new(),
        }
    }
}
