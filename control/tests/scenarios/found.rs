//! What must not happen again: faults that users of this program found.

use crate::Played;

/// How often the timeline says this between these seconds.
fn count(played: &Played, from: u64, to: u64, what: &str) -> usize {
    let lines = played.lines(from, to);
    lines.iter().filter(|line| line.contains(what)).count()
}

fn most(played: &Played, from: u64, to: u64) -> u32 {
    played.between(from, to).max().unwrap_or(0)
}

/// Wanted were 5, then 2 when the first was ready, then 3.
#[test]
fn workers_on_their_way_are_not_stopped_while_requests_wait_for_them() {
    let played = Played::of("clients_wait_while_workers_start");
    let counts: Vec<u32> = played.between(10, 120).collect();
    assert!(counts.is_sorted(), "{}", played.timeline);
    let least = played.between(80, 240).min();
    assert!(least >= Some(5), "five clients are there: {least:?}");
    let started = count(&played, 0, 240, " starts");
    assert!((5..=7).contains(&started), "{}", played.timeline);
}

/// All scale-in was held for as long as it was silent.
#[test]
fn one_silent_page_does_not_keep_all_workers() {
    let played = Played::of("one_page_is_silent");
    assert_eq!(most(&played, 180, 240), 4, "{}", played.timeline);
    assert_eq!(most(&played, 590, 600), 1, "{}", played.timeline);
}
