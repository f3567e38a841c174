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
    let all_are_five = played.between(12, 240).all(|desired| desired == 5);
    assert!(all_are_five, "five clients: {}", played.timeline);
    assert_eq!(count(&played, 0, 240, " starts"), 5, "{}", played.timeline);
}

/// All 20 of `max` were wanted within three seconds, where three serve the load.
#[test]
fn a_stream_of_quick_requests_at_zero_does_not_order_all_that_there_may_be() {
    let played = Played::of("five_a_second_from_zero");
    assert!(most(&played, 10, 30) <= 6, "{}", played.timeline);
    assert!(most(&played, 30, 600) <= 12, "{}", played.timeline);
    assert!(played.between(180, 600).all(|desired| desired == 3));
}

/// Workers went and were started again, 22 changes in half an hour.
#[test]
fn a_steady_noisy_load_changes_the_count_at_most_ten_times_in_half_an_hour() {
    let played = Played::of("constant_noisy_load");
    let changes = count(&played, 120, 2100, "→");
    assert!(changes <= 10, "{changes}: {}", played.timeline);
}

/// All scale-in was held for as long as it was silent.
#[test]
fn one_silent_page_does_not_keep_all_workers() {
    let played = Played::of("one_page_is_silent");
    assert_eq!(most(&played, 180, 240), 4, "{}", played.timeline);
    assert_eq!(most(&played, 590, 600), 1, "{}", played.timeline);
}
