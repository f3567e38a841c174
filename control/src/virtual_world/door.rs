//! One deployment at a gateway: its queue, its workers, and what is counted of it.

use std::{collections::VecDeque, time::Duration};

use penstock_config::fleet::{DeploymentLoad, WorkerId, WorkerLoad};

use super::Counts;
use crate::core::Key;

/// One request.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    /// Time on the worker.
    pub service: Duration,
    /// Whether its client asks again as soon as it has the answer.
    pub again: bool,
}

/// A request in the queue.
#[derive(Debug)]
struct Waiting {
    since: Duration,
    request: Request,
    /// Whether it is known that it found no worker free.
    counted: bool,
}

/// A worker as the gateway knows it.
#[derive(Debug)]
struct Served {
    id: WorkerId,
    /// Closed gates let nothing in.
    open: bool,
    /// When the requests on it end.
    running: Vec<(Duration, Request)>,
}

/// One deployment.
#[derive(Debug)]
pub struct Door {
    workers: Vec<Served>,
    queue: VecDeque<Waiting>,
    /// Most requests on one worker at once.
    pub(super) limit: u32,
    /// Whether the newest snapshot has it.
    pub(super) is_listed: bool,
    /// Whether nobody needs to wait, because no worker can come.
    pub(super) refuses: bool,
    counts: Counts,
    counted_to: Duration,
}

impl Door {
    pub(super) fn new(now: Duration) -> Self {
        Self {
            workers: Vec::new(),
            queue: VecDeque::new(),
            limit: u32::MAX,
            is_listed: false,
            refuses: false,
            counts: Counts::default(),
            counted_to: now,
        }
    }

    /// Requests in flight and queued.
    pub fn current(&self) -> usize {
        self.queue.len() + self.in_flight()
    }

    /// Requests on workers.
    pub fn in_flight(&self) -> usize {
        self.workers.iter().map(|worker| worker.running.len()).sum()
    }

    /// Requests that wait.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Since when the first of them waits.
    pub fn oldest(&self) -> Option<Duration> {
        self.queue.front().map(|waiting| waiting.since)
    }

    /// How many requests each worker has.
    pub fn on_workers(&self) -> Vec<(WorkerId, u32)> {
        let workers = self.workers.iter();
        workers
            .map(|worker| (worker.id.clone(), len(worker.running.len())))
            .collect()
    }

    /// Puts a request into the queue. Whether control is to be told at once: a waiter that no worker can serve does
    /// not wait for the next report.
    pub(super) fn arrive(&mut self, request: Request, now: Duration) -> bool {
        self.count(now);
        self.counts.arrivals += 1;
        self.wait(request, now);
        self.queue.len() == 1 && !self.is_open()
    }

    fn is_open(&self) -> bool {
        self.workers.iter().any(|worker| worker.open)
    }

    fn wait(&mut self, request: Request, now: Duration) {
        self.queue.push_back(Waiting {
            since: now,
            request,
            counted: false,
        });
    }

    pub(super) fn copy(&mut self, count: u64) -> bool {
        self.counts.woken += count;
        !self.is_open()
    }

    /// These are its workers, and whether each takes requests.
    pub(super) fn obey(&mut self, workers: Vec<(WorkerId, bool)>) {
        for worker in &mut self.workers {
            let listed = workers.iter().find(|(id, _)| *id == worker.id);
            worker.open = listed.is_some_and(|(_, open)| *open);
        }
        for (id, open) in workers {
            if !self.workers.iter().any(|worker| worker.id == id) {
                self.workers.push(Served {
                    id,
                    open,
                    running: Vec::new(),
                });
            }
        }
        self.workers
            .retain(|worker| worker.open || !worker.running.is_empty());
    }

