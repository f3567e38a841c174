use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn workers(count: u64) -> Vec<Candidate> {
    (0..count)
        .map(|key| Candidate {
            key,
            slot: key as u32,
            weight: 1,
            vitals: Arc::new(Vitals::new(Some(8), false)),
        })
        .collect()
}

fn rules() -> EjectRules {
    EjectRules {
        failures: 3,
        first: 10 * SECOND,
        longest: 60 * SECOND,
        max_ejected_percent: 50,
    }
}

/// Fails requests of a worker until it is ejected or `times` is reached.
fn fail(
    ejector: &mut Ejector,
    all: &[Candidate],
    index: usize,
    times: u32,
    now: Duration,
) -> Option<Duration> {
    (0..times).find_map(|_| {
        all[index].vitals.failed(now);
        ejector.failed(&all[index], all.len(), now)
    })
}

#[test]
fn enough_failures_in_a_row_eject_a_worker_and_a_good_answer_in_between_does_not() {
    let (mut ejector, all) = (Ejector::new(rules()), workers(4));
    assert_eq!(fail(&mut ejector, &all, 0, 2, SECOND), None);
    all[0].vitals.succeeded(SECOND, SECOND);
    assert_eq!(fail(&mut ejector, &all, 0, 2, SECOND), None);
    assert!(all[0].vitals.gate().is_free());
    assert_eq!(fail(&mut ejector, &all, 0, 1, SECOND), Some(11 * SECOND));
    assert!(all[0].vitals.gate().is_ejected());
    assert_eq!(ejector.next_readmission(), Some(11 * SECOND));
}

#[test]
fn a_readmitted_worker_gets_one_cautious_request() {
    let (mut ejector, all) = (Ejector::new(rules()), workers(4));
    fail(&mut ejector, &all, 0, 3, Duration::ZERO);
    assert_eq!(ejector.readmit(9 * SECOND), 0);
    assert_eq!(ejector.readmit(10 * SECOND), 1);
    let gate = all[0].vitals.gate();
    assert!(gate.try_acquire());
    assert!(!gate.try_acquire());
    // It is answered: two may follow, and failures count from the beginning again.
    assert!(all[0].vitals.answered(11 * SECOND).has_more);
    all[0].vitals.succeeded(SECOND, 11 * SECOND);
    gate.release();
    assert_eq!(gate.limit(), Some(2));
    assert_eq!(fail(&mut ejector, &all, 0, 2, 11 * SECOND), None);
}

#[test]
fn a_failing_trial_ejects_at_once_and_for_twice_as_long() {
    let (mut ejector, all) = (Ejector::new(rules()), workers(4));
    let mut now = Duration::ZERO;
    fail(&mut ejector, &all, 0, 3, now);
    let mut lengths = Vec::new();
    for _ in 0..4 {
        now = ejector.next_readmission().unwrap();
        ejector.readmit(now);
        lengths.push((fail(&mut ejector, &all, 0, 1, now).unwrap() - now).as_secs());
    }
    assert_eq!(lengths, [20, 40, 60, 60]);
}

#[test]
fn staying_in_forgives_ejections_one_by_one() {
    let (mut ejector, all) = (Ejector::new(rules()), workers(4));
    fail(&mut ejector, &all, 0, 3, Duration::ZERO);
    ejector.readmit(10 * SECOND);
    fail(&mut ejector, &all, 0, 1, 10 * SECOND);
    ejector.readmit(30 * SECOND);
    // Two ejections; 10 s later one is forgiven, so this is the second again.
    assert_eq!(
        fail(&mut ejector, &all, 0, 3, 40 * SECOND),
        Some(60 * SECOND)
    );
}

#[test]
fn never_more_than_the_allowed_part_is_ejected() {
    for (count, allowed) in [(1, 0), (2, 1), (3, 1), (4, 2), (9, 4)] {
        let (mut ejector, all) = (Ejector::new(rules()), workers(count));
        for index in 0..all.len() {
            fail(&mut ejector, &all, index, 3, Duration::ZERO);
        }
        assert_eq!(ejector.ejected(), allowed, "of {count}");
        let closed = all
            .iter()
            .filter(|worker| worker.vitals.gate().is_ejected());
        assert_eq!(closed.count(), allowed);
    }
}

#[test]
fn when_the_fleet_shrinks_ejected_workers_come_back() {
    let (mut ejector, mut all) = (Ejector::new(rules()), workers(4));
    fail(&mut ejector, &all, 0, 3, Duration::ZERO);
    fail(&mut ejector, &all, 1, 3, SECOND);
    all.truncate(2);
    assert_eq!(ejector.keep(&all, 2 * SECOND), 1);
    // The one that would have come back first.
    assert!(all[0].vitals.gate().is_free() && all[1].vitals.gate().is_ejected());
    all.truncate(1);
    assert_eq!(ejector.keep(&all, 2 * SECOND), 0);
    assert_eq!((ejector.ejected(), ejector.records.len()), (0, 1));
}

#[test]
fn failures_that_arrive_late_do_not_make_an_ejection_longer() {
    let (mut ejector, all) = (Ejector::new(rules()), workers(4));
    fail(&mut ejector, &all, 0, 3, Duration::ZERO);
    assert_eq!(fail(&mut ejector, &all, 0, 5, SECOND), None);
    assert_eq!(ejector.ejected_until(0), Some(10 * SECOND));
}

#[test]
fn a_worker_that_asks_for_rest_gets_it_within_bounds() {
    let (mut ejector, all) = (Ejector::new(rules()), workers(2));
    let mut rest = |index: usize, seconds: u32, now: Duration| {
        ejector.rest(&all[index], seconds * SECOND, all.len(), now)
    };
    assert_eq!(rest(0, 5, Duration::ZERO), Some(5 * SECOND));
    assert_eq!(rest(0, 3, SECOND), Some(5 * SECOND));
    assert_eq!(rest(0, 3_600, SECOND), Some(61 * SECOND));
    assert_eq!(rest(1, 5, SECOND), None, "one must stay");
    // It was no failure: the first ejection is not longer for it.
    ejector.readmit(61 * SECOND);
    assert_eq!(
        fail(&mut ejector, &all, 0, 3, 61 * SECOND),
        Some(71 * SECOND)
    );
}

#[test]
fn no_rules_no_ejection() {
    let never = [
        EjectRules {
            failures: 0,
            ..rules()
        },
        EjectRules {
            max_ejected_percent: 0,
            ..rules()
        },
    ];
    for rules in never {
        let (mut ejector, all) = (Ejector::new(rules), workers(4));
        assert_eq!(fail(&mut ejector, &all, 0, 100, Duration::ZERO), None);
    }
}
