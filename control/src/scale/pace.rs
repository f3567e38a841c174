//! How fast the desired count may change.

use std::time::Duration;

use penstock_config::{DownPace, UpPace};

use super::history::History;

/// The most that may be desired now: at no start of a rolling period that ends now may the count
/// have been so low that this would be more than `percent` growth, rounded up. Hence the lowest
/// count of the last period decides, and going down in between gives no extra room. The base is
/// at least 1: a percentage of nothing would be nothing for ever.
pub(super) fn most(up: &UpPace, history: &History, before: u32, now: Duration) -> u32 {
    let base = history
        .lowest(up.period, now)
        .unwrap_or(before)
        .min(before)
        .max(1);
    grown(base, up.percent)
}

/// The least that may be desired now, by the same reasoning from the highest count.
pub(super) fn least(down: &DownPace, history: &History, before: u32, now: Duration) -> u32 {
    let base = history
        .highest(down.period, now)
        .unwrap_or(before)
        .max(before);
    let share = u64::from(base) * u64::from(down.percent.min(100)) / 100;
    // One worker at least, or a small fleet could never shrink.
    let share = u32::try_from(share).unwrap_or(u32::MAX).max(1);
    base.saturating_sub(share)
}

fn grown(base: u32, percent: u32) -> u32 {
    let grown = (u64::from(base) * (100 + u64::from(percent))).div_ceil(100);
    u32::try_from(grown).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn two_hundred_percent_of_one_is_three_and_of_nothing_too() {
        assert_eq!(grown(1, 200), 3);
        assert_eq!(grown(1, 10), 2, "rounded up, or it would stick");
        assert_eq!(grown(u32::MAX, 200), u32::MAX);
    }

    #[test]
    fn going_down_inside_the_period_gives_no_extra_room() {
        let up = UpPace {
            percent: 200,
            period: at(60),
            burst_from_zero: false,
        };
        let mut history = History::default();
        history.record(10, at(60), at(0));
        history.record(2, at(60), at(10));
        history.record(6, at(60), at(20));
        assert_eq!(most(&up, &history, 6, at(30)), 6);
        assert_eq!(most(&up, &history, 6, at(80)), 18);
    }

    #[test]
    fn the_share_taken_away_counts_from_the_highest_of_the_period() {
        let down = DownPace {
            stable_for: Some(at(1)),
            step: 100,
            percent: 50,
            period: at(60),
        };
        let mut history = History::default();
        history.record(10, at(60), at(0));
        history.record(7, at(60), at(10));
        assert_eq!(least(&down, &history, 7, at(20)), 5);
        assert_eq!(least(&down, &history, 7, at(400)), 4);
    }
}
