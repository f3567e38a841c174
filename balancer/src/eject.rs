//! Takes workers out of picking that keep failing, and lets them back carefully.
//!
//! Probes see a worker that is down; they do not see one that answers probes and fails real requests.
//! So real outcomes count too: after some failures in a row a worker is ejected, for longer each time,
//! and then readmitted with one cautious request. If that fails, it is out again at once; if it is
//! answered, the worker is filled gently, like a fresh one.
//!
//! When many workers fail at the same time, the cause is mostly not the workers, and sending
//! everything to the few that are left would break these as well. So only a part may be ejected; the
//! others stay in, failing or not (fail open), and when the fleet shrinks, ejected ones come back.
//!
//! Nothing of this is on the path of a request that goes well: outcomes are counted in the worker's
//! [`Vitals`], and only a worker with enough [`failures`](Vitals::failures) needs the [`Ejector`],
//! which one deployment has one of and the caller keeps under a lock.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use crate::{Candidate, Vitals};

/// When and for how long workers are ejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EjectRules {
    /// Failures in a row after which a worker is ejected; 0 never ejects. Envoy's default is 5.
    pub failures: u32,
    /// Length of the first ejection; each further one lasts twice as long. Envoy's default is 30 s.
    pub first: Duration,
    /// Longest ejection, and longest rest that a worker may ask for. Envoy's default is 300 s.
    pub longest: Duration,
    /// Most workers ejected at once, in percent of all; but one may be as soon as there are two,
    /// and one always stays. 0 never ejects. Envoy's 10 % would be nobody among nine workers.
    pub max_ejected_percent: u32,
}

impl Default for EjectRules {
    fn default() -> Self {
        Self {
            failures: 5,
            first: Duration::from_secs(30),
            longest: Duration::from_secs(300),
            max_ejected_percent: 50,
        }
    }
}

/// The ejected workers of one deployment, and those whose next ejection will be longer.
#[derive(Debug)]
pub struct Ejector {
    rules: EjectRules,
    /// By worker key; never more than there are workers, because [`Ejector::keep`] drops the rest.
    records: BTreeMap<u64, Record>,
}

/// What is remembered of a worker that was ejected.
#[derive(Debug)]
struct Record {
    vitals: Arc<Vitals>,
    /// Ejections that make the next one longer.
    times: u32,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ejected { until: Duration },
    Readmitted { at: Duration },
}

impl Ejector {
    /// Nothing is ejected yet.
    pub fn new(rules: EjectRules) -> Self {
        Self {
            rules,
            records: BTreeMap::new(),
        }
    }

    /// The rules in force.
    pub fn rules(&self) -> EjectRules {
        self.rules
    }

    /// Changes the rules. Ejections under way last as long as they were meant to; call
    /// [`keep`](Self::keep) to apply a lower `max_ejected_percent` at once.
    pub fn set_rules(&mut self, rules: EjectRules) {
        self.rules = rules;
    }

    /// Considers a worker that just failed a request ([`Vitals::failed`] counted it), one of `workers`
    /// that there are, ejected ones included. Returns until when it is ejected now, if it is.
    pub fn failed(
        &mut self,
        worker: &Candidate,
        workers: usize,
        now: Duration,
    ) -> Option<Duration> {
        let enough = self.rules.failures > 0 && worker.vitals.failures() >= self.rules.failures;
        if !enough || self.is_ejected(worker.key) || !self.may_eject(workers) {
            return None;
        }
        let record = self.record(worker, now);
        record.times += 1;
        let doublings = (record.times - 1).min(31);
        let length = self.rules.first.saturating_mul(1 << doublings);
        Some(self.eject(worker, now + length.min(self.rules.longest)))
    }

    /// Lets a worker rest that asked for it (`Retry-After`), or rest longer if it is out already.
    /// Returns until when. This is no failure: the next ejection is no longer for it.
    pub fn rest(
        &mut self,
        worker: &Candidate,
        length: Duration,
        workers: usize,
        now: Duration,
    ) -> Option<Duration> {
        let until = now + length.min(self.rules.longest);
        if let Some(current) = self.ejected_until(worker.key) {
            return Some(self.eject(worker, until.max(current)));
        }
        if length.is_zero() || !self.may_eject(workers) {
            return None;
        }
        self.record(worker, now);
        Some(self.eject(worker, until))
    }

