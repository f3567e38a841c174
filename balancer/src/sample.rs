//! A share of a sequence, taken evenly.

use std::sync::atomic::{AtomicU64, Ordering};

/// 2^64 divided by the golden ratio, made odd.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// Takes a share of the requests that ask it, spread as evenly as can be.
///
/// The n-th request is taken if the fraction of n × φ, φ the golden ratio, lies below the share
/// (Weyl's equidistribution). Over any stretch of requests the number taken is a few at most from
/// the share, and the same holds for every second, third, … of them. Taking every tenth would take
/// all of one kind where ten kinds come in turn; drawing at random is uneven.
#[derive(Debug)]
pub struct Sample {
    /// In parts of 2^64; the largest value stands for all.
    share: u64,
    next: AtomicU64,
}

impl Sample {
    /// Takes the share `share`, 0 to 1, beginning where `previous` is.
    pub fn new(share: f64, previous: Option<&Self>) -> Self {
        let next = previous.map_or(0, |previous| previous.next.load(Ordering::Relaxed));
        Self {
            // A conversion from above the range gives the largest value.
            share: (share * 2_f64.powi(64)) as u64,
            next: AtomicU64::new(next),
        }
    }

    /// Whether the next request is taken.
    pub fn take(&self) -> bool {
        let place = self.next.fetch_add(1, Ordering::Relaxed);
        // 1 is all of them, also the one in 2^64 whose fraction is as large as the share can be.
        place.wrapping_mul(STEP) < self.share || self.share == u64::MAX
    }
}
