use super::*;

fn shares(weights: &[u32]) -> Vec<Share> {
    weights
        .iter()
        .zip(0..)
        .map(|(weight, key)| Share {
            key,
            weight: *weight,
        })
        .collect()
}

fn query(seed: u64, hash: Option<u64>) -> SplitQuery {
    SplitQuery { seed, hash }
}

fn anyone(_: usize) -> bool {
    true
}

#[test]
fn every_window_of_the_weight_sum_is_exact() {
    let split = WeightedSplit::new(&shares(&[90, 10]), None);
    let chosen: Vec<_> = (0..50).map(|_| split.choose().unwrap()).collect();
    for window in chosen.windows(10) {
        assert_eq!(window.iter().filter(|chosen| **chosen == 1).count(), 1);
    }
}

#[test]
fn a_deployment_that_takes_nothing_now_leaves_its_share_to_the_others() {
    for policy in [SplitPolicy::Turns, SplitPolicy::Random, SplitPolicy::Hash] {
        let split = Splitter::new(policy, shares(&[50, 30, 20]), None);
        let mut had = [0_u32; 3];
        for seed in 0..10_000 {
            let chosen = split.choose(&query(seed, None), |_| 1.0, |index| index != 0);
            had[chosen.unwrap()] += 1;
        }
        assert_eq!(had[0], 0);
        assert!(had[1].abs_diff(6_000) < 200, "{policy:?}: {had:?}");
        assert_eq!(split.choose(&query(1, None), |_| 1.0, |_| false), None);
    }
}

#[test]
fn a_changed_weight_goes_on_without_a_burst() {
    let mut split = WeightedSplit::new(&shares(&[95, 5]), None);
    let mut canary = 0;
    for percent in [5, 10, 20, 20, 20] {
        split = WeightedSplit::new(&shares(&[100 - percent, percent]), Some(&split));
        canary += (0..20).filter(|_| split.choose() == Some(1)).count();
    }
    // 5 % + 10 % + 3 × 20 % of 20 requests each.
    assert_eq!(canary, 15);
}

#[test]
fn the_least_loaded_deployment_for_its_weight_is_chosen() {
    let split = Splitter::new(SplitPolicy::LeastConnections, shares(&[1, 3, 0]), None);
    let choose = |loads: [u32; 3]| {
        split.choose(
            &query(7, None),
            |index| f64::from(loads[index]) + 1.0,
            anyone,
        )
    };
    assert_eq!(choose([1, 4, 0]), Some(1));
    assert_eq!(choose([1, 6, 0]), Some(0));
    let mut tied = [0; 2];
    for seed in 0..1_000 {
        let chosen = split.choose(&query(seed, None), |index| [2.0, 6.0, 1.0][index], anyone);
        tied[chosen.unwrap()] += 1;
    }
    assert!(tied.iter().all(|had| *had > 400), "{tied:?}");
}

#[test]
fn no_key_leaves_the_canary_while_its_share_is_raised() {
    const KEYS: u64 = 100_000;
    let mut on_canary = vec![false; KEYS as usize];
    for percent in [5, 10, 20, 50, 100] {
        // Only the canary's weight is raised, by as much as makes its share `percent`.
        let weights = match percent {
            100 => [0, 1],
            _ => [100 - percent, percent],
        };
        let split = Splitter::new(SplitPolicy::Hash, shares(&weights), None);
        let mut had = 0_u32;
        for (hash, was) in (0_u64..).zip(&mut on_canary) {
            let is = split.choose(
                &query(0, Some(crate::key(&hash.to_le_bytes()))),
                |_| 1.0,
                anyone,
            ) == Some(1);
            assert!(is || !*was, "a key left the canary at {percent} %");
            *was = is;
            had += u32::from(is);
        }
        let share = f64::from(had) / KEYS as f64;
        assert!((share - f64::from(percent) / 100.0).abs() < 0.01, "{share}");
    }
}

#[test]
fn a_third_deployment_keeps_its_keys_while_a_canary_grows() {
    let owner = |weights: &[u32], hash: u64| {
        let split = Splitter::new(SplitPolicy::Hash, shares(weights), None);
        split.choose(
            &query(0, Some(crate::key(&hash.to_le_bytes()))),
            |_| 1.0,
            anyone,
        )
    };
    for hash in 0..5_000 {
        let (before, after) = (owner(&[80, 5, 15], hash), owner(&[80, 10, 15], hash));
        assert!(before == after || after == Some(1));
    }
}
