//! Ejections stay within their bounds, and everybody comes back.

use std::time::Duration;

use penstock_balancer::{Candidate, EjectRules, Ejector};
use proptest::{collection::vec, prelude::*};

use crate::workers::workers;

#[derive(Debug, Clone)]
enum Event {
    Fail(usize),
    Succeed(usize),
    Rest(usize, u64),
    Shrink(usize),
    Wait(u64),
}

fn event() -> impl Strategy<Value = Event> {
    let worker = 0_usize..8;
    prop_oneof![
        8 => worker.clone().prop_map(Event::Fail),
        2 => worker.clone().prop_map(Event::Succeed),
        1 => (worker, 0_u64..1_000).prop_map(|(index, seconds)| Event::Rest(index, seconds)),
        1 => (1_usize..9).prop_map(Event::Shrink),
        2 => (0_u64..100).prop_map(Event::Wait),
    ]
}

proptest! {
    #[test]
    fn never_too_many_are_out_and_nobody_for_too_long(
        percent in 0_u32..=100,
        events in vec(event(), 1..300),
    ) {
        let rules = EjectRules { failures: 2, max_ejected_percent: percent, ..EjectRules::default() };
        let everyone = workers(&[1; 8]);
        let mut listed: &[Candidate] = &everyone;
        let mut ejector = Ejector::new(rules);
        let mut now = Duration::ZERO;
        for event in events {
            match event {
                Event::Fail(index) => if let Some(worker) = listed.get(index) {
                    worker.vitals.failed(now);
                    ejector.failed(worker, listed.len(), now);
                },
                Event::Succeed(index) => if let Some(worker) = listed.get(index) {
                    worker.vitals.succeeded(Duration::ZERO, now);
                    worker.vitals.answered(now);
                },
                Event::Rest(index, seconds) => if let Some(worker) = listed.get(index) {
                    ejector.rest(worker, Duration::from_secs(seconds), listed.len(), now);
                },
                Event::Shrink(count) => {
                    listed = &everyone[..count];
                    ejector.keep(listed, now);
                }
                Event::Wait(seconds) => {
                    now += Duration::from_secs(seconds);
                    ejector.readmit(now);
                }
            }
            check(&ejector, rules, listed, now)?;
        }
        ejector.readmit(now + rules.longest);
        prop_assert_eq!(ejector.ejected(), 0);
        prop_assert!(listed.iter().all(|worker| worker.vitals.gate().is_free()));
    }
}

fn check(
    ejector: &Ejector,
    rules: EjectRules,
    listed: &[Candidate],
    now: Duration,
) -> Result<(), TestCaseError> {
    let out: Vec<&Candidate> = listed
        .iter()
        .filter(|worker| worker.vitals.gate().is_ejected())
        .collect();
    prop_assert_eq!(out.len(), ejector.ejected());
    prop_assert!(out.len() < listed.len() || listed.is_empty());
    let percent = rules.max_ejected_percent as usize;
    prop_assert!(out.len() <= 1 || 100 * out.len() <= percent * listed.len());
    prop_assert!(percent > 0 || out.is_empty());
    for worker in out {
        let until = ejector
            .ejected_until(worker.key)
            .expect("an ejected worker has an end");
        prop_assert!(until <= now + rules.longest);
    }
    Ok(())
}
