//! What is looked at from time to time, because it may not move by itself.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::clock::Clock;

/// Something that is looked at now and then.
pub(crate) trait Swept: Send + Sync {
    /// Looks at it.
    fn look(&self, clock: Clock);
}

/// All that one thread looks at. Whoever drops a thing need not say so.
#[derive(Default)]
pub(crate) struct Sweeper {
    all: Mutex<Vec<Weak<dyn Swept>>>,
}

impl Sweeper {
    /// Looks at `one` until it is dropped.
    pub(crate) fn watch(&self, one: Weak<dyn Swept>) {
        self.all.lock().push(one);
    }

    /// Looks at everything.
    pub(crate) fn sweep(&self, clock: Clock) {
        let mut alive: Vec<Arc<dyn Swept>> = Vec::new();
        self.all.lock().retain(|one| {
            let one = one.upgrade();
            let is_alive = one.is_some();
            alive.extend(one);
            is_alive
        });
        // Outside the lock: a look may end a thing, and with it others.
        alive.iter().for_each(|one| one.look(clock));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    use super::*;

    struct Looks(AtomicU32, Option<Arc<Sweeper>>);

    impl Swept for Looks {
        fn look(&self, _: Clock) {
            self.0.fetch_add(1, Relaxed);
            if let Some(sweeper) = &self.1 {
                let another: Arc<dyn Swept> = Arc::new(Self(AtomicU32::new(0), None));
                sweeper.watch(Arc::downgrade(&another));
            }
        }
    }

    #[test]
    fn each_is_looked_at_until_it_is_dropped_and_may_bring_others() {
        let sweeper = Arc::new(Sweeper::default());
        let looks = |sweeper| Arc::new(Looks(AtomicU32::new(0), sweeper));
        let (stays, goes) = (looks(Some(Arc::clone(&sweeper))), looks(None));
        for one in [&stays, &goes] {
            sweeper.watch(Arc::downgrade(&(Arc::clone(one) as Arc<dyn Swept>)));
        }
        sweeper.sweep(Clock::start());
        drop(goes);
        sweeper.sweep(Clock::start());
        assert_eq!(stays.0.load(Relaxed), 2);
        // Of those that are gone nothing is left but what came in the last round.
        assert_eq!(sweeper.all.lock().len(), 2);
    }
}
