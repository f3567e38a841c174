//! Timers whose time moves, as it does for those that limit a silence.

use std::{
    cell::RefCell,
    mem::{replace, take},
    ops::{Deref, DerefMut},
    pin::Pin,
    task::{Context, Poll, ready},
};

use parking_lot::Mutex;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::base::alarm::Alarm;

/// A timer that is set anew only when it would ring too late, or rang too early: a time that moves on
/// with every piece of a body costs nothing.
#[derive(Default)]
pub(crate) struct Timer {
    alarm: Option<Alarm<Sleep>>,
    has_rung: bool,
}

impl Timer {
    /// Ready from `deadline` on.
    pub(crate) fn poll_until(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let sleep = self
            .alarm
            .get_or_insert_with(|| Alarm::new(sleep_until(deadline)));
        // One that has rung rings only once.
        if sleep.deadline() > deadline || take(&mut self.has_rung) {
            sleep.reset(deadline);
        }
        loop {
            ready!(Pin::new(&mut *sleep).poll(cx));
            if sleep.deadline() >= deadline {
                self.has_rung = true;
                return Poll::Ready(());
            }
            sleep.reset(deadline);
        }
    }
}

/// A timer that the requests of a connection have one after the other. Nearly none ever rings, and one
/// for each would be entered into the runtime's and taken out again.
#[derive(Default)]
pub(crate) struct SharedTimer(Mutex<Timer>);

/// Timers that were made for requests beside others on their connections, kept for the next such, per thread.
const SPARE_MAX: usize = 256;

thread_local! {
    static SPARE: RefCell<Vec<Timer>> = const { RefCell::new(Vec::new()) };
}

/// The timer in the hands of one request. Whoever comes meanwhile gets another one.
pub(crate) struct LentTimer<'c> {
    timer: Timer,
    owner: &'c SharedTimer,
}

impl SharedTimer {
    /// Lends it until what is returned is dropped.
    pub(crate) fn lend(&self) -> LentTimer<'_> {
        let mut timer = take(&mut *self.0.lock());
        if timer.alarm.is_none() {
            let spare = SPARE.try_with(|spare| spare.borrow_mut().pop());
            timer = spare.ok().flatten().unwrap_or_default();
        }
        LentTimer { timer, owner: self }
    }
}

impl Deref for LentTimer<'_> {
    type Target = Timer;

    fn deref(&self) -> &Timer {
        &self.timer
    }
}

impl DerefMut for LentTimer<'_> {
    fn deref_mut(&mut self) -> &mut Timer {
        &mut self.timer
    }
}

impl Drop for LentTimer<'_> {
    fn drop(&mut self) {
        let timer = take(&mut self.timer);
        let mut other = replace(&mut *self.owner.0.lock(), timer);
        let Some(alarm) = &mut other.alarm else {
            return;
        };
        alarm.rests();
        // While a thread ends there is nobody to keep it for.
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < SPARE_MAX {
                spare.push(other);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, time::Duration};

    use super::*;

    impl LentTimer<'_> {
        /// Waits until `deadline`.
        async fn until(&mut self, deadline: Instant) {
            poll_fn(|cx| self.poll_until(cx, deadline)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_rings_at_the_time_it_is_asked_for_last_whatever_it_was_set_to() {
        let begun = Instant::now();
        let after = |seconds| begun + Duration::from_secs(seconds);
        let shared = SharedTimer::default();
        for (wanted, limit) in [(60, 1), (5, 2), (30, 3)] {
            let mut timer = shared.lend();
            tokio::select! {
                biased;
                () = timer.until(after(wanted)) => panic!("it rang too early"),
                () = sleep_until(after(limit)) => {}
            }
        }
        // It was set to five seconds, and nobody has looked at it since.
        for wanted in [20, 21, 40] {
            shared.lend().until(after(wanted)).await;
            assert_eq!(begun.elapsed().as_secs(), wanted);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_has_rung_rings_again_at_a_later_time() {
        let begun = Instant::now();
        let shared = SharedTimer::default();
        let mut timer = shared.lend();
        for seconds in [1, 2, 5] {
            timer.until(begun + Duration::from_secs(seconds)).await;
            assert_eq!(begun.elapsed().as_secs(), seconds);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_another_had_rings_at_the_time_that_it_is_asked_for() {
        let begun = Instant::now();
        let after = |seconds| begun + Duration::from_secs(seconds);
        let (mine, others) = (SharedTimer::default(), SharedTimer::default());
        let (mut first, mut second) = (mine.lend(), mine.lend());
        for timer in [&mut first, &mut second] {
            tokio::select! {
                biased;
                () = timer.until(after(5)) => panic!("it rang too early"),
                () = sleep_until(after(1)) => {}
            }
        }
        drop((first, second));
        assert_eq!(SPARE.with_borrow(Vec::len), 1);
        let mut spare = others.lend();
        assert_eq!(SPARE.with_borrow(Vec::len), 0);
        for seconds in [7, 9] {
            spare.until(after(seconds)).await;
            assert_eq!(begun.elapsed().as_secs(), seconds);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn two_at_once_have_one_each() {
        let begun = Instant::now();
        let shared = SharedTimer::default();
        let (mut first, mut second) = (shared.lend(), shared.lend());
        let until = |seconds| begun + Duration::from_secs(seconds);
        tokio::join!(
            async {
                first.until(until(2)).await;
                assert_eq!(begun.elapsed().as_secs(), 2);
            },
            async {
                second.until(until(3)).await;
                assert_eq!(begun.elapsed().as_secs(), 3);
            }
        );
    }
}
