//! What a request that has to wait may expect, and whether it waits in vain.
//!
//! Two answers to "how long", from the same facts. The likely one is told to clients. The least one
//! decides whether a request is refused at once: only when even the best that can happen would come
//! after its time is over. Whatever is not known counts as the best: a start that was never seen may take no
//! time, a worker that is listed may take requests at any moment whatever its state, as many
//! workers may come as the settings allow, and those ahead may be quick or leave. An ejected worker is
//! listed too: it may be readmitted at any moment. What is not reckoned with: that the operator raises
//! `max`, and that a request which waits for one worker only loses that home.
//!
//! Those who wait already are looked at again when workers are gone.

use std::time::Duration;

use penstock_balancer::{Ahead, Crew, Home, LeastWaits, Turn, Work, least_wait, likely_wait};
use penstock_config::Source;

use super::{DeploymentState, View, pace::Served};
use crate::{
    base::{reason::Reason, refusal::Refusal, wait_notice::WaitNotice},
    fleet::queue::Patience,
};

impl DeploymentState {
    /// The refusal of a request with this turn that would wait in vain if it joined now.
    pub(super) fn refuse_in_vain(
        &self,
        turn: &Turn,
        patience: &Patience,
        home: Home,
    ) -> Result<(), Refusal> {
        if !patience.sheds {
            return Ok(());
        }
        // The request may have come long ago, and have waited elsewhere.
        let now = self.clock.now();
        let ahead = self.queue.ahead(turn, home);
        let least = self.least_wait(ahead.least, home, now);
        let left = patience.until.saturating_sub(now);
        if least <= left {
            return Ok(());
        }
        let detail =
            format!("no worker can be free within {left:.1?}, nor in less than {least:.1?}");
        let wait_notice = self.wait_notice(ahead, home, now);
        let predicted = Some(wait_notice.eta.unwrap_or(least));
        let mut refusal = Refusal::new(Reason::TooLate, detail).predicted(predicted);
        refusal.wait_notice = Some(wait_notice);
        Err(refusal)
    }

    /// When a client that is refused now had better come again: when all who wait will have been
    /// served, by what is known of it; or when a worker will be there.
    pub(crate) fn retry_after(&self, now: Duration) -> Option<Duration> {
        let all = self.queue.len();
        let view = self.view.load();
        let served = likely_wait(all, &view.likely_crew(now), self.mean_service(now));
        let finite = served.filter(|_| view.spec.max_concurrency.is_some() || !view.has_ready());
        finite.or_else(|| {
            let start = view.likely_start(now);
            start.filter(|_| !view.has_ready())
        })
    }

    /// Refuses those who wait in vain by the newest snapshot: no worker is there, and the next one
    /// cannot be there in time; or fewer are than in the view `before`, so that those far back have not
    /// the time any more. One pass over the queue, and only then.
    pub(super) fn refuse_late(&self, before: &View) {
        let (view, waiting) = (self.view.load(), self.queue.len());
        let now = self.clock.now();
        let crew = view.best_crew(now);
        let is_cold = view.workers.is_empty();
        if waiting == 0 || !(is_cold || crew.is_less_than(&before.best_crew(now))) {
            return;
        }
        // Where requests have homes, those that wait together may go to different ones in the end, so
        // that nobody is before another in any case.
        let most = if view.picker.has_homes() { 0 } else { waiting };
        let leasts = LeastWaits::new(most, &crew, self.work(most, &crew, now).as_ref());
        if leasts.longest().is_zero() {
            return;
        }
        let soonest = view.soonest_start(now);
        let predicted = if is_cold {
            view.likely_start(now)
        } else {
            self.retry_after(now)
        };
        let refusal = |left: Duration| {
            let detail = if is_cold {
                format!("no worker can be ready in less than {soonest:.1?}")
            } else {
                format!("workers are gone, and none of the others can be free within {left:.1?}")
            };
            Refusal::new(Reason::TooLate, detail).predicted(predicted)
        };
        self.queue
            .refuse_late(now, |ahead| leasts.of(ahead), refusal);
    }

