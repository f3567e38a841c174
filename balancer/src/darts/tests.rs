use super::*;

fn board(targets: &[(u32, u32)]) -> Darts {
    let targets: Vec<Target> = targets
        .iter()
        .map(|(slot, weight)| Target {
            slot: *slot,
            weight: *weight,
        })
        .collect();
    Darts::new(&targets)
}

/// The slot each of `keys` keys belongs to.
fn owners(targets: &[(u32, u32)], keys: u64) -> Vec<u32> {
    let darts = board(targets);
    (0..keys)
        .map(|key| darts.winner(mix(key), &[]).unwrap())
        .collect()
}

#[test]
fn shares_are_in_proportion_to_weights_whatever_the_slots() {
    let targets = [(0, 3), (1, 1), (2, 5), (9, 1), (70, 10)];
    let keys = 200_000;
    let owners = owners(&targets, keys);
    for (slot, weight) in targets {
        let had = owners.iter().filter(|owner| **owner == slot).count();
        let share = had as f64 / keys as f64;
        assert!(
            (share - f64::from(weight) / 20.0).abs() < 0.004,
            "{slot}: {share}"
        );
    }
}

#[test]
fn a_worker_that_comes_or_goes_moves_only_its_own_keys() {
    let many: Vec<(u32, u32)> = (0..100).map(|slot| (slot, 1)).collect();
    let before = owners(&many, 20_000);
    // The last one, one in the middle, one that extends the board far beyond its end.
    for gone in [99, 50, 0] {
        let fewer: Vec<_> = many.iter().copied().filter(|t| t.0 != gone).collect();
        for (was, is) in before.iter().zip(owners(&fewer, 20_000)) {
            assert!(*was == is || *was == gone);
        }
    }
    let mut more = many;
    more.push((1_000, 1));
    for (was, is) in before.iter().zip(owners(&more, 20_000)) {
        assert!(*was == is || is == 1_000);
    }
}

#[test]
fn a_changed_weight_moves_keys_to_or_from_its_worker_only() {
    let before = owners(&[(0, 3), (1, 2), (2, 7)], 20_000);
    for weight in [3, 4, 5, 100] {
        for (was, is) in before
            .iter()
            .zip(owners(&[(0, 3), (1, weight), (2, 7)], 20_000))
        {
            assert!(*was == is || is == 1);
        }
    }
    for (was, is) in before.iter().zip(owners(&[(0, 3), (1, 1), (2, 7)], 20_000)) {
        assert!(*was == is || *was == 1);
    }
}

#[test]
fn an_exception_is_as_if_the_worker_were_gone() {
    let darts = board(&[(0, 1), (1, 4), (2, 2), (3, 1)]);
    let without = board(&[(0, 1), (2, 2), (3, 1)]);
    for key in 0..5_000 {
        assert_eq!(darts.winner(key, &[1]), without.winner(key, &[]));
    }
    assert_eq!(darts.winner(1, &[0, 1, 2, 3]), None);
    assert_eq!(board(&[]).winner(1, &[]), None);
}

#[test]
fn slots_that_clash_or_lie_too_far_out_are_replaced() {
    let darts = board(&[(0, 1), (0, 1), (u32::MAX, 1)]);
    let mut had = [0; 3];
    for key in 0..3_000 {
        let slot = darts.winner(mix(key), &[]).unwrap();
        had[darts.worker(slot).unwrap()] += 1;
    }
    assert!(had.iter().all(|had| (900..1_100).contains(had)), "{had:?}");
    assert!(darts.slots.len() <= 3);
}

#[test]
fn a_lonely_worker_far_out_is_found() {
    let darts = board(&[(999, 1)]);
    assert_eq!(darts.winner(5, &[]), Some(999));
    assert_eq!((darts.worker(999), darts.worker(0)), (Some(0), None));
}
