use super::*;

fn entries(weights: &[u32]) -> Vec<Entry> {
    weights
        .iter()
        .zip(0..)
        .map(|(weight, key)| Entry {
            key,
            weight: *weight,
        })
        .collect()
}

fn take(rotation: &Rotation, turns: usize) -> Vec<usize> {
    (0..turns)
        .map(|_| rotation.next(|_| true).expect("somebody has turns"))
        .collect()
}

#[test]
fn equal_weights_take_turns_in_the_order_of_the_list() {
    let rotation = Rotation::new(entries(&[7, 7, 7]), None);
    assert_eq!(take(&rotation, 7), [0, 1, 2, 0, 1, 2, 0]);
}

#[test]
fn unequal_weights_are_spread_out() {
    let rotation = Rotation::new(entries(&[5, 1, 1]), None);
    assert_eq!(take(&rotation, 7), [0, 0, 0, 1, 0, 0, 2]);
}

#[test]
fn no_weight_means_no_turn() {
    let rotation = Rotation::new(entries(&[0, 3, 0]), None);
    assert_eq!(take(&rotation, 3), [1, 1, 1]);
    assert_eq!(Rotation::new(entries(&[0, 0]), None).next(|_| true), None);
    assert_eq!(Rotation::new(Vec::new(), None).next(|_| true), None);
}

#[test]
fn at_no_point_has_an_entry_a_whole_turn_too_many_or_too_few() {
    for weights in [
        vec![90, 10],
        vec![5, 1, 1],
        vec![1, 2, 3, 4, 5, 6, 7, 8, 9],
        vec![97, 1, 1, 1],
        vec![31, 37, 41, 43, 47],
    ] {
        let sum: u32 = weights.iter().sum();
        let rotation = Rotation::new(entries(&weights), None);
        let mut had = vec![0_u32; weights.len()];
        for (index, turn) in take(&rotation, 2 * sum as usize).into_iter().zip(1_u32..) {
            had[index] += 1;
            for (had, weight) in had.iter().zip(&weights) {
                // |had - turn · weight / sum| < 1, in whole numbers.
                assert!((had * sum).abs_diff(turn * weight) < sum, "{weights:?}");
            }
        }
    }
}

#[test]
fn those_that_refuse_are_passed_over_and_the_others_keep_their_shares() {
    let rotation = Rotation::new(entries(&[1, 4, 2, 2]), None);
    let mut had = [0; 4];
    for _ in 0..500 {
        had[rotation.next(|index| index != 1).unwrap()] += 1;
    }
    assert_eq!(had, [100, 0, 200, 200]);
    assert_eq!(rotation.next(|_| false), None);
}

#[test]
fn everybody_is_asked_before_the_answer_is_none() {
    let rotation = Rotation::new(entries(&[10_000, 1, 1]), None);
    for wanted in [0, 1, 2] {
        assert_eq!(rotation.next(|index| index == wanted), Some(wanted));
    }
}

#[test]
fn everybody_is_asked_also_while_old_debts_are_settled() {
    for taken in 0..20 {
        let old = Rotation::new(entries(&[60, 30, 10]), None);
        take(&old, taken);
        for wanted in [1, 2] {
            let new = Rotation::new(entries(&[0, 30, 10]), Some(&old));
            for _ in 0..10 {
                let next = new.next(|index| index == wanted);
                assert_eq!(next, Some(wanted), "after {taken} turns");
            }
        }
    }
}

#[test]
fn an_unchanged_list_goes_on_with_the_same_counter() {
    let old = Rotation::new(entries(&[2, 1]), None);
    take(&old, 1);
    let new = Rotation::new(entries(&[2, 1]), Some(&old));
    let together: Vec<_> = (0..3)
        .flat_map(|_| [&old, &new])
        .map(|rotation| rotation.next(|_| true).unwrap())
        .collect();
    assert_eq!(together, [0, 1, 0, 0, 1, 0]);
}

#[test]
fn a_worker_that_stays_keeps_its_share_although_the_list_changes_after_every_turn() {
    // Worker 9 comes and goes; 0 and 1 stay, with weights 5 and 1.
    let with = |extra: bool| {
        let mut list = entries(&[5, 1]);
        if extra {
            list.push(Entry { key: 9, weight: 1 });
        }
        list
    };
    let mut rotation = Rotation::new(with(false), None);
    let mut had = [0_u32; 3];
    for round in 0..6_000 {
        rotation = Rotation::new(with(round % 2 == 0), Some(&rotation));
        had[rotation.next(|_| true).unwrap()] += 1;
    }
    // Worker 9 never stays until its turn; it must not disturb the others.
    assert_eq!(had, [5_000, 1_000, 0]);
}

#[test]
fn huge_weights_are_rounded_to_a_bounded_table() {
    let rotation = Rotation::new(entries(&[u32::MAX, u32::MAX - 1, 1]), None);
    assert!(rotation.cycle.len() as u64 <= TURNS_MAX + 1);
    assert_eq!(rotation.shares[2], 1);
    assert!(rotation.shares[0].abs_diff(rotation.shares[1]) <= 1);
}
