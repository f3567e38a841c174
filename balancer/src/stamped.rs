//! A number and the time it was true, in one word that threads can exchange.

use std::time::Duration;

/// A moment in milliseconds, counted modulo 2³².
///
/// Two moments can be told apart while less than 24 days lie between them; something that was not
/// touched for longer may look fresh once more, which costs a worker one misplaced decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp(u32);

impl Stamp {
    pub(crate) fn at(now: Duration) -> Self {
        Self(now.as_millis() as u32)
    }

    /// Time since an earlier stamp; zero if that one is later, as it may be when threads read a
    /// coarse clock at different times.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        let millis = self.0.wrapping_sub(earlier.0) as i32;
        Duration::from_millis(u64::try_from(millis).unwrap_or(0))
    }
}

/// Both in one word.
pub(crate) fn pack(value: f32, at: Stamp) -> u64 {
    (u64::from(value.to_bits()) << 32) | u64::from(at.0)
}

/// Takes the word apart.
pub(crate) fn unpack(word: u64) -> (f32, Stamp) {
    (f32::from_bits((word >> 32) as u32), Stamp(word as u32))
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
    }

    #[test]
    fn a_word_keeps_both() {
        let at = Stamp::at(Duration::from_secs(9));
        assert_eq!(unpack(pack(0.25, at)), (0.25, at));
    }
}
