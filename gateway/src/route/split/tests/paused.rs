//! Deployments that an operator has stopped.

use super::*;

impl Fixture {
    /// The gateway has heard that these deployments are paused, and no others.
    fn pause(&mut self, paused: &[bool]) {
        self.set_phases(paused);
        self.apply();
        self.follow();
    }

    fn set_phases(&mut self, paused: &[bool]) {
        for (part, paused) in self.fleet.deployments.iter_mut().zip(paused) {
            part.phase = match paused {
                true => Phase::Paused {
                    reason: "new GPUs".into(),
                    until: None,
                },
                false => Phase::Warm,
            };
        }
    }

    fn choose_another(&self, request: &Parts) -> Option<usize> {
        let head = RequestHead::of(request, &self.forwarding, &self.settings);
        let choice = self.state.choose_another(&head, Duration::ZERO)?;
        Some(choice.deployment)
    }
}

const WEIGHTS: [(&str, u32); 3] = [("weight = 60", 1), ("weight = 30", 1), ("weight = 10", 1)];

#[test]
fn the_share_of_a_paused_deployment_goes_to_its_siblings_by_their_weights_and_comes_back() {
    let mut service = Fixture::new("", &WEIGHTS);
    assert_eq!(service.shares(100), [60, 30, 10]);
    service.pause(&[true, false, false]);
    assert_eq!(service.shares(40), [0, 30, 10]);
    assert_eq!(service.no_capacity(), [0, 0, 0], "it is not to be woken");
    service.pause(&[true, false, true]);
    assert_eq!(service.shares(5), [0, 5, 0]);
    service.pause(&[false, false, false]);
    assert_eq!(service.shares(100), [60, 30, 10]);
}

#[test]
fn no_way_to_split_leads_to_a_paused_deployment() {
    for split in ["workers", "round-robin", "least-connections", "random"] {
        let mut service = Fixture::new(&format!("split = \"{split}\""), &WEIGHTS);
        service.pause(&[true, false, false]);
        assert_eq!(service.shares(200)[0], 0, "{split}");
    }
}

#[test]
fn only_clients_of_the_paused_deployment_move_and_they_come_back() {
    let mut service = Fixture::new("sticky = { header = \"x-user\" }", &WEIGHTS);
    let users: Vec<String> = (0..300).map(|user| user.to_string()).collect();
    let places = |service: &Fixture| -> Vec<usize> {
        let users = users.iter().map(|user| get(&[("x-user", user)]));
        users
            .map(|request| service.choose(&request).deployment)
            .collect()
    };
    let before = places(&service);
    service.pause(&[false, true, false]);
    for (before, during) in before.iter().zip(places(&service)) {
        assert_ne!(during, 1);
        assert!(*before == 1 || *before == during);
    }
    service.pause(&[false, false, false]);
    assert_eq!(places(&service), before);
}

#[test]
fn when_all_are_paused_the_weights_say_who_refuses() {
    let mut service = Fixture::new("", &[("weight = 90", 0), ("weight = 10", 0)]);
    service.pause(&[true, true]);
    assert_eq!(service.shares(100), [90, 10]);
    assert_eq!(service.choose_another(&get(&[])), None);
}

#[test]
fn a_rule_leads_to_a_paused_deployment_all_the_same() {
    let rule = "match = [{ to = \"a\", headers = { x-canary = \"yes\" } }]";
    let mut service = Fixture::new(rule, &WEIGHTS);
    service.pause(&[true, false, false]);
    let request = get(&[("x-canary", "yes")]);
    assert_eq!(service.choose(&request).deployment, 0);
    assert_eq!(service.choose_another(&request), None);
}

#[test]
fn a_request_whose_deployment_was_paused_just_now_finds_another_before_the_split_knows() {
    let mut service = Fixture::new("", &WEIGHTS);
    service.set_phases(&[true, false, false]);
    service.apply();
    for _ in 0..10 {
        let another = service.choose_another(&get(&[]));
        assert!(matches!(another, Some(1 | 2)), "{another:?}");
    }
    // And so does one when the split knows of one and not yet of the next.
    service.follow();
    service.set_phases(&[true, true, false]);
    service.apply();
    for _ in 0..10 {
        assert_eq!(service.choose_another(&get(&[])), Some(2));
    }
}
