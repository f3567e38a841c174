//! Timers and signals inside a task that is woken for many other reasons.
//!
//! The task of a busy connection is polled for every piece that moves, and a timer or a signal that is
//! polled along looks behind locks every time. An alarm is polled only once it has rung.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use parking_lot::Mutex;
use tokio::time::{Instant, Sleep};

/// A future that is left alone until it has something to say.
pub(crate) struct Alarm<F> {
    future: Pin<Box<F>>,
    bell: Arc<Bell>,
    /// Whom the bell wakes.
    task: Option<Waker>,
}

/// What the future wakes.
struct Bell {
    rung: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl<F: Future> Alarm<F> {
    /// Waits for `future`.
    pub(crate) fn new(future: F) -> Self {
        let bell = Arc::new(Bell {
            // Nobody can have asked before the first poll.
            rung: AtomicBool::new(true),
            task: Mutex::new(None),
        });
        Self {
            future: Box::pin(future),
            bell,
            task: None,
        }
    }
}

impl Alarm<Sleep> {
    /// Nobody waits for it any more, until somebody does.
    pub(crate) fn rests(&mut self) {
        self.task = None;
        *self.bell.task.lock() = None;
    }

    /// When it rings.
    pub(crate) fn deadline(&self) -> Instant {
        self.future.deadline()
    }

    /// Makes it ring at another time.
    pub(crate) fn reset(&mut self, deadline: Instant) {
        self.future.as_mut().reset(deadline);
        self.bell.rung.store(true, Ordering::Relaxed);
    }
}

impl<F: Future> Future for Alarm<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.get_mut();
        let known = this.task.as_ref();
        if !known.is_some_and(|task| task.will_wake(cx.waker())) {
            this.task = Some(cx.waker().clone());
            this.bell.task.lock().clone_from(&this.task);
        }
        // After the task is known: a bell that rings in between is heard in either way.
        if !this.bell.rung.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        this.bell.rung.swap(false, Ordering::AcqRel);
        let rings = Waker::from(Arc::clone(&this.bell));
        this.future.as_mut().poll(&mut Context::from_waker(&rings))
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        let task = self.task.lock().clone();
        if let Some(task) = task {
            task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, future::poll_fn, rc::Rc, time::Duration};

    use tokio::{sync::watch, time::sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_rings_at_its_time_also_when_that_changes() {
        let begun = Instant::now();
        let mut alarm = Alarm::new(sleep(Duration::from_secs(60)));
        tokio::select! {
            () = &mut alarm => panic!("it rang too early"),
            () = sleep(Duration::from_secs(1)) => {}
        }
        alarm.reset(begun + Duration::from_secs(5));
        (&mut alarm).await;
        assert_eq!(begun.elapsed().as_secs(), 5);
        alarm.reset(begun + Duration::from_secs(7));
        assert_eq!(alarm.deadline(), begun + Duration::from_secs(7));
        alarm.await;
        assert_eq!(begun.elapsed().as_secs(), 7);
    }

    #[tokio::test]
    async fn what_waits_is_polled_only_when_it_asks_and_wakes_whichever_task_has_it() {
        let (tell, mut told) = watch::channel(false);
        let polls = Rc::new(Cell::new(0));
        let counted = {
            let polls = Rc::clone(&polls);
            let mut waits = Box::pin(async move { told.wait_for(|&told| told).await.is_ok() });
            poll_fn(move |cx| {
                polls.set(polls.get() + 1);
                waits.as_mut().poll(cx)
            })
        };
        let mut alarm = Alarm::new(counted);
        for _ in 0..10 {
            // Each time in another context.
            let polled = poll_fn(|cx| Poll::Ready(Pin::new(&mut alarm).poll(cx))).await;
            assert!(polled.is_pending());
            tokio::task::yield_now().await;
        }
        assert_eq!(polls.get(), 1);
        let local = tokio::task::LocalSet::new();
        let elsewhere = local.spawn_local(alarm);
        local
            .run_until(async {
                tokio::task::yield_now().await;
                tell.send(true).expect("somebody listens");
                assert!(elsewhere.await.expect("it does not panic"));
            })
            .await;
        assert_eq!(polls.get(), 2);
    }
}
