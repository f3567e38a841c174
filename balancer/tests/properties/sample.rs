//! A sample has its share over every stretch of requests, whatever their pattern.

use penstock_balancer::Sample;
use proptest::prelude::*;

/// Furthest that the number taken of up to 1,000 requests in a row may be from the share.
const OFF_MAX: f64 = 4.0;

/// The same for 1,000 of which each is the n-th after the one before.
const OFF_MAX_OF_NTH: f64 = 12.0;

fn taken(share: f64, count: usize) -> Vec<bool> {
    let sample = Sample::new(share, None);
    (0..count).map(|_| sample.take()).collect()
}

proptest! {
    #[test]
    fn every_stretch_has_the_share_and_so_has_every_nth_request_of_it(
        percent in 0.1_f64..100.0,
        begin in 0_usize..100_000,
        length in 1_usize..1_000,
        nth in prop_oneof![Just(1_usize), 2_usize..12],
    ) {
        let share = percent / 100.0;
        let all = taken(share, begin + length * nth);
        let of_stretch = all[begin..].iter().step_by(nth).filter(|taken| **taken).count();
        let off = (of_stretch as f64 - share * length as f64).abs();
        let off_max = if nth == 1 { OFF_MAX } else { OFF_MAX_OF_NTH };
        prop_assert!(off <= off_max, "{of_stretch} of {length} for {percent} %");
    }
}

#[test]
fn none_and_all_are_exact() {
    assert!(taken(0.0, 100_000).iter().all(|taken| !taken));
    assert!(taken(1.0, 100_000).iter().all(|taken| *taken));
}

#[test]
fn the_first_request_is_taken_and_then_one_in_a_hundred() {
    let all = taken(0.01, 10_000);
    assert!(all[0]);
    let count = all.iter().filter(|taken| **taken).count();
    assert!((99..=101).contains(&count), "{count}");
}

#[test]
fn another_share_goes_on_where_the_one_before_was() {
    let half = Sample::new(0.5, None);
    let first: Vec<bool> = (0..7).map(|_| half.take()).collect();
    let next = Sample::new(0.5, Some(&half));
    let rest = (7..50).map(|_| next.take());
    assert!(first.into_iter().chain(rest).eq(taken(0.5, 50)));
}
