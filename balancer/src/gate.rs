//! The gate before one worker: counts what is in flight and refuses what would be too much.
//!
//! Everything that decides whether a request may pass — closed, ejected, the limit, the count — is
//! one 64-bit word, changed by compare-and-swap only. So the count never passes the limit that was
//! in force at that very moment, whatever the interleaving of arrivals, ends and changes of the
//! limit; and nothing waits for a lock.
//!
//! # Handing over to a queue
//!
//! A place that becomes free while a request is on its way into the queue must not be missed. Every
//! access to the word is sequentially consistent, so that this protocol (Dekker's) loses no wake-up:
//!
//! | the request that ends | the request that arrives |
//! |---|---|
//! | 1. [`Gate::release`] | 1. `waiting += 1`, `SeqCst` |
//! | 2. read `waiting`, `SeqCst`; wake one if above 0 | 2. [`Gate::try_acquire`]; wait if refused |
//!
//! In the single order of all these steps one of the two second steps comes last, and sees the other
//! side's first step. The same holds for [`Gate::set_limit`], [`Gate::open`] and [`Gate::readmit`]
//! in place of `release`, and for a [`Picker`](crate::Picker) in place of `try_acquire`: it returns
//! `None` only after it has seen every gate refuse.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering::SeqCst},
};

/// Takes no new request because the worker is going away.
const CLOSED: u64 = 1 << 63;
/// Takes no new request because the worker failed or asked for rest.
const EJECTED: u64 = 1 << 62;
/// 30 bits of limit above 32 bits of count.
const LIMIT_SHIFT: u32 = 32;
const LIMIT_MASK: u64 = (UNLIMITED as u64) << LIMIT_SHIFT;
const COUNT_MASK: u64 = u32::MAX as u64;
/// The largest limit means none: a thousand million requests in flight do not fit one machine.
const UNLIMITED: u32 = (1 << 30) - 1;

/// Admission to one worker: an exact count of requests in flight below a limit that may change.
pub struct Gate {
    word: AtomicU64,
}

impl Gate {
    /// An open gate with nothing in flight.
    ///
    /// `limit` is the most requests in flight at once; `None` for no limit, `Some(0)` lets nothing in.
    pub fn new(limit: Option<u32>) -> Self {
        Self {
            word: AtomicU64::new(limit_bits(limit)),
        }
    }

