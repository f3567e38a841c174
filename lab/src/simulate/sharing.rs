//! Several services on too few GPUs: replays who asked for which service when, and tells how long they
//! would have waited, and how often a model would have been loaded.
//!
//! Who gets a GPU, and who gives his up, is decided by [`share`], which decides it in production. Each service
//! has one worker at most, which answers one request at a time. A control that looks at everything at once, and a
//! gateway that obeys at once, are all that is simpler here.

mod gpu;
mod order;

use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap, VecDeque},
    time::Duration,
};

use penstock_control::share::{
    Facts, GroupFacts, Holder, Need, Owner, Promise, Waits as WaitsNow, Want, share,
};

use self::gpu::{Gpu, State};
pub use self::order::in_order_of_arrival;
use super::outcome::Waits;

/// A request for one of several services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// When it came, since the first one.
    pub at: Duration,
    /// For which service, by its number.
    pub service: usize,
    /// How long a worker takes for it.
    pub takes: Duration,
}

/// What the services have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Machine {
    /// GPUs, of which each worker has one.
    pub gpus: usize,
    /// How long a worker takes to start, with the end of the one before.
    pub start: Duration,
    /// How long requests wait before a busy worker gives way.
    pub give_way_after: Duration,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Shared {
    /// Workers that were started.
    pub starts: u64,
    /// How long requests waited for a worker.
    pub waits: Waits,
    /// The longest wait.
    pub longest: Duration,
    /// Longest time that a GPU was free or idle while a request waited for a service that had none.
    pub idle: Duration,
}

impl Shared {
    fn waited(&mut self, wait: Duration) {
        self.waits.record(wait);
        self.longest = self.longest.max(wait);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrival(usize),
    /// The GPU of this number has loaded its model.
    Loaded(usize),
    /// Its worker has answered.
    Answered(usize),
    /// Something may be different by now.
    Look,
}

/// A service.
#[derive(Debug, Default)]
struct Service {
    /// When each of those came who wait, and how long it takes.
    queue: VecDeque<(Duration, Duration)>,
    /// The sum of the times at which they came.
    came: Duration,
    /// The GPU of its worker.
    gpu: Option<usize>,
}

impl Service {
    fn waits(&self, now: Duration) -> WaitsNow {
        let count = u32::try_from(self.queue.len()).unwrap_or(u32::MAX);
        let oldest = self.queue.front().map(|(came, _)| now - *came);
        WaitsNow {
            count,
            sum: now.saturating_mul(count).saturating_sub(self.came),
            oldest: oldest.unwrap_or_default(),
        }
    }
}

struct World<'w> {
    asked: &'w [Asked],
    machine: Machine,
    services: Vec<Service>,
    gpus: Vec<Gpu>,
    /// Services where somebody waits, and which have no worker.
    wanting: BTreeSet<usize>,
    events: BinaryHeap<Reverse<(Duration, Event)>>,
    next_look: Option<Duration>,
    now: Duration,
    shared: Shared,
}

/// Replays requests, which are in the order of their arrival, as Penstock shares GPUs.
pub fn as_penstock_shares(asked: &[Asked], machine: Machine) -> Shared {
    let services = asked.iter().map(|asked| asked.service + 1).max();
    let mut world = World {
        asked,
        machine,
        services: (0..services.unwrap_or(0))
            .map(|_| Service::default())
            .collect(),
        gpus: vec![Gpu::default(); machine.gpus],
        wanting: BTreeSet::new(),
        events: BinaryHeap::new(),
        next_look: None,
        now: Duration::ZERO,
        shared: Shared::default(),
    };
    world.next_arrival(0);
    while let Some(Reverse((at, event))) = world.events.pop() {
        world.pass(at);
        world.happen(event);
        world.share();
    }
    world.shared.waits.sort();
    world.shared
}

