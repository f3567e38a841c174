//! Timers whose time moves, as it does for those that limit a silence.

use std::{
    mem::take,
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

/// The timer in the hands of one request. Whoever comes meanwhile gets one of its own.
pub(crate) struct LentTimer<'c> {
    timer: Timer,
    owner: &'c SharedTimer,
}

impl SharedTimer {
    /// Lends it until what is returned is dropped.
    pub(crate) fn lend(&self) -> LentTimer<'_> {
        LentTimer {
            timer: take(&mut *self.0.lock()),
            owner: self,
        }
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
        *self.owner.0.lock() = take(&mut self.timer);
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
