//! A number and the time it was true, in one word that threads can exchange.

use std::time::Duration;

/// How far behind others a thread may read the clock.
const SKEW_MAX: Duration = Duration::from_secs(60);

/// A moment in milliseconds, counted modulo 2³²: what was not touched for 49 days looks fresh again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp(u32);

impl Stamp {
    pub(crate) fn at(now: Duration) -> Self {
        Self(now.as_millis() as u32)
    }

    /// Time since an earlier stamp; zero if that one is a little later, as it may be when threads
    /// read the clock at different times.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        let behind = Duration::from_millis(u64::from(earlier.0.wrapping_sub(self.0)));
        if behind <= SKEW_MAX {
            Duration::ZERO
        } else {
            Duration::from_millis(u64::from(self.0.wrapping_sub(earlier.0)))
        }
    }
}

/// Both in one word. A fraction goes in as its bits.
pub(crate) fn pack(value: u32, at: Stamp) -> u64 {
    (u64::from(value) << 32) | u64::from(at.0)
}

/// Takes the word apart.
pub(crate) fn unpack(word: u64) -> (u32, Stamp) {
    ((word >> 32) as u32, Stamp(word as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_passes_across_the_end_of_the_count_and_never_backwards() {
        let end = Duration::from_millis(u64::from(u32::MAX));
        let later = Stamp::at(end + Duration::from_millis(6));
        assert_eq!(later.since(Stamp::at(end)), Duration::from_millis(6));
        assert_eq!(Stamp::at(end).since(later), Duration::ZERO);
        let month = Duration::from_secs(30 * 24 * 3600);
        assert_eq!(Stamp::at(end + month).since(Stamp::at(end)), month);
    }

    #[test]
    fn a_word_keeps_both() {
        let at = Stamp::at(Duration::from_secs(9));
        assert_eq!(unpack(pack(7, at)), (7, at));
    }
}
