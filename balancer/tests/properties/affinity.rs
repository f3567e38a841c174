//! Hashed requests stay where they belong.

use penstock_balancer::{Candidate, Overflow, Picker, Policy, Query};
use proptest::{collection::btree_map, prelude::*};

use crate::workers::{limited, query, worker, workers};

/// The slot that each of `keys` keys goes to when nothing is in flight.
fn owners(list: &[(u32, u32)], keys: u64) -> Vec<u32> {
    let all = list
        .iter()
        .map(|(slot, weight)| worker(*slot, *weight))
        .collect();
    let picker = Picker::new(Policy::Hash(Overflow::AboveMean(1.25)), all, None);
    (0..keys)
        .map(|number| {
            let index = picker.pick(&query(number)).expect("nobody has a limit");
            picker.candidates()[index].vitals.gate().release();
            picker.candidates()[index].slot
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_change_of_one_worker_moves_only_keys_to_it_or_from_it(
        list in btree_map(0_u32..40, 1_u32..6, 1..20),
        slot in 0_u32..40,
        weight in 0_u32..6,
    ) {
        let before: Vec<(u32, u32)> = list.clone().into_iter().collect();
        let mut after: Vec<(u32, u32)> = list.into_iter().filter(|(other, _)| *other != slot).collect();
        if weight > 0 {
            after.push((slot, weight));
        }
        prop_assume!(!after.is_empty());
        for (was, is) in owners(&before, 1_000).into_iter().zip(owners(&after, 1_000)) {
            prop_assert!(was == is || was == slot || is == slot);
        }
    }

    #[test]
    fn no_worker_gets_more_than_the_bound_on_its_load(
        weights in proptest::collection::vec(1_u32..6, 2..10),
        hot in 1_u64..4,
    ) {
        let picker = Picker::new(Policy::Hash(Overflow::AboveMean(1.25)), workers(&weights), None);
        let sum: f64 = weights.iter().copied().map(f64::from).sum();
        for total in 0..300_u32 {
            let index = picker.pick(&query(u64::from(total) % hot)).expect("nobody has a limit");
            let in_flight = f64::from(picker.candidates()[index].vitals.gate().in_flight());
            let share = f64::from(weights[index]) / sum;
            prop_assert!(in_flight <= (1.25 * (f64::from(total) + 1.0) * share).ceil().max(1.0));
        }
    }
}

#[test]
fn ejected_workers_do_not_lower_the_bound_on_the_load_of_the_others() {
    let all = workers(&[1; 4]);
    for out in &all[1..3] {
        out.vitals.gate().eject();
    }
    let picker = Picker::new(Policy::Hash(Overflow::AboveMean(2.0)), all, None);
    // One hot key may fill its worker up to twice its share, which is all of it when two work.
    for _ in 0..100 {
        let index = picker.pick(&query(1)).expect("nobody has a limit");
        assert!(index == 0 || index == 3);
    }
    let in_flight = |index: usize| picker.candidates()[index].vitals.gate().in_flight();
    assert_eq!(in_flight(0).max(in_flight(3)), 100);
}

#[test]
fn one_worker_more_takes_its_share_of_the_keys_and_no_other_moves() {
    for count in [10, 100, 1_000] {
        let list: Vec<(u32, u32)> = (0..count).map(|slot| (slot, 1)).collect();
        let more: Vec<(u32, u32)> = (0..=count).map(|slot| (slot, 1)).collect();
        let keys = 100_000;
        let moved = owners(&list, keys)
            .into_iter()
            .zip(owners(&more, keys))
            .filter(|(was, is)| was != is)
            .inspect(|(_, is)| assert_eq!(*is, count))
            .count();
        let fair = keys as f64 / f64::from(count + 1);
        assert!(
            (moved as f64 - fair).abs() < 5.0 * fair.sqrt(),
            "{moved} of {fair}"
        );
    }
}

#[test]
fn a_successor_in_the_same_slot_inherits_the_keys() {
    let before: Vec<Candidate> = workers(&[1, 1, 1, 1]);
    let mut after = before.clone();
    after[2].key = 99;
    let policy = Policy::Hash(Overflow::WhenFull);
    let (old, new) = (
        Picker::new(policy, before, None),
        Picker::new(policy, after, None),
    );
    for number in 0..1_000 {
        assert_eq!(old.pick(&query(number)), new.pick(&query(number)));
    }
}

#[test]
fn a_request_without_a_key_goes_anywhere() {
    let picker = Picker::new(Policy::Hash(Overflow::WhenFull), workers(&[1, 3]), None);
    let mut had = [0_u32; 2];
    for number in 0..10_000 {
        let mut query = query(number);
        query.hash = None;
        had[picker.pick(&query).expect("nobody has a limit")] += 1;
    }
    assert!(had[0].abs_diff(2_500) < 250, "{had:?}");
}

#[test]
fn a_full_worker_is_waited_for_or_passed_over_as_told() {
    for (overflow, second) in [(Overflow::Never, false), (Overflow::WhenFull, true)] {
        let all = (0..4).map(|slot| limited(slot, 1, Some(1))).collect();
        let picker = Picker::new(Policy::Hash(overflow), all, None);
        let home = picker.pick(&query(1)).expect("all are free");
        let next = picker.pick(&query(1));
        assert_eq!(next.is_some(), second);
        assert_ne!(next, Some(home));
        picker.candidates()[home].vitals.gate().release();
        assert_eq!(picker.pick(&query(1)), Some(home));
    }
}

#[test]
fn a_worker_that_is_out_is_not_waited_for() {
    let picker = Picker::new(Policy::Hash(Overflow::Never), workers(&[1, 1, 1]), None);
    let home = picker.pick(&query(1)).expect("all are free");
    picker.candidates()[home].vitals.gate().eject();
    let second = picker.pick(&query(1)).expect("two are left");
    assert_ne!(second, home);
    picker.candidates()[second].vitals.gate().close();
    assert!(
        picker
            .pick(&query(1))
            .is_some_and(|third| third != home && third != second)
    );
}

#[test]
fn ejected_workers_do_not_count_in_the_mean() {
    // Three of four are out: the last one has all of the load, which is no reason to scatter it.
    let picker = Picker::new(
        Policy::Hash(Overflow::AboveMean(1.25)),
        workers(&[1, 1, 1, 1]),
        None,
    );
    let gate = |index: usize| picker.candidates()[index].vitals.gate();
    (1..4).for_each(|index| gate(index).eject());
    (0..10).for_each(|number| assert_eq!(picker.pick(&query(number)), Some(0)));
    gate(1).readmit();
    // Its share of eleven is six and a bit: nothing more until the other one has as many.
    for number in 10..16 {
        assert_eq!(picker.pick(&query(number)), Some(1));
    }
}

#[test]
fn the_overflow_of_hot_keys_spreads_over_all_workers() {
    // Keys of one home worker: what it cannot take must not all go to the same neighbour.
    let all: Vec<Candidate> = (0..10).map(|slot| limited(slot, 1, Some(1))).collect();
    let picker = Picker::new(Policy::Hash(Overflow::WhenFull), all, None);
    let mut second = [0_u32; 10];
    for number in 0..20_000 {
        let home = picker.pick(&query(number)).expect("all are free");
        if home == 0 {
            let next = picker.pick(&query(number)).expect("nine are free");
            second[next] += 1;
            picker.candidates()[next].vitals.gate().release();
        }
        picker.candidates()[home].vitals.gate().release();
    }
    let ninth = second.iter().sum::<u32>() / 9;
    assert!(
        second[1..]
            .iter()
            .all(|had| had.abs_diff(ninth) < ninth / 3),
        "{second:?}"
    );
}

#[test]
fn the_worker_that_is_waited_for_is_the_one_that_would_be_picked() {
    let picker = Picker::new(Policy::Hash(Overflow::Never), workers(&[1, 2, 3, 1]), None);
    picker.candidates()[1].vitals.gate().eject();
    picker.candidates()[3].vitals.gate().close();
    for number in 0..1_000 {
        let query = query(number);
        let avoiding = Query {
            avoid: &[2],
            ..query
        };
        for query in [query, avoiding] {
            let home = picker.home(&query);
            assert!(home.is_some());
            assert_eq!(home, picker.pick(&query));
        }
        assert_eq!(
            picker.home(&Query {
                hash: None,
                ..query
            }),
            None
        );
        let nowhere = Query {
            avoid: &[0, 2],
            ..query
        };
        assert_eq!(picker.home(&nowhere), None);
    }
    for policy in crate::workers::POLICIES {
        let picker = Picker::new(policy, workers(&[1, 2]), None);
        assert!(!picker.has_homes() && picker.home(&query(1)).is_none());
    }
}