impl World<'_> {
    fn next_arrival(&mut self, number: usize) {
        if let Some(asked) = self.asked.get(number) {
            self.events
                .push(Reverse((asked.at, Event::Arrival(number))));
        }
    }

    fn pass(&mut self, to: Duration) {
        if !self.wanting.is_empty() {
            let idle = self.gpus.iter().filter_map(|gpu| gpu.idle_since());
            let longest = idle.map(|since| to - since.max(self.now)).max();
            self.shared.idle = self.shared.idle.max(longest.unwrap_or_default());
        }
        self.now = to;
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrival(number) => {
                let Asked { service, takes, .. } = self.asked[number];
                let one = &mut self.services[service];
                one.queue.push_back((self.now, takes));
                one.came += self.now;
                match one.gpu {
                    Some(gpu) => self.serve(gpu),
                    None => drop(self.wanting.insert(service)),
                }
                self.next_arrival(number + 1);
            }
            Event::Loaded(gpu) => {
                self.gpus[gpu].loaded(self.now);
                self.serve(gpu);
            }
            Event::Answered(gpu) => {
                self.gpus[gpu].answered(self.now);
                self.serve(gpu);
            }
            Event::Look => {
                if self.next_look == Some(self.now) {
                    self.next_look = None;
                }
            }
        }
    }

    /// Lets the worker of a GPU have the next request, if it is there and takes any.
    fn serve(&mut self, gpu: usize) {
        let State::Idle { service, .. } = self.gpus[gpu].state else {
            return;
        };
        let one = &mut self.services[service];
        if let Some((came, takes)) = one.queue.pop_front() {
            one.came -= came;
            self.shared.waited(self.now - came);
            self.gpus[gpu].serves();
            self.events
                .push(Reverse((self.now + takes, Event::Answered(gpu))));
        }
    }

    /// Shares the GPUs, as control does.
    fn share(&mut self) {
        if self.wanting.is_empty() {
            return;
        }
        let numbers: Vec<usize> = (0..self.gpus.len())
            .filter(|number| self.gpus[*number].stays())
            .collect();
        let facts = self.facts(&numbers);
        let sharing = share(&facts);
        for grant in sharing.grants {
            self.start(grant.who);
        }
        for one in sharing.yields {
            self.give_up(numbers[one.holder], one.to);
        }
        self.look_again();
    }

    fn facts(&self, numbers: &[usize]) -> Facts {
        let (now, start) = (self.now, Some(self.machine.start));
        let wants = self.wanting.iter().map(|&who| Want {
            who,
            missing: 1,
            gpus: 1,
            groups: vec![0],
            need: Need::Waited,
            priority: 0,
            waits: self.services[who].waits(now),
            bound: self.machine.give_way_after,
            start,
        });
        let holders = numbers.iter().filter_map(|&number| {
            let gpu = &self.gpus[number];
            Some(Holder {
                who: gpu.service()?,
                group: 0,
                gpus: 1,
                idle: gpu.idle_since().map(|since| now - since),
                ready: gpu.ready_at.map(|at| now - at),
                in_flight: u32::from(gpu.is_busy()),
                under: Vec::new(),
            })
        });
        let owner = |service: &Service| Owner {
            priority: 0,
            spare: u32::from(service.gpu.is_some()),
            waits: service.waits(now),
            start,
        };
        let promises = self.gpus.iter().filter_map(|gpu| {
            let who = gpu.promised?;
            let is_free = gpu.state == State::Free;
            Some(Promise {
                who,
                group: 0,
                free: u32::from(is_free),
                coming: u32::from(!is_free),
            })
        });
        let free = |gpu: &&Gpu| gpu.state == State::Free && gpu.promised.is_none();
        let free = self.gpus.iter().filter(free).count();
        Facts {
            groups: vec![GroupFacts {
                free: u32::try_from(free).unwrap_or(u32::MAX),
                coming: 0,
            }],
            wants: wants.collect(),
            holders: holders.collect(),
            owners: self.services.iter().map(owner).collect(),
            promises: promises.collect(),
        }
    }

    fn start(&mut self, service: usize) {
        let own = |gpu: &Gpu| gpu.state == State::Free && gpu.promised == Some(service);
        let any = |gpu: &Gpu| gpu.state == State::Free && gpu.promised.is_none();
        let place = self.gpus.iter().position(own);
        let Some(number) = place.or_else(|| self.gpus.iter().position(any)) else {
            return;
        };
        self.gpus[number].load(service);
        self.services[service].gpu = Some(number);
        self.wanting.remove(&service);
        self.shared.starts += 1;
        let at = self.now + self.machine.start;
        self.events.push(Reverse((at, Event::Loaded(number))));
    }

    fn give_up(&mut self, number: usize, to: usize) {
        if let Some(service) = self.gpus[number].service() {
            self.services[service].gpu = None;
            if !self.services[service].queue.is_empty() {
                self.wanting.insert(service);
            }
        }
        self.gpus[number].give_up(to);
        if self.gpus[number].state == State::Free {
            self.start(to);
        }
    }

    /// Control looks every second, if anybody waits.
    fn look_again(&mut self) {
        if self.next_look.is_none() && !self.wanting.is_empty() {
            let at = self.now + Duration::from_secs(1);
            self.next_look = Some(at);
            self.events.push(Reverse((at, Event::Look)));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn asked(at: u64, service: usize, takes: u64) -> Asked {
        Asked {
            at: seconds(at),
            service,
            takes: seconds(takes),
        }
    }

    const ONE: Machine = Machine {
        gpus: 1,
        start: Duration::from_secs(40),
        give_way_after: Duration::from_secs(600),
    };

    #[test]
    fn requests_of_one_model_that_come_between_others_are_served_together() {
        // A B A A C A B C, which in order of arrival are six swaps.
        let mixed = [0, 1, 0, 0, 2, 0, 1, 2];
        let asked: Vec<Asked> = mixed
            .iter()
            .enumerate()
            .map(|(at, service)| asked(at as u64, *service, 5))
            .collect();
        assert_eq!(as_penstock_shares(&asked, ONE).starts, 3);
        assert_eq!(in_order_of_arrival(&asked, ONE).starts, 7);
    }

    #[test]
    fn a_model_that_is_always_busy_gives_way_in_the_end() {
        let mut all: Vec<Asked> = (0..1000).map(|number| asked(number, 0, 1)).collect();
        all.push(asked(100, 1, 1));
        all.sort_by_key(|asked| asked.at);
        let shared = as_penstock_shares(&all, ONE);
        assert_eq!(shared.starts, 3);
        assert!(shared.longest >= seconds(600) && shared.longest < seconds(650));
    }

    proptest! {
        #[test]
        fn everybody_is_served_and_nothing_is_loaded_for_nothing(
            requests in prop::collection::vec((0_u64..30, 0_usize..6, 1_u64..20), 1..200),
            gpus in 1_usize..4,
        ) {
            let mut at = 0;
            let all: Vec<Asked> = requests.into_iter().map(|(pause, service, takes)| {
                at += pause;
                asked(at, service, takes)
            }).collect();
            let machine = Machine { gpus, ..ONE };
            let shared = as_penstock_shares(&all, machine);
            prop_assert_eq!(shared.waits.count(), all.len());
            prop_assert!(shared.starts <= all.len() as u64);
            // It lingers for a tenth of a start, and looks every second.
            prop_assert!(shared.idle <= seconds(5), "{:?}", shared.idle);
            let in_order = in_order_of_arrival(&all, machine);
            prop_assert_eq!(in_order.waits.count(), all.len());
        }
    }
}
