//! Everybody gets the share that its weight says.

use std::collections::BTreeMap;

use penstock_balancer::{Candidate, Picker, Policy, Share, WeightedSplit};
use proptest::{collection::vec, prelude::*};

use crate::workers::{query, worker, workers};

fn pick(picker: &Picker, number: u64) -> usize {
    let index = picker.pick(&query(number)).expect("nobody has a limit");
    picker.candidates()[index].vitals.gate().release();
    index
}

proptest! {
    #[test]
    fn every_window_as_long_as_the_weight_sum_is_exact(weights in vec(1_u32..12, 1..8)) {
        let sum: u32 = weights.iter().sum();
        let shares: Vec<Share> =
            (0..).zip(&weights).map(|(key, weight)| Share { key, weight: *weight }).collect();
        let split = WeightedSplit::new(&shares, None);
        let picker = Picker::new(Policy::RoundRobin, workers(&weights), None);
        let turns = 3 * u64::from(sum);
        let by_split: Vec<usize> = (0..turns).filter_map(|_| split.choose()).collect();
        let by_picker: Vec<usize> = (0..turns).map(|number| pick(&picker, number)).collect();
        for turns in [by_split, by_picker] {
            for window in turns.windows(sum as usize) {
                for (index, weight) in weights.iter().enumerate() {
                    let had = window.iter().filter(|turn| **turn == index).count();
                    prop_assert_eq!(had, *weight as usize);
                }
            }
        }
    }

    #[test]
    fn random_picks_follow_the_weights(weights in vec(1_u32..12, 1..8)) {
        let sum: f64 = weights.iter().copied().map(f64::from).sum();
        let picker = Picker::new(Policy::Random, workers(&weights), None);
        let mut had = vec![0_u32; weights.len()];
        for number in 0..20_000 {
            had[pick(&picker, number)] += 1;
        }
        for (had, weight) in had.iter().zip(&weights) {
            // Five standard deviations at most.
            prop_assert!((f64::from(*had) / 20_000.0 - f64::from(*weight) / sum).abs() < 0.018);
        }
    }

    #[test]
    fn least_connections_fills_workers_in_proportion_to_their_weights(
        weights in vec(1_u32..12, 1..8),
    ) {
        let picker = Picker::new(Policy::LeastConnections, workers(&weights), None);
        let sum: u32 = weights.iter().sum();
        for number in 0..u64::from(10 * sum) {
            prop_assert!(picker.pick(&query(number)).is_some());
        }
        for (worker, weight) in picker.candidates().iter().zip(&weights) {
            prop_assert_eq!(worker.vitals.gate().in_flight(), 10 * weight);
        }
    }
}

#[test]
fn turns_are_exact_when_many_threads_take_them() {
    let picker = Picker::new(Policy::RoundRobin, workers(&[5, 3, 2]), None);
    let mut had = [0_u32; 3];
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut had = [0_u32; 3];
                    (0..10_000).for_each(|number| had[pick(&picker, number)] += 1);
                    had
                })
            })
            .collect();
        for thread in threads {
            let part = thread.join().expect("a counting thread does not panic");
            had.iter_mut()
                .zip(part)
                .for_each(|(sum, part)| *sum += part);
        }
    });
    assert_eq!(had, [20_000, 12_000, 8_000]);
}

#[test]
fn ties_of_least_connections_are_broken_evenly() {
    let picker = Picker::new(Policy::LeastConnections, workers(&[1; 5]), None);
    let mut had = [0_u32; 5];
    (0..10_000).for_each(|number| had[pick(&picker, number)] += 1);
    assert!(had.iter().all(|had| had.abs_diff(2_000) < 200), "{had:?}");
}

#[test]
fn two_choices_keep_a_thousand_workers_level() {
    let picker = Picker::new(Policy::LeastConnections, workers(&[1; 1_000]), None);
    for number in 0..10_000 {
        assert!(picker.pick(&query(number)).is_some());
    }
    let counts = picker
        .candidates()
        .iter()
        .map(|worker| worker.vitals.gate().in_flight());
    // The mean is 10; at random the fullest would have about 21.
    assert!(counts.max() <= Some(14));
}

#[test]
fn a_list_that_rolls_a_hundred_times_a_minute_keeps_the_shares_of_round_robin_level() {
    // Ten workers, 1,000 requests a second for a minute; every 600 ms one worker leaves or that
    // one comes back.
    let everyone: Vec<Candidate> = (0..10).map(|slot| worker(slot, 1)).collect();
    let mut listed = vec![true; everyone.len()];
    let mut picker = Picker::new(Policy::RoundRobin, everyone.clone(), None);
    let mut had: BTreeMap<u64, f64> = BTreeMap::new();
    let mut fair: BTreeMap<u64, f64> = BTreeMap::new();
    for change in 0..100 {
        let turned = change / 2 * 7 % everyone.len();
        listed[turned] = !listed[turned];
        let list: Vec<Candidate> = everyone
            .iter()
            .zip(&listed)
            .filter(|(_, listed)| **listed)
            .map(|(w, _)| w.clone())
            .collect();
        picker = Picker::new(Policy::RoundRobin, list, Some(&picker));
        for number in 0..600 {
            let index = pick(&picker, number);
            *had.entry(picker.candidates()[index].key).or_default() += 1.0;
        }
        for worker in picker.candidates() {
            *fair.entry(worker.key).or_default() += 600.0 / picker.candidates().len() as f64;
        }
    }
    let shares: Vec<f64> = had.iter().map(|(key, had)| had / fair[key]).collect();
    let largest = shares.iter().copied().fold(f64::MIN, f64::max);
    let smallest = shares.iter().copied().fold(f64::MAX, f64::min);
    assert!(largest / smallest <= 1.1, "{shares:?}");
    assert!(
        largest / smallest <= 1.02,
        "nothing is lost at a change: {shares:?}"
    );
}
