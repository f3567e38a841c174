//! Everything together: control, its workers, a gateway, and requests that come at their times.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use penstock_config::Config;

use super::{Crash, Gateway, Request, VirtualShell, Workers};
use crate::{
    core::{Effect, Event, Key, Moment},
    remembered::Remembered,
};

/// A core, its workers and a gateway, all at exactly the times at which they do something.
pub struct House<W> {
    /// Control and its workers.
    pub shell: VirtualShell<W>,
    /// The requests.
    pub gateway: Gateway,
    arrivals: BTreeMap<(Duration, u64), (Key, Request)>,
    count: u64,
    said: Vec<Effect>,
    /// Requests that were refused because no worker could come.
    pub refused: u64,
    /// Requests that were cut off because their worker was gone.
    pub cut: usize,
}

impl<W: Workers> House<W> {
    /// Begins with a configuration and what an earlier run left.
    pub fn new(config: &Arc<Config>, remembered: Remembered, workers: W, now: Moment) -> Self {
        let mut this = Self {
            shell: VirtualShell::new(config, remembered, workers, now),
            gateway: Gateway::new(1, now.at),
            arrivals: BTreeMap::new(),
            count: 0,
            said: Vec::new(),
            refused: 0,
            cut: 0,
        };
        this.listen();
        this
    }

    /// A request that comes after this time.
    pub fn arrive(&mut self, key: Key, after: Duration, request: Request) {
        self.count += 1;
        let at = self.shell.now().at + after;
        self.arrivals.insert((at, self.count), (key, request));
    }

    /// What control said since the last time, in its order.
    pub fn said(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.said)
    }

    /// Tells control something at once.
    pub fn tell(&mut self, event: Event) {
        self.shell.tell(event);
        self.listen();
    }

    /// The whole program is killed and begins again: control, with what its state file has, and the gateway, whose
    /// clients come back. Workers run on.
    pub fn crash(&mut self, config: &Arc<Config>, how: Crash) {
        self.shell.crash(config, how);
        self.gateway.crash(self.shell.now().at);
        self.listen();
    }

    /// Lets time pass.
    pub fn run(&mut self, time: Duration) {
        let end = self.shell.now().at + time;
        while self.step(end) {}
    }

    /// The next thing that happens up to a time; `false`: nothing does any more, and it is that time.
    pub fn step(&mut self, end: Duration) -> bool {
        if self.shell.step() {
            self.listen();
            return true;
        }
        let now = self.shell.now().at;
        if self.gateway.next_at() <= now {
            self.refused += self.gateway.run(now);
            for report in self.gateway.reports_due(now) {
                self.shell.tell(Event::Report(report));
            }
            self.listen();
            return true;
        }
        let next = self.shell.next_at().min(self.gateway.next_at());
        let first = self.arrivals.first_key_value().map(|((at, _), _)| *at);
        let next = first.map_or(next, |first| first.min(next));
        if next > end {
            self.shell.pass(end);
            return false;
        }
        self.shell.pass(next);
        while let Some(first) = self.arrivals.first_entry()
            && first.key().0 <= next
        {
            let (key, request) = first.remove();
            self.gateway.arrive(&key, request, next);
        }
        self.refused += self.gateway.run(next);
        true
    }

    fn listen(&mut self) {
        let now = self.shell.now().at;
        for id in self.shell.gone() {
            self.cut += self.gateway.lose(&id);
        }
        for effect in self.shell.said() {
            if let Effect::Publish(snapshot) = &effect {
                self.gateway.publish(snapshot, now);
            }
            self.said.push(effect);
        }
    }
}