    /// What a request has to expect before which so many go.
    pub(super) fn wait_notice(&self, ahead: Ahead, home: Home, now: Duration) -> WaitNotice {
        let view = self.view.load();
        let mut crew = view.likely_crew(now);
        let mut before = ahead.likely;
        match home {
            Home::At(_) => {
                // Those who take any worker's places take this one's in its turn.
                before += ahead.others / view.ready().max(1);
                crew.now = view.places(1);
                crew.later = None;
            }
            Home::Anywhere | Home::NotAt(_) => before += ahead.others,
        }
        let eta = crew
            .now
            .is_finite()
            .then(|| likely_wait(before, &crew, self.mean_service(now)));
        WaitNotice {
            position: before + 1,
            eta: eta.flatten(),
            cause: view.waits_for(),
        }
    }

    fn least_wait(&self, ahead: usize, home: Home, now: Duration) -> Duration {
        let view = self.view.load();
        let mut crew = view.best_crew(now);
        if let Home::At(_) = home {
            crew.now = view.places(1);
            // A new worker may become its home, and nobody else's.
            crew.later = crew.later.map(|(at, _)| (at, f64::INFINITY));
        }
        least_wait(ahead, &crew, self.work(ahead, &crew, now).as_ref())
    }

    /// How much work those are who are before a request, if it matters.
    fn work(&self, ahead: usize, crew: &Crew, now: Duration) -> Option<Work> {
        let has_work_ahead = ahead as f64 >= crew.now;
        if !has_work_ahead || crew.now <= 0.0 {
            return None;
        }
        let served = || self.service_time.snapshot();
        self.pace.work(served, self.queue.left(), now)
    }

    fn mean_service(&self, now: Duration) -> Option<Duration> {
        let served = Served {
            count: self.service_time.snapshot().counts.iter().sum(),
            micros: self.metrics.micros_at_workers(),
        };
        self.pace.mean(served, now)
    }
}

impl View {
    /// Places at so many workers.
    fn places(&self, workers: usize) -> f64 {
        let each = self.spec.max_concurrency.map_or(f64::INFINITY, f64::from);
        if workers == 0 {
            0.0
        } else {
            workers as f64 * each
        }
    }

    /// The places that there most likely are, now and later.
    fn likely_crew(&self, now: Duration) -> Crew {
        let starting = self.coming.starting as usize;
        let coming = starting.max(usize::from(!self.has_ready()));
        let start = self.likely_start(now).filter(|_| coming > 0);
        Crew {
            now: self.places(self.ready()),
            later: start.map(|start| (start, self.places(self.ready() + coming))),
        }
    }

    /// The most places there can be, now and later. Workers that are not ready may be at any moment.
    fn best_crew(&self, now: Duration) -> Crew {
        let there = self.workers.len();
        let most = (there + self.coming.starting as usize).max(self.workers_max());
        Crew {
            now: self.places(there),
            later: (most > there).then(|| (self.soonest_start(now), self.places(most))),
        }
    }

    /// How long it most likely takes until the next worker is ready. A start that takes longer than
    /// nine of ten did is expected to take a tenth of that again.
    pub(super) fn likely_start(&self, now: Duration) -> Option<Duration> {
        let (p50, p90) = (self.coming.start_p50?, self.coming.start_p90?);
        if self.coming.starting == 0 {
            return Some(p50);
        }
        let age = self.start_age(now)?;
        Some(if age < p50 {
            p50 - age
        } else if age < p90 {
            p90 - age
        } else {
            age / 10
        })
    }

    /// How long it takes at least until another worker is ready.
    fn soonest_start(&self, now: Duration) -> Duration {
        let least = self.coming.start_least.unwrap_or_default();
        if self.coming.starting == 0 {
            return least;
        }
        let age = self.start_age(now);
        age.map_or(Duration::ZERO, |age| least.saturating_sub(age))
    }

    /// How long the oldest start has been under way.
    fn start_age(&self, now: Duration) -> Option<Duration> {
        Some(self.coming.oldest? + now.saturating_sub(self.at))
    }

    /// Most workers that the settings allow at any time.
    fn workers_max(&self) -> usize {
        let max = match &self.spec.source {
            Source::Static(addresses) => return addresses.len(),
            Source::Process(_) | Source::Container(_) => self.spec.scaling.max_at_any_time(),
        };
        usize::try_from(max).unwrap_or(usize::MAX)
    }
}