    /// When the next ejected worker is to be readmitted: call [`readmit`](Self::readmit) then.
    pub fn next_readmission(&self) -> Option<Duration> {
        self.records.values().filter_map(Record::until).min()
    }

    /// Readmits every worker whose ejection is over. Returns how many: requests that wait should be
    /// offered their room.
    pub fn readmit(&mut self, now: Duration) -> usize {
        let failures = self.rules.failures;
        let due = |record: &&mut Record| record.until().is_some_and(|until| until <= now);
        let readmitted = self.records.values_mut().filter(due);
        readmitted
            .map(|record| record.readmit(failures, now))
            .count()
    }

    /// Adapts to a changed fleet: forgets workers that are not in `workers`, and readmits those that
    /// were out next as long as too few remain. Returns how many it readmitted.
    pub fn keep(&mut self, workers: &[Candidate], now: Duration) -> usize {
        let mut keys: Vec<u64> = workers.iter().map(|worker| worker.key).collect();
        keys.sort_unstable();
        let failures = self.rules.failures;
        self.records.retain(|key, record| {
            let stays = keys.binary_search(key).is_ok();
            // It may come back, when a drain is cancelled; nobody would remember to readmit it then.
            if !stays && record.until().is_some() {
                record.readmit(failures, now);
            }
            stays
        });
        let allowed = self.allowed(workers.len());
        let mut readmitted = 0;
        while self.ejected() > allowed {
            let ejected = self
                .records
                .values_mut()
                .filter(|record| record.until().is_some());
            if let Some(record) = ejected.min_by_key(|record| record.until()) {
                record.readmit(failures, now);
                readmitted += 1;
            }
        }
        readmitted
    }

    /// How many workers are ejected now.
    pub fn ejected(&self) -> usize {
        self.records.values().filter_map(Record::until).count()
    }

    /// Until when a worker is ejected; `None` if it is not.
    pub fn ejected_until(&self, key: u64) -> Option<Duration> {
        self.records.get(&key).and_then(Record::until)
    }

    fn is_ejected(&self, key: u64) -> bool {
        self.ejected_until(key).is_some()
    }

    fn may_eject(&self, workers: usize) -> bool {
        self.ejected() < self.allowed(workers)
    }

    fn allowed(&self, workers: usize) -> usize {
        let percent = self.rules.max_ejected_percent.min(100) as usize;
        if percent == 0 {
            return 0;
        }
        (workers * percent / 100)
            .max(1)
            .min(workers.saturating_sub(1))
    }

    /// The record of a worker that is not ejected, with its past as far as it still counts: each
    /// `first` that it stayed in forgives one ejection.
    fn record(&mut self, worker: &Candidate, now: Duration) -> &mut Record {
        let first = self.rules.first;
        let record = self.records.entry(worker.key).or_insert_with(|| Record {
            vitals: Arc::clone(&worker.vitals),
            times: 0,
            state: State::Readmitted { at: now },
        });
        if let State::Readmitted { at } = record.state {
            let forgiven = now.saturating_sub(at).as_nanos() / first.as_nanos().max(1);
            record.times = record
                .times
                .saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX));
        }
        record
    }

    fn eject(&mut self, worker: &Candidate, until: Duration) -> Duration {
        if let Some(record) = self.records.get_mut(&worker.key) {
            record.state = State::Ejected { until };
        }
        worker.vitals.gate().eject();
        until
    }
}

impl Record {
    fn until(&self) -> Option<Duration> {
        match self.state {
            State::Ejected { until } => Some(until),
            State::Readmitted { .. } => None,
        }
    }

    /// One request at first, and one failure is enough to go again.
    fn readmit(&mut self, failures: u32, now: Duration) {
        self.state = State::Readmitted { at: now };
        self.vitals.set_failures(failures.saturating_sub(1));
        self.vitals.ramp().restart(self.vitals.gate());
        self.vitals.gate().readmit();
    }
}

impl Drop for Ejector {
    /// Whoever drops the ejector can readmit nobody any more.
    fn drop(&mut self) {
        for record in self.records.values() {
            record.vitals.gate().readmit();
        }
    }
}

#[cfg(test)]
mod tests;
