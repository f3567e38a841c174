//! Counts are exact and limits hold, whatever happens in whatever order.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

use penstock_balancer::{Candidate, Picker, Policy};
use proptest::{collection::vec, prelude::*, sample};

use crate::workers::{POLICIES, limited, query};

/// What the test believes of one worker.
#[derive(Debug, Clone, Default)]
struct Belief {
    in_flight: u32,
    max: Option<u32>,
    closed: bool,
    ejected: bool,
}

impl Belief {
    fn is_free(&self) -> bool {
        let full = self.max.is_some_and(|max| self.in_flight >= max);
        !self.closed && !self.ejected && !full
    }
}

#[derive(Debug, Clone)]
enum Event {
    Pick { avoid: Option<usize> },
    Release(usize),
    Close(usize),
    Open(usize),
    Eject(usize),
    Readmit(usize),
    SetMax(usize, Option<u32>),
    Rebuild(Policy),
}

fn event() -> impl Strategy<Value = Event> {
    let worker = 0_usize..5;
    let max = proptest::option::of(0_u32..4);
    prop_oneof![
        8 => proptest::option::of(worker.clone()).prop_map(|avoid| Event::Pick { avoid }),
        4 => worker.clone().prop_map(Event::Release),
        1 => worker.clone().prop_map(Event::Close),
        1 => worker.clone().prop_map(Event::Open),
        1 => worker.clone().prop_map(Event::Eject),
        1 => worker.clone().prop_map(Event::Readmit),
        2 => (worker, max).prop_map(|(index, max)| Event::SetMax(index, max)),
        1 => sample::select(&POLICIES[..]).prop_map(Event::Rebuild),
    ]
}

proptest! {
    #[test]
    fn only_workers_that_may_are_picked_and_every_count_is_right(
        policy in sample::select(&POLICIES[..]),
        weights in vec(1_u32..10, 5),
        events in vec(event(), 1..200),
    ) {
        let all: Vec<Candidate> =
            (0..).zip(&weights).map(|(slot, weight)| limited(slot, *weight, Some(2))).collect();
        let mut beliefs = vec![Belief { max: Some(2), ..Belief::default() }; all.len()];
        let mut picker = Picker::new(policy, all.clone(), None);
        for (event, number) in events.into_iter().zip(0..) {
            apply(event, number, &all, &mut beliefs, &mut picker)?;
            for (worker, belief) in all.iter().zip(&beliefs) {
                let gate = worker.vitals.gate();
                prop_assert_eq!(gate.in_flight(), belief.in_flight);
                prop_assert_eq!(gate.is_free(), belief.is_free());
                prop_assert_eq!(gate.limit(), belief.max);
            }
        }
    }
}

fn apply(
    event: Event,
    number: u64,
    all: &[Candidate],
    beliefs: &mut [Belief],
    picker: &mut Picker,
) -> Result<(), TestCaseError> {
    let gate = |index: usize| all[index].vitals.gate();
    match event {
        Event::Pick { avoid } => {
            let avoid: Vec<u64> = avoid.into_iter().map(|index| all[index].key).collect();
            let query = penstock_balancer::Query {
                avoid: &avoid,
                ..query(number)
            };
            let may =
                |index: &usize| beliefs[*index].is_free() && !avoid.contains(&all[*index].key);
            match picker.pick(&query) {
                Some(index) => {
                    prop_assert!(may(&index));
                    beliefs[index].in_flight += 1;
                }
                None => prop_assert!(!(0..all.len()).any(|index| may(&index))),
            }
        }
        Event::Release(index) => {
            if let Some(left) = beliefs[index].in_flight.checked_sub(1) {
                beliefs[index].in_flight = left;
                prop_assert_eq!(gate(index).release(), left);
            }
        }
        Event::Close(index) => {
            gate(index).close();
            beliefs[index].closed = true;
        }
        Event::Open(index) => {
            gate(index).open();
            beliefs[index].closed = false;
        }
        Event::Eject(index) => {
            gate(index).eject();
            beliefs[index].ejected = true;
        }
        Event::Readmit(index) => {
            gate(index).readmit();
            beliefs[index].ejected = false;
        }
        Event::SetMax(index, max) => {
            all[index].vitals.set_max(max);
            beliefs[index].max = max;
        }
        Event::Rebuild(policy) => *picker = Picker::new(policy, all.to_vec(), Some(picker)),
    }
    Ok(())
}

#[test]
fn no_limit_is_passed_while_many_threads_pick_and_release() {
    const LIMIT: u32 = 2;
    const ROUNDS: u64 = 20_000;
    for policy in POLICIES {
        let all: Vec<_> = (0..3)
            .map(|slot| limited(slot, slot + 1, Some(LIMIT)))
            .collect();
        let picker = Picker::new(policy, all.clone(), None);
        // Counted by those who are inside, independently of the gates.
        let inside = [const { AtomicU32::new(0) }; 3];
        let refused = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for thread in 0..8_u64 {
                let (picker, inside, refused) = (&picker, &inside, &refused);
                scope.spawn(move || {
                    for round in 0..ROUNDS / 8 {
                        let Some(index) = picker.pick(&query(thread << 32 | round)) else {
                            refused.fetch_add(1, SeqCst);
                            continue;
                        };
                        assert!(inside[index].fetch_add(1, SeqCst) < LIMIT);
                        if round % 8 == 0 {
                            std::thread::yield_now();
                        }
                        inside[index].fetch_sub(1, SeqCst);
                        assert!(picker.candidates()[index].vitals.gate().release() < LIMIT);
                    }
                });
            }
        });
        assert!(
            all.iter()
                .all(|worker| worker.vitals.gate().in_flight() == 0)
        );
    }
}

#[test]
fn nobody_enters_after_a_gate_was_closed_and_no_change_of_the_limit_loses_a_count() {
    const LARGEST: u32 = 4;
    let all = vec![limited(0, 1, Some(LARGEST))];
    let picker = Picker::new(Policy::RoundRobin, all.clone(), None);
    let gate = all[0].vitals.gate();
    let (inside, over) = (AtomicU32::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for thread in 0..3_u64 {
            let (picker, inside, over) = (&picker, &inside, &over);
            scope.spawn(move || {
                let mut number = thread << 32;
                while !over.load(SeqCst) {
                    number += 1;
                    if picker.pick(&query(number)).is_some() {
                        assert!(inside.fetch_add(1, SeqCst) < LARGEST);
                        inside.fetch_sub(1, SeqCst);
                        gate.release();
                    } else {
                        std::thread::yield_now();
                    }
                }
            });
        }
        for round in 0..2_000_u32 {
            all[0].vitals.set_max(Some(1 + round % LARGEST));
            if round % 10 == 0 {
                gate.close();
                let mut left = gate.in_flight();
                while left > 0 {
                    std::thread::yield_now();
                    let now = gate.in_flight();
                    assert!(now <= left, "somebody entered a closed gate");
                    left = now;
                }
                gate.open();
            }
        }
        over.store(true, SeqCst);
    });
    assert_eq!(gate.in_flight(), 0);
}