    /// How many were answered.
    pub(super) fn end_requests(&mut self, now: Duration) -> u64 {
        self.count(now);
        let mut again = Vec::new();
        let mut ended = 0;
        let counts = &mut self.counts;
        for worker in &mut self.workers {
            worker.running.retain(|(end, request)| {
                let is_over = *end <= now;
                if is_over && request.again {
                    again.push(*request);
                }
                if is_over {
                    counts.answered(request.service);
                    ended += 1;
                }
                !is_over
            });
        }
        self.counts.arrivals += again.len() as u64;
        for request in again {
            self.wait(request, now);
        }
        ended
    }

    /// First come, first served, to the least busy.
    pub(super) fn dispatch(&mut self, waits: &mut Vec<Duration>, now: Duration) {
        while let Some(waiting) = self.queue.front() {
            let limit = self.limit;
            let free = self
                .workers
                .iter_mut()
                .filter(|worker| worker.open && len(worker.running.len()) < limit);
            let Some(worker) = free.min_by_key(|worker| worker.running.len()) else {
                break;
            };
            let request = waiting.request;
            worker.running.push((now + request.service, request));
            let waited = now - waiting.since;
            if waiting.counted {
                self.counts.waited(waited);
            }
            waits.push(waited);
            self.queue.pop_front();
        }
        let new = self.queue.iter_mut().rev();
        for waiting in new.take_while(|waiting| !waiting.counted) {
            waiting.counted = true;
            self.counts.no_capacity += 1;
        }
    }

    /// How many were refused because nobody needs to wait.
    pub(super) fn refuse(&mut self, now: Duration) -> u64 {
        if !self.refuses {
            return 0;
        }
        self.count(now);
        let refused = self.queue.len() as u64;
        self.counts.completions += refused;
        self.queue.clear();
        refused
    }

    pub(super) fn send_away(&mut self, count: u32) {
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

    pub(super) fn lose(&mut self, id: &WorkerId) -> usize {
        let Some(place) = self.workers.iter().position(|worker| worker.id == *id) else {
            return 0;
        };
        let cut = self.workers.remove(place).running.len();
        self.counts.completions += cut as u64;
        cut
    }

    pub(super) fn may_use(&self, id: &WorkerId) -> bool {
        let known = self.workers.iter().find(|worker| worker.id == *id);
        known.is_some_and(|worker| worker.open || !worker.running.is_empty())
    }

    pub(super) fn next_end(&self) -> Option<Duration> {
        let running = self.workers.iter().flat_map(|worker| &worker.running);
        running.map(|(end, _)| *end).min()
    }

    /// The gateway was restarted, and its clients came back.
    pub(super) fn count_anew(&mut self, now: Duration) {
        self.count(now);
        self.counts = Counts {
            arrivals: self.current() as u64,
            ..Counts::default()
        };
    }

    /// The gateway was killed, and its clients come back: those whose requests were in flight first.
    pub(super) fn crash(&mut self, now: Duration) {
        let workers = std::mem::take(&mut self.workers);
        for (_, request) in workers.into_iter().flat_map(|worker| worker.running) {
            let since = now;
            self.queue.push_front(Waiting {
                since,
                request,
                counted: false,
            });
        }
        for waiting in &mut self.queue {
            (waiting.since, waiting.counted) = (now, false);
        }
    }

    fn count(&mut self, now: Duration) {
        let dt = now.saturating_sub(self.counted_to).as_secs_f64();
        self.counts.integral += self.current() as f64 * dt;
        self.counted_to = self.counted_to.max(now);
    }

    /// What a report says of it.
    pub(super) fn load(&mut self, key: &Key, now: Duration) -> DeploymentLoad {
        self.count(now);
        let workers = self.workers.iter().map(|worker| WorkerLoad {
            id: worker.id.clone(),
            in_flight: len(worker.running.len()),
            copies: 0,
            answered: 0,
            failed: 0,
            ejected: false,
        });
        let (in_flight, queued) = (len(self.in_flight()), len(self.queue.len()));
        self.counts.load(key, in_flight, queued, workers.collect())
    }
}

fn len(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
