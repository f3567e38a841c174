//! What must not happen again: faults that users of this program found.

use crate::Played;

fn most(played: &Played, from: u64, to: u64) -> u32 {
    played.between(from, to).max().unwrap_or(0)
}

/// All scale-in was held for as long as it was silent.
#[test]
fn one_silent_page_does_not_keep_all_workers() {
    let played = Played::of("one_page_is_silent");
    assert_eq!(most(&played, 180, 240), 4, "{}", played.timeline);
    assert_eq!(most(&played, 590, 600), 1, "{}", played.timeline);
}
