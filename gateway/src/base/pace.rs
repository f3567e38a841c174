//! Whether a client that is waited for sends, or takes, as much as it must. Told the time and the bytes.
//!
//! What is kept is how far a client is behind: the time during which it was waited for, less the time that
//! the bytes which moved may take. Time during which nobody waited for it never counts, so a stream that is
//! idle on purpose is never behind; and bytes that came early excuse no later silence.

use std::time::Duration;

use penstock_config::MinRate;

/// The account of one body.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Pace {
    behind: Duration,
}

impl Pace {
    /// It was waited for `waited`, until these bytes moved: whether the client is too slow.
    pub(crate) fn moved(&mut self, rate: MinRate, waited: Duration, bytes: u64) -> bool {
        if rate.bytes_per_second == 0 {
            return false;
        }
        let behind = self.behind.saturating_add(waited);
        self.behind = behind.saturating_sub(time_for(rate, bytes));
        self.behind >= rate.window
    }

    /// When the client is too slow, if it is waited for since `since` and nothing moves.
    pub(crate) fn ends(&self, rate: MinRate, since: Duration) -> Option<Duration> {
        let left = rate.window.saturating_sub(self.behind);
        (rate.bytes_per_second > 0).then(|| since + left)
    }
}

/// How long these bytes may take.
fn time_for(rate: MinRate, bytes: u64) -> Duration {
    let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(rate.bytes_per_second.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// The account of an answer. What is written lies in the buffers of both systems, which may last a slow
/// client for minutes: so one that seems to stand still is judged by what its system has acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Taking {
    pace: Pace,
    /// When it was looked at last while the client was waited for, and what was written by then.
    seen: Option<(Duration, u64)>,
    /// What its system had acknowledged then; `Some(None)` when it was asked in vain.
    acknowledged: Option<Option<u64>>,
}

/// The share of the window after which a client's system is asked.
const ASKED_AFTER: u32 = 8;

impl Taking {
    /// The client is waited for, and `written` bytes were written for it in all: whether it is too slow.
    /// What its system has acknowledged is asked for only where that matters, and is unknown where it is not
    /// the connection that the bytes wait for.
    pub(crate) fn looks(
        &mut self,
        rate: MinRate,
        now: Duration,
        written: u64,
        acknowledged: impl FnOnce() -> Option<u64>,
    ) -> bool {
        let Some((at, before)) = self.seen.replace((now, written)) else {
            return false;
        };
        let waited = now.saturating_sub(at);
        let taken = written.saturating_sub(before);
        let Some(known) = self.acknowledged else {
            self.pace.moved(rate, waited, taken);
            if self.pace.behind >= rate.window / ASKED_AFTER && rate.bytes_per_second > 0 {
                // What it took before that is not known. It counts from now on.
                self.pace = Pace::default();
                self.acknowledged = Some(acknowledged());
            }
            return false;
        };
        let told = acknowledged().or(known);
        let through = told
            .zip(known)
            .map_or(0, |(told, known)| told.saturating_sub(known));
        let is_too_slow = self.pace.moved(rate, waited, taken.max(through));
        let has_caught_up = self.pace == Pace::default();
        self.acknowledged = (!has_caught_up).then_some(told);
        is_too_slow
    }

    /// When it must be looked at next, if nothing is written. Nothing is to be said before it was looked at.
    pub(crate) fn next_look(&self, rate: MinRate) -> Option<Duration> {
        let (at, _) = self.seen?;
        let limit = match self.acknowledged {
            Some(_) => rate.window,
            None => rate.window / ASKED_AFTER,
        };
        (rate.bytes_per_second > 0).then(|| at + limit.saturating_sub(self.pace.behind))
    }

    /// It is not the client that is waited for.
    pub(crate) fn rests(&mut self) {
        self.seen = None;
        self.acknowledged = None;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WINDOW: Duration = Duration::from_secs(30);
    const RATE: MinRate = MinRate {
        bytes_per_second: 240,
        window: WINDOW,
    };

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// When a client is too slow that moves so many bytes each second, within an hour.
    fn ends_after(bytes: u64) -> Option<u64> {
        let mut pace = Pace::default();
        (1..3600).find(|_| pace.moved(RATE, seconds(1), bytes))
    }

    #[test]
    fn who_is_slower_than_the_rate_is_too_slow_after_the_window_or_a_little_more() {
        assert_eq!(ends_after(0), Some(30));
        assert_eq!(ends_after(1), Some(31));
        assert_eq!(ends_after(120), Some(60));
        assert_eq!(ends_after(240), None);
    }

    #[test]
    fn what_came_early_excuses_no_later_silence() {
        let mut pace = Pace::default();
        assert!(!pace.moved(RATE, seconds(1), 1 << 30));
        assert_eq!(pace.ends(RATE, seconds(1)), Some(seconds(31)));
    }

    #[test]
    fn without_a_rate_nobody_is_too_slow() {
        let none = MinRate {
            bytes_per_second: 0,
            window: WINDOW,
        };
        let mut pace = Pace::default();
        assert!(!pace.moved(none, Duration::MAX, 0));
        assert_eq!(pace.ends(none, seconds(1)), None);
        let mut taking = Taking::default();
        for at in 0..100 {
            assert!(!taking.looks(none, seconds(at * 100), 0, || unreachable!()));
        }
        assert_eq!(taking.next_look(none), None);
    }

    /// When a reader is too slow that is looked at when it must be, with what was acknowledged by then.
    fn reads(acknowledged: impl Fn(u64) -> Option<u64>) -> Option<Duration> {
        let mut taking = Taking::default();
        let mut now = Duration::ZERO;
        while now < seconds(1000) {
            if taking.looks(RATE, now, 0, || acknowledged(now.as_secs())) {
                return Some(now);
            }
            let next = taking.next_look(RATE).expect("it is being looked at");
            assert!(next > now, "no look changes nothing");
            now = next;
        }
        None
    }

    #[test]
    fn a_reader_is_judged_by_what_its_system_has_acknowledged() {
        let first = WINDOW / ASKED_AFTER;
        assert_eq!(reads(|_| Some(7)), Some(first + WINDOW));
        assert_eq!(reads(|_| None), Some(first + WINDOW));
        assert_eq!(reads(|at| Some(at * 10_000)), None);
        assert_eq!(reads(|at| Some(at * 240)), None);
        assert!(reads(Some).is_some_and(|at| at < seconds(40)));
    }

    #[test]
    fn a_reader_that_catches_up_is_not_asked_for_more_than_is_seen() {
        let mut taking = Taking::default();
        for at in [0, 10] {
            assert!(!taking.looks(RATE, seconds(at), 0, || Some(0)));
        }
        assert!(taking.acknowledged.is_some());
        assert!(!taking.looks(RATE, seconds(20), 100_000, || Some(0)));
        assert!(taking.acknowledged.is_none());
        assert!(!taking.looks(RATE, seconds(21), 200_000, || unreachable!()));
    }

    proptest! {
        #[test]
        fn who_keeps_the_rate_whenever_it_is_waited_for_is_never_too_slow(
            waits in prop::collection::vec((0u64..29_000, 0u64..100_000), 1..200),
        ) {
            let mut pace = Pace::default();
            for (waited, more) in waits {
                let waited = Duration::from_millis(waited);
                let bytes = (waited.as_millis() as u64 * 240).div_ceil(1000) + more;
                prop_assert!(!pace.moved(RATE, waited, bytes));
                prop_assert!(pace.ends(RATE, Duration::ZERO) >= Some(WINDOW));
            }
        }

        #[test]
        fn who_is_waited_for_all_the_time_is_too_slow_just_when_it_is_a_window_behind(
            moves in prop::collection::vec((1u64..5_000, 0u64..2_000), 1..200),
        ) {
            let mut pace = Pace::default();
            let (mut behind, mut is_too_slow) = (0i64, false);
            for (waited, bytes) in moves {
                is_too_slow |= pace.moved(RATE, Duration::from_millis(waited), bytes);
                behind = (behind + waited as i64 * 240_000 - bytes as i64 * 1_000_000).max(0);
                // Within a thousandth of a second, which rounding may cost.
                if behind >= 30_001 * 240_000 {
                    prop_assert!(is_too_slow);
                    return Ok(());
                }
                prop_assert!(!is_too_slow || behind >= 29_999 * 240_000);
                if is_too_slow {
                    return Ok(());
                }
            }
        }

        /// Whatever else happens, a reader whose system acknowledges what it must is never too slow.
        #[test]
        fn no_reader_that_keeps_the_rate_is_too_slow_however_it_is_looked_at(
            looks in prop::collection::vec((1u64..3_000, any::<bool>(), any::<bool>()), 1..300),
        ) {
            let mut taking = Taking::default();
            let (mut now, mut written) = (0u64, 0u64);
            for (passes, rests, writes) in looks {
                now += passes;
                if writes {
                    written = now * 240 / 1000;
                }
                if rests {
                    taking.rests();
                }
                let acknowledged = (now * 240).div_ceil(1000) + 1;
                prop_assert!(!taking.looks(RATE, Duration::from_millis(now), written, || Some(acknowledged)));
            }
        }

        /// And one that takes nothing is too slow within the window and a quarter, and the time between looks.
        #[test]
        fn a_reader_that_takes_nothing_is_too_slow_in_time(
            looks in prop::collection::vec(1u64..1_000, 200..201),
            knows in any::<bool>(),
        ) {
            let mut taking = Taking::default();
            let mut now = 0;
            for passes in looks {
                now += passes;
                if taking.looks(RATE, Duration::from_millis(now), 5, || knows.then_some(1)) {
                    prop_assert!(now >= 30_000);
                    return Ok(());
                }
                prop_assert!(now <= 37_500 + 3_000);
            }
        }
    }
}
