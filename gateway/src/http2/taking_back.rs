//! Streams that are taken back before anybody has answered, a few at a time.
//!
//! A server counts those that are taken back before it has looked at them, because that is how it is attacked
//! ("rapid reset"): at the 21st, `h2` and what is built on it end the connection with everybody's streams.
//! Ninety clients that leave together are no attack. So the worker gets time to look.

use std::{
    pin::Pin,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::{Sleep, sleep};

/// Streams taken back at once.
const AT_ONCE: usize = 8;

/// Until the next ones are.
const PAUSE: Duration = Duration::from_millis(5);

/// Streams of a connection that wait to be taken back, by being dropped.
pub(super) struct TakingBack<S>(Mutex<State<S>>);

struct State<S> {
    waiting: Vec<S>,
    /// Whoever drops them.
    driver: Option<Waker>,
    is_over: bool,
}

impl<S> Default for TakingBack<S> {
    fn default() -> Self {
        Self(Mutex::new(State {
            waiting: Vec::new(),
            driver: None,
            is_over: false,
        }))
    }
}

impl<S> TakingBack<S> {
    /// Takes a stream back, soon.
    pub(super) fn add(&self, stream: S) {
        let mut state = self.0.lock();
        if state.is_over {
            drop(state);
            drop(stream);
            return;
        }
        state.waiting.push(stream);
        let driver = state.driver.take();
        drop(state);
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    /// The connection is over, and with it all its streams.
    pub(super) fn end(&self) {
        let mut state = self.0.lock();
        state.is_over = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        drop(waiting);
    }

    fn some(&self, cx: &Context<'_>) -> Vec<S> {
        let mut state = self.0.lock();
        let length = state.waiting.len().min(AT_ONCE);
        let is_known = state.driver.as_ref();
        let is_known = is_known.is_some_and(|driver| driver.will_wake(cx.waker()));
        if length == 0 && !is_known {
            state.driver = Some(cx.waker().clone());
        }
        state.waiting.drain(..length).collect()
    }
}

/// Drops the streams that wait, for as long as it is polled.
#[derive(Default)]
pub(super) struct Driver {
    pause: Option<Pin<Box<Sleep>>>,
}

impl Driver {
    /// Never ready.
    pub(super) fn poll<S>(&mut self, streams: &TakingBack<S>, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            let some = streams.some(cx);
            if some.is_empty() {
                return Poll::Pending;
            }
            drop(some);
            self.pause = Some(Box::pin(sleep(PAUSE)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, sync::Arc};

    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn many_are_taken_back_a_few_at_a_time() {
        let (streams, one) = (TakingBack::default(), Arc::new(()));
        let left = || Arc::strong_count(&one) - 1;
        (0..20).for_each(|_| streams.add(Arc::clone(&one)));
        let (mut driver, begun) = (Driver::default(), Instant::now());
        let mut drive = async |until: Duration| {
            let forever = poll_fn(|cx| driver.poll(&streams, cx));
            let _ = tokio::time::timeout_at(begun + until, forever).await;
        };
        drive(Duration::ZERO).await;
        assert_eq!(left(), 12);
        drive(PAUSE + Duration::from_millis(1)).await;
        assert_eq!(left(), 4);
        drive(PAUSE * 4).await;
        assert_eq!(left(), 0);
        streams.add(Arc::clone(&one));
        drive(PAUSE * 4 + Duration::from_millis(1)).await;
        assert_eq!(left(), 0, "the next one is at once");
        streams.add(Arc::clone(&one));
        streams.end();
        streams.add(Arc::clone(&one));
        assert_eq!(left(), 0, "nobody waits for one that is over");
    }
}
