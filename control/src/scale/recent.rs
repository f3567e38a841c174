//! The largest wish of the last while.

use std::{collections::VecDeque, time::Duration};

/// Wishes of a moving stretch of time, as far as one of them may still become the largest. They fall
/// from the oldest to the newest, so there are never more than different wishes.
#[derive(Debug, Clone, Default)]
pub(super) struct Recent {
    began: Option<Duration>,
    wishes: VecDeque<(Duration, u32)>,
}

impl Recent {
    /// Takes in a wish, and forgets those that are older than `length`.
    pub(super) fn record(&mut self, wish: u32, length: Duration, now: Duration) {
        self.began.get_or_insert(now);
        while self.wishes.back().is_some_and(|(_, last)| *last <= wish) {
            self.wishes.pop_back();
        }
        self.wishes.push_back((now, wish));
        while let Some((at, _)) = self.wishes.front()
            && now.saturating_sub(*at) > length
        {
            // What was before is not known any more.
            self.began = Some(*at);
            self.wishes.pop_front();
        }
    }

    /// The largest wish of the stretch; `None` until it was watched for all of `length`.
    pub(super) fn largest(&self, length: Duration, now: Duration) -> Option<u32> {
        let watched = now.saturating_sub(self.began?);
        let (_, largest) = self.wishes.front()?;
        (watched >= length).then_some(*largest)
    }

    /// The largest of the wishes since all have been below `count`.
    pub(super) fn largest_below(&self, count: u32) -> Option<u32> {
        let mut wishes = self.wishes.iter().map(|(_, wish)| *wish);
        wishes.find(|wish| *wish < count)
    }

    /// For how long at least all wishes have been below `count`.
    pub(super) fn below(&self, count: u32, now: Duration) -> Duration {
        let above = self.wishes.iter().rev().find(|(_, wish)| *wish >= count);
        let since = above.map(|(at, _)| *at).or(self.began);
        now.saturating_sub(since.unwrap_or(now))
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn the_largest_is_known_after_the_whole_length_and_moves_on() {
        let mut recent = Recent::default();
        for (second, wish) in [(0, 9), (10, 4), (20, 6), (30, 2)] {
            recent.record(wish, at(60), at(second));
        }
        assert_eq!(recent.largest(at(60), at(59)), None);
        recent.record(1, at(60), at(60));
        assert_eq!(recent.largest(at(60), at(60)), Some(9));
        recent.record(1, at(60), at(61));
        assert_eq!(recent.largest(at(60), at(61)), Some(6));
        assert_eq!(recent.below(6, at(61)), at(41));
        assert_eq!(recent.below(7, at(61)), at(61));
        recent.record(1, at(60), at(81));
        recent.record(1, at(60), at(100));
        assert_eq!(
            recent.below(7, at(100)),
            at(70),
            "it was 2 at 30, and what was before is forgotten"
        );
    }

    #[test]
    fn it_holds_no_more_than_falling_wishes() {
        let mut recent = Recent::default();
        for second in 0..10_000 {
            let wish = u32::try_from(second % 7).unwrap_or(0);
            recent.record(wish, at(100_000), at(second));
        }
        assert!(recent.wishes.len() <= 7);
    }
}
