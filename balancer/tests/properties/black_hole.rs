//! A worker that fails does not attract traffic by being fast, nor by being idle.

use std::time::Duration;

use penstock_balancer::{EjectRules, Policy};

use crate::{
    simulation::{Behaviour, Scenario, run},
    workers::POLICIES,
};

/// Four healthy workers that take `healthy`, and a fifth.
fn among_four(policy: Policy, healthy: Duration, fifth: Behaviour) -> Scenario {
    let good = Behaviour {
        takes: healthy,
        fails_percent: 0,
    };
    Scenario {
        policy,
        workers: vec![good, good, good, good, fifth],
        requests_per_second: 50,
        length: Duration::from_secs(300),
        ejection: None,
    }
}

fn share_of_fifth(scenario: &Scenario) -> f64 {
    let had = run(scenario);
    had[4] as f64 / had.iter().sum::<u64>() as f64
}

const INSTANTLY: Behaviour = Behaviour {
    takes: Duration::from_millis(1),
    fails_percent: 100,
};

#[test]
fn a_worker_that_fails_instantly_gets_less_than_5_percent_without_any_ejection() {
    for policy in [Policy::LeastConnections, Policy::PeakEwma] {
        for millis in [5, 100, 2_000, 20_000] {
            let scenario = among_four(policy, Duration::from_millis(millis), INSTANTLY);
            let share = share_of_fifth(&scenario);
            assert!(share < 0.05, "{policy:?}, {millis} ms: {share}");
        }
    }
}

#[test]
fn a_worker_that_fails_slowly_gets_less_than_5_percent_too() {
    let fifth = Behaviour {
        takes: Duration::from_secs(5),
        fails_percent: 100,
    };
    for policy in [Policy::LeastConnections, Policy::PeakEwma] {
        let share = share_of_fifth(&among_four(policy, Duration::from_millis(100), fifth));
        assert!(share < 0.05, "{policy:?}: {share}");
    }
}

#[test]
fn a_worker_that_fails_half_of_its_requests_instantly_gets_less_than_5_percent_too() {
    let fifth = Behaviour {
        takes: Duration::from_millis(1),
        fails_percent: 50,
    };
    for policy in [Policy::LeastConnections, Policy::PeakEwma] {
        let share = share_of_fifth(&among_four(policy, Duration::from_secs(2), fifth));
        assert!(share < 0.05, "{policy:?}: {share}");
    }
}

#[test]
fn with_ejection_a_failing_worker_gets_less_than_5_percent_under_every_policy() {
    for policy in POLICIES {
        let mut scenario = among_four(policy, Duration::from_millis(100), INSTANTLY);
        scenario.ejection = Some(EjectRules::default());
        let share = share_of_fifth(&scenario);
        assert!(share < 0.05, "{policy:?}: {share}");
    }
}

#[test]
fn a_worker_that_recovers_is_found_out_within_a_minute() {
    for policy in [Policy::LeastConnections, Policy::PeakEwma] {
        let mut scenario = among_four(policy, Duration::from_millis(100), INSTANTLY);
        scenario.length = Duration::from_secs(65);
        let tried = run(&scenario)[4];
        // The burst that shows the failure, and at least one trial after it was rested longest.
        assert!((2..100).contains(&tried), "{policy:?}: {tried}");
    }
}

#[test]
fn peak_ewma_sends_a_slow_worker_its_share_in_time_and_not_in_requests() {
    let slow = Behaviour {
        takes: Duration::from_millis(1_000),
        fails_percent: 0,
    };
    let scenario = among_four(Policy::PeakEwma, Duration::from_millis(100), slow);
    let share = share_of_fifth(&scenario);
    assert!(share < 0.05, "{share}");
}
