//! A service in simulated time: requests arrive, workers take their time, outcomes are told.

use std::{cmp::Reverse, collections::BinaryHeap, sync::Arc, time::Duration};

use penstock_balancer::{Candidate, EjectRules, Ejector, Picker, Policy, Vitals};

use crate::workers::query_at;

/// How a worker behaves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Behaviour {
    /// How long it takes.
    pub(crate) takes: Duration,
    /// Of a hundred requests, how many it fails.
    pub(crate) fails_percent: u64,
}

/// One run.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    pub(crate) policy: Policy,
    pub(crate) workers: Vec<Behaviour>,
    pub(crate) requests_per_second: u64,
    pub(crate) length: Duration,
    pub(crate) ejection: Option<EjectRules>,
}

/// Runs it and returns how many requests each worker got.
pub(crate) fn run(scenario: &Scenario) -> Vec<u64> {
    let all: Vec<Candidate> = (0..scenario.workers.len() as u32)
        .map(|slot| Candidate {
            key: u64::from(slot),
            slot,
            weight: 1,
            vitals: Arc::new(Vitals::new(None, false)),
        })
        .collect();
    let picker = Picker::new(scenario.policy, all, None);
    let mut ejector = scenario.ejection.map(Ejector::new);
    let mut ends = BinaryHeap::new();
    let mut had = vec![0; scenario.workers.len()];
    let gap = Duration::from_secs(1) / u32::try_from(scenario.requests_per_second).expect("small");
    let (mut now, mut number) = (Duration::ZERO, 0);
    while now < scenario.length {
        while let Some(Reverse((at, index, failed))) = ends.peek().copied() {
            if at > now {
                break;
            }
            ends.pop();
            settle(
                &picker,
                ejector.as_mut(),
                index,
                failed,
                scenario.workers[index].takes,
                at,
            );
        }
        if let Some(ejector) = &mut ejector {
            ejector.readmit(now);
        }
        if let Some(index) = picker.pick(&query_at(number, now)) {
            let behaviour = scenario.workers[index];
            let failed = number * 37 % 100 < behaviour.fails_percent;
            ends.push(Reverse((now + behaviour.takes, index, failed)));
            had[index] += 1;
        }
        number += 1;
        now += gap;
    }
    had
}

fn settle(
    picker: &Picker,
    ejector: Option<&mut Ejector>,
    index: usize,
    failed: bool,
    took: Duration,
    now: Duration,
) {
    let worker = &picker.candidates()[index];
    worker.vitals.gate().release();
    if failed {
        worker.vitals.failed(now);
        if let Some(ejector) = ejector {
            ejector.failed(worker, picker.candidates().len(), now);
        }
    } else {
        worker.vitals.answered(now);
        worker.vitals.succeeded(took, now);
    }
}
