//! Deployments get what their weights say, and keys move only when they must.

use penstock_balancer::{Share, SplitPolicy, SplitQuery, Splitter, key};
use proptest::{collection::vec, prelude::*};

fn shares(weights: &[u32]) -> Vec<Share> {
    (0..)
        .zip(weights)
        .map(|(key, weight)| Share {
            key,
            weight: *weight,
        })
        .collect()
}

fn turn(split: &Splitter) -> Option<usize> {
    let query = SplitQuery {
        seed: 0,
        hash: None,
    };
    split.choose(&query, |_| 1.0, |_| true)
}

fn owner(split: &Splitter, number: u64, may_take: impl Fn(usize) -> bool) -> Option<usize> {
    let query = SplitQuery {
        seed: 0,
        hash: Some(key(&number.to_le_bytes())),
    };
    split.choose(&query, |_| 1.0, may_take)
}

/// Weights of which at least one is not 0.
fn weights() -> impl Strategy<Value = Vec<u32>> {
    vec(0_u32..50, 1..6).prop_filter("somebody takes", |all| all.iter().any(|weight| *weight > 0))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_window_of_a_hundred_is_exact_in_percent_however_the_weights_changed_before(
        history in vec((0_u32..=100, 0_usize..150), 0..4),
        percent in 0_u32..=100,
    ) {
        let mut split = Splitter::new(SplitPolicy::Turns, shares(&[100, 0]), None);
        for (percent, turns) in history {
            split = Splitter::new(SplitPolicy::Turns, shares(&[100 - percent, percent]), Some(&split));
            (0..turns).for_each(|_| assert!(turn(&split).is_some()));
        }
        split = Splitter::new(SplitPolicy::Turns, shares(&[100 - percent, percent]), Some(&split));
        // The first hundred settle what the weights before still owed, by less than a turn.
        let first = (0..100).filter(|_| turn(&split) == Some(1)).count();
        prop_assert!(first.abs_diff(percent as usize) <= 1);
        let chosen: Vec<Option<usize>> = (0..300).map(|_| turn(&split)).collect();
        for window in chosen.windows(100) {
            let canary = window.iter().filter(|chosen| **chosen == Some(1)).count();
            prop_assert_eq!(canary, percent as usize);
        }
    }

    #[test]
    fn a_key_moves_only_to_a_raised_or_from_a_lowered_deployment(
        before in weights(),
        index in 0_usize..6,
        weight in 1_u32..50,
    ) {
        let mut after = before.clone();
        let index = index % after.len();
        after[index] = weight;
        let split = |weights: &[u32]| Splitter::new(SplitPolicy::Turns, shares(weights), None);
        let (old, new) = (split(&before), split(&after));
        for number in 0..500 {
            let (was, is) = (owner(&old, number, |_| true), owner(&new, number, |_| true));
            let moved = if weight > before[index] { is } else { was };
            prop_assert!(was == is || moved == Some(index));
        }
    }

    #[test]
    fn while_a_deployment_is_away_only_its_own_keys_are_elsewhere(
        weights in weights(),
        away in 0_usize..6,
    ) {
        let split = Splitter::new(SplitPolicy::Hash, shares(&weights), None);
        for number in 0..500 {
            let home = owner(&split, number, |_| true);
            let now = owner(&split, number, |index| index != away);
            prop_assert_ne!(now, Some(away));
            prop_assert!(home == Some(away) || now == home);
        }
    }
}

#[test]
fn turns_are_exact_when_many_threads_take_them() {
    let split = Splitter::new(SplitPolicy::Turns, shares(&[93, 5, 2]), None);
    let mut had = [0; 3];
    std::thread::scope(|scope| {
        let take = || (0..2_500).filter_map(|_| turn(&split)).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
        for thread in threads {
            let turns = thread.join().expect("a counting thread does not panic");
            turns.into_iter().for_each(|chosen| had[chosen] += 1);
        }
    });
    assert_eq!(had, [9_300, 500, 200]);
}

#[test]
fn shares_of_a_hundred_thousand_keys_are_right_within_one_percent() {
    const KEYS: u64 = 100_000;
    for weights in [[95, 5], [90, 10], [80, 20], [50, 50]] {
        let split = Splitter::new(SplitPolicy::Turns, shares(&weights), None);
        let canary = (0..KEYS).filter(|number| owner(&split, *number, |_| true) == Some(1));
        let share = canary.count() as f64 / KEYS as f64;
        assert!(
            (share - f64::from(weights[1]) / 100.0).abs() < 0.01,
            "{share}"
        );
    }
}
