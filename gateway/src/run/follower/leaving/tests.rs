use std::path::Path;

use penstock_balancer::{EjectRules, Policy};
use penstock_config::{
    Service,
    fleet::{Coming, DeploymentFleet, Phase},
};

use super::*;
use crate::{
    base::clock::Clock,
    fleet::{deployment::Surroundings, poke::Poke},
};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A service of so many deployments.
fn fleet(deployments: usize) -> ServiceFleet {
    let deployment = |number| {
        format!(
            "[services.chat.deployments.d{number}]\nstatic = {{ addresses = [\"127.0.0.1:1\"] }}\n"
        )
    };
    let all: String = (0..deployments).map(deployment).collect();
    let text = format!("listeners = [{{ address = \"127.0.0.1:0\" }}]\n{all}");
    let config = penstock_config::parse(&text, Path::new("/test.toml"));
    let mut config = config.unwrap_or_else(|errors| panic!("{errors}"));
    let (_, spec): (_, Arc<Service>) = config.services.pop_first().unwrap();
    let parts = spec.deployments.values().map(|spec| DeploymentFleet {
        spec: Arc::clone(spec),
        weight: 1,
        phase: Phase::Warm,
        workers: Vec::new(),
        coming: Coming::default(),
    });
    ServiceFleet {
        deployments: parts.collect(),
        spec,
    }
}

fn states(fleet: &ServiceFleet) -> Vec<Arc<DeploymentState>> {
    let parts = fleet.deployments.iter();
    parts
        .map(|part| {
            let around = Surroundings {
                service: &fleet.spec.name,
                places: Arc::default(),
                poke: Poke::default(),
                reminders: Arc::default(),
                clock: Clock::start(),
                threads: 1,
            };
            let (policy, eject) = (Policy::LeastConnections, EjectRules::default());
            Arc::new(DeploymentState::new(part, policy, eject, around))
        })
        .collect()
}

#[test]
fn a_removed_deployment_is_shown_until_its_last_request_has_been_over_for_two_minutes() {
    let states = states(&fleet(1));
    let mut leaving = Leaving::default();
    states[0].load.start(0, seconds(0));
    leaving.add(states.clone());
    assert!(!leaving.settle(seconds(1000)));
    assert_eq!((leaving.open().count(), leaving.all().len()), (1, 1));
    states[0].load.end(0, seconds(1001));
    assert!(!leaving.settle(seconds(1001)));
    assert_eq!((leaving.open().count(), leaving.all().len()), (0, 1));
    assert!(!leaving.settle(seconds(1120)));
    assert!(leaving.settle(seconds(1121)));
    assert!(leaving.all().is_empty());
}

#[test]
fn a_deployment_that_comes_back_goes_on_only_while_it_has_requests() {
    let fleet = fleet(2);
    let states = states(&fleet);
    let mut leaving = Leaving::default();
    states[1].load.start(0, seconds(0));
    leaving.add(states.clone());
    leaving.settle(seconds(1));
    let back = leaving.take_back(&fleet);
    assert_eq!(back.len(), 1);
    assert!(Arc::ptr_eq(&back[0], &states[1]));
    assert!(leaving.all().is_empty());
}

#[test]
fn one_that_does_not_come_back_with_its_service_stays() {
    let states = states(&fleet(2));
    let mut leaving = Leaving::default();
    leaving.add(states.clone());
    assert_eq!(leaving.take_back(&fleet(1)).len(), 1);
    let left = leaving.all();
    assert!(left.len() == 1 && Arc::ptr_eq(&left[0], &states[1]));
}

#[test]
fn counts_alone_are_kept_of_a_bounded_number_of_deployments() {
    let fleet = fleet(1);
    let mut leaving = Leaving::default();
    let busy = states(&fleet);
    busy[0].load.start(0, seconds(0));
    leaving.add(busy.clone());
    for second in 0..50 {
        (0..10).for_each(|_| leaving.add(states(&fleet)));
        leaving.settle(seconds(second));
        assert!(leaving.all().len() <= OVER_MAX + 1);
    }
    assert_eq!(leaving.all().len(), OVER_MAX + 1);
    assert!(leaving.open().any(|open| Arc::ptr_eq(open, &busy[0])));
}
