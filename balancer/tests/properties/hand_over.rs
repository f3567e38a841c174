//! A place that becomes free while a request is on its way into the queue is not missed.
//!
//! loom cannot prove this: it treats sequentially consistent accesses as acquire and release, under
//! which Dekker's protocol is wrong. So it is run many times, with both sides let loose at once.

use std::sync::{
    Barrier,
    atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
};

use penstock_balancer::{Picker, Policy};

use crate::workers::{POLICIES, limited, query};

const ROUNDS: u64 = 3_000;

/// Runs `end` and an arrival at the same time; one of them must have noticed the other.
fn race(policy: Policy, end: impl Fn(&Picker) + Sync, again: impl Fn(&Picker)) {
    let picker = Picker::new(policy, vec![limited(0, 1, Some(1))], None);
    let (waiting, woken, entered) = (
        AtomicU32::new(0),
        AtomicBool::new(false),
        AtomicBool::new(false),
    );
    let barrier = Barrier::new(2);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..ROUNDS {
                barrier.wait();
                waiting.fetch_add(1, SeqCst);
                entered.store(picker.pick(&query(round)).is_some(), SeqCst);
                barrier.wait();
                barrier.wait();
            }
        });
        for round in 0..ROUNDS {
            again(&picker);
            waiting.store(0, SeqCst);
            barrier.wait();
            end(&picker);
            woken.store(waiting.load(SeqCst) > 0, SeqCst);
            barrier.wait();
            let (entered, woken) = (entered.load(SeqCst), woken.load(SeqCst));
            assert!(
                entered || woken,
                "{policy:?} lost the wake-up of round {round}"
            );
            if entered {
                picker.candidates()[0].vitals.gate().release();
            }
            barrier.wait();
        }
    });
}

#[test]
fn either_the_end_of_a_request_sees_the_arrival_or_the_arrival_gets_the_place() {
    for policy in POLICIES {
        race(policy, drop_one, |picker| {
            assert!(picker.candidates()[0].vitals.gate().try_acquire())
        });
    }
}

fn drop_one(picker: &Picker) {
    picker.candidates()[0].vitals.gate().release();
}

#[test]
fn either_a_readmission_sees_the_arrival_or_the_arrival_gets_the_place() {
    race(
        Policy::LeastConnections,
        |picker| picker.candidates()[0].vitals.gate().readmit(),
        |picker| picker.candidates()[0].vitals.gate().eject(),
    );
}

#[test]
fn either_a_higher_limit_sees_the_arrival_or_the_arrival_gets_the_place() {
    race(
        Policy::LeastConnections,
        |picker| assert!(picker.candidates()[0].vitals.set_max(Some(1))),
        |picker| assert!(!picker.candidates()[0].vitals.set_max(Some(0))),
    );
}
