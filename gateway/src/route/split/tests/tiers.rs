//! Deployments of several tiers.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

impl Fixture {
    fn above(&self, tier: u8, hash: Option<u64>) -> Option<usize> {
        let by = (hash, Duration::ZERO);
        let above = self.state.choose_in(tier + 1..=u8::MAX, by, |_| true)?;
        let deployments = &self.state.deployments;
        deployments.iter().position(|one| Arc::ptr_eq(one, above))
    }
}

#[test]
fn requests_go_to_the_lowest_tier_and_are_split_within_it() {
    let service = Fixture::new(
        "",
        &[
            ("weight = 3", 1),
            ("weight = 1\ntier = 1", 1),
            ("weight = 1", 1),
            ("weight = 4\ntier = 1", 1),
            ("tier = 7", 1),
        ],
    );
    assert_eq!(service.shares(40), [30, 0, 10, 0, 0]);
    assert!(service.choose(&get(&[])).may_overflow);
    let mut had = [0; 5];
    for _ in 0..40 {
        had[service.above(0, None).unwrap()] += 1;
    }
    assert_eq!(had, [0, 8, 0, 32, 0]);
    assert_eq!(service.above(1, None), Some(4));
    assert_eq!(service.above(7, None), None);
    let weights: Vec<u32> = service.state.shares().map(|(_, weight)| weight).collect();
    assert_eq!(weights, [3, 1, 1, 4, 1]);
}

#[test]
fn nothing_overflows_where_there_is_one_tier_or_a_rule_says_where_to_go() {
    let one = Fixture::new("", &[("", 1), ("", 1)]);
    assert!(!one.choose(&get(&[])).may_overflow);
    assert_eq!(one.above(0, None), None);
    let rule = "match = [{ to = \"a\", headers = { x-own = \"1\" } }]";
    let two = Fixture::new(rule, &[("", 1), ("tier = 1", 1)]);
    let ruled = two.choose(&get(&[("x-own", "1")]));
    assert_eq!((ruled.deployment, ruled.may_overflow), (0, false));
    assert!(two.choose(&get(&[])).may_overflow);
}

#[test]
fn what_binds_a_client_holds_in_every_tier() {
    let settings = "sticky = { header = \"x-user\" }";
    let parts = ["", "", "tier = 1", "tier = 1", "tier = 1"];
    let service = Fixture::new(settings, &parts.map(|keys| (keys, 1)));
    let mut seen = BTreeSet::new();
    for user in 0..50 {
        let request = get(&[("x-user", &user.to_string())]);
        let head = RequestHead::of(&request, &service.forwarding, &service.settings);
        let hash = service.state.binding(&head);
        assert!(hash.is_some());
        let first = service.above(0, hash);
        assert_eq!(service.above(0, hash), first);
        seen.insert(first);
    }
    assert_eq!(seen.len(), 3);
}

#[test]
fn a_tier_of_which_all_are_paused_is_passed_over() {
    let mut service = Fixture::new("", &[("", 1), ("", 1), ("tier = 1", 1), ("tier = 2", 1)]);
    let pause = |service: &mut Fixture, which: &[usize]| {
        for (index, part) in service.fleet.deployments.iter_mut().enumerate() {
            part.phase = match which.contains(&index) {
                true => Phase::Paused {
                    reason: "maintenance".into(),
                    until: None,
                },
                false => Phase::Warm,
            };
        }
        service.apply();
        service.follow();
    };
    pause(&mut service, &[0]);
    assert_eq!(service.shares(4), [0, 4, 0, 0]);
    pause(&mut service, &[0, 1]);
    assert_eq!(service.shares(4), [0, 0, 4, 0]);
    assert_eq!(service.above(1, None), Some(3));
    pause(&mut service, &[0, 1, 2]);
    assert_eq!(service.shares(4), [0, 0, 0, 4]);
    assert!(!service.choose(&get(&[])).may_overflow);
    // Who refuses is the tier that requests are for.
    pause(&mut service, &[0, 1, 2, 3]);
    assert_eq!(service.shares(4), [2, 2, 0, 0]);
    pause(&mut service, &[]);
    assert_eq!(service.shares(4), [2, 2, 0, 0]);
}

proptest! {
    #[test]
    fn a_request_climbs_every_tier_with_a_weight_once_and_in_order(
        parts in prop::collection::vec((0_u8..4, 0_u32..4), 1..7),
        paused in prop::collection::vec(any::<bool>(), 7),
        hash in prop::option::of(any::<u64>()),
    ) {
        // One of tier 0 takes traffic, as the file must have it.
        let mut parts = parts;
        parts[0] = (0, parts[0].1.max(1));
        let keys: Vec<String> = parts
            .iter()
            .map(|(tier, weight)| format!("weight = {weight}\ntier = {tier}"))
            .collect();
        let keys: Vec<(&str, u32)> = keys.iter().map(|keys| (keys.as_str(), 1)).collect();
        let mut service = Fixture::new("", &keys);
        for (part, paused) in service.fleet.deployments.iter_mut().zip(&paused) {
            if *paused {
                part.phase = Phase::Paused { reason: "x".into(), until: None };
            }
        }
        service.apply();
        service.follow();
        let open = |index: &usize| parts[*index].1 > 0 && !paused[*index];
        let open: Vec<usize> = (0..parts.len()).filter(open).collect();
        let tiers: BTreeSet<u8> = open.iter().map(|index| parts[*index].0).collect();
        let first = service.choose(&get(&[])).deployment;
        prop_assert!(parts[first].1 > 0);
        if tiers.is_empty() {
            // All are paused: the lowest tier refuses.
            prop_assert_eq!(parts[first].0, 0);
            prop_assert_eq!(service.above(0, hash), None);
            return Ok(());
        }
        let mut climbed = vec![parts[first].0];
        prop_assert!(open.contains(&first));
        while let Some(next) = service.above(*climbed.last().unwrap(), hash) {
            prop_assert!(open.contains(&next));
            climbed.push(parts[next].0);
        }
        prop_assert_eq!(climbed, tiers.into_iter().collect::<Vec<_>>());
    }
}