    /// Takes one place. Refuses when closed, ejected or full.
    ///
    /// Each success must be paid back by exactly one [`release`](Self::release).
    #[must_use = "a place that was taken must be released"]
    pub fn try_acquire(&self) -> bool {
        let mut seen = self.word.load(SeqCst);
        while free_count(seen).is_some() {
            match self
                .word
                .compare_exchange_weak(seen, seen + 1, SeqCst, SeqCst)
            {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
        false
    }

    /// Gives one place back and returns how many are still taken. Works on a closed gate too.
    pub fn release(&self) -> u32 {
        let before = self.change(|word| {
            if word & COUNT_MASK == 0 {
                word
            } else {
                word - 1
            }
        });
        let count = count_of(before);
        debug_assert!(count > 0, "released more often than acquired");
        count.saturating_sub(1)
    }

    /// Lets nothing in any more; what is in flight stays counted until it is released.
    pub fn close(&self) {
        self.word.fetch_or(CLOSED, SeqCst);
    }

    /// Undoes [`close`](Self::close).
    pub fn open(&self) {
        self.word.fetch_and(!CLOSED, SeqCst);
    }

    /// Lets nothing in because the worker is failing or resting; independent of [`close`](Self::close).
    pub fn eject(&self) {
        self.word.fetch_or(EJECTED, SeqCst);
    }

    /// Undoes [`eject`](Self::eject).
    pub fn readmit(&self) {
        self.word.fetch_and(!EJECTED, SeqCst);
    }

    /// Sets the most requests in flight; `None` for no limit, `Some(0)` lets nothing in.
    ///
    /// When more are in flight already they stay, and the gate refuses until enough have ended.
    pub fn set_limit(&self, limit: Option<u32>) {
        self.change(|word| (word & !LIMIT_MASK) | limit_bits(limit));
    }

    /// Requests in flight now.
    pub fn in_flight(&self) -> u32 {
        count_of(self.word.load(SeqCst))
    }

    /// The limit in force; `None` for no limit.
    pub fn limit(&self) -> Option<u32> {
        let limit = limit_of(self.word.load(SeqCst));
        (limit != UNLIMITED).then_some(limit)
    }

    /// Whether the gate was closed.
    pub fn is_closed(&self) -> bool {
        self.word.load(SeqCst) & CLOSED != 0
    }

    /// Whether the worker is ejected.
    pub fn is_ejected(&self) -> bool {
        self.word.load(SeqCst) & EJECTED != 0
    }

    /// Whether a request would be let in now.
    pub fn is_free(&self) -> bool {
        self.free().is_some()
    }

    /// Requests in flight if one more would be let in now.
    pub(crate) fn free(&self) -> Option<u32> {
        free_count(self.word.load(SeqCst))
    }

    /// Applies `next` atomically and returns the word before.
    fn change(&self, next: impl Fn(u64) -> u64) -> u64 {
        let mut seen = self.word.load(SeqCst);
        loop {
            match self
                .word
                .compare_exchange_weak(seen, next(seen), SeqCst, SeqCst)
            {
                Ok(before) => return before,
                Err(now) => seen = now,
            }
        }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("in_flight", &self.in_flight())
            .field("limit", &self.limit())
            .field("closed", &self.is_closed())
            .field("ejected", &self.is_ejected())
            .finish()
    }
}

fn limit_bits(limit: Option<u32>) -> u64 {
    u64::from(limit.map_or(UNLIMITED, |most| most.min(UNLIMITED - 1))) << LIMIT_SHIFT
}

fn limit_of(word: u64) -> u32 {
    ((word & LIMIT_MASK) >> LIMIT_SHIFT) as u32
}

fn count_of(word: u64) -> u32 {
    (word & COUNT_MASK) as u32
}

fn free_count(word: u64) -> Option<u32> {
    let count = count_of(word);
    (word & (CLOSED | EJECTED) == 0 && count < limit_of(word)).then_some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_lets_in_up_to_its_limit() {
        let gate = Gate::new(Some(2));
        assert!(gate.try_acquire());
        assert!(gate.try_acquire());
        assert!(!gate.try_acquire());
        assert_eq!(gate.release(), 1);
        assert!(gate.try_acquire());
        assert_eq!(gate.in_flight(), 2);
    }

    #[test]
    fn no_limit_and_a_limit_of_zero_are_different() {
        assert!(Gate::new(None).try_acquire());
        assert!(!Gate::new(Some(0)).try_acquire());
        assert_eq!(Gate::new(None).limit(), None);
        assert_eq!(Gate::new(Some(7)).limit(), Some(7));
        assert_eq!(Gate::new(Some(u32::MAX)).limit(), Some(UNLIMITED - 1));
    }

    #[test]
    fn a_closed_gate_refuses_and_still_counts_down() {
        let gate = Gate::new(None);
        assert!(gate.try_acquire());
        gate.close();
        assert!(!gate.try_acquire());
        assert_eq!((gate.in_flight(), gate.is_closed()), (1, true));
        assert_eq!(gate.release(), 0);
        gate.open();
        assert!(gate.try_acquire());
    }

    #[test]
    fn closing_and_ejecting_are_undone_separately() {
        let gate = Gate::new(None);
        gate.close();
        gate.eject();
        gate.open();
        assert!(!gate.try_acquire() && gate.is_ejected() && !gate.is_closed());
        gate.readmit();
        assert!(gate.try_acquire());
    }

    #[test]
    fn lowering_the_limit_below_the_count_refuses_until_enough_have_ended() {
        let gate = Gate::new(Some(3));
        for _ in 0..3 {
            assert!(gate.try_acquire());
        }
        gate.set_limit(Some(1));
        assert_eq!(gate.in_flight(), 3);
        gate.release();
        gate.release();
        assert!(!gate.try_acquire());
        assert_eq!(gate.release(), 0);
        assert!(gate.try_acquire());
    }

    #[test]
    #[cfg_attr(debug_assertions, should_panic = "released more often than acquired")]
    fn a_release_too_many_is_a_bug_that_never_makes_the_count_negative() {
        let gate = Gate::new(Some(1));
        assert_eq!(gate.release(), 0);
        assert_eq!(gate.in_flight(), 0);
        assert_eq!(gate.limit(), Some(1));
    }
}
