//! Refuses at once, as the gateway does, a request that would wait in vain: by the gateway's own
//! bound, from what the gateway would know.

use std::time::Duration;

use penstock_balancer::{Crew, Work, least_wait};
use penstock_config::fleet::TimeHistogram;

use super::fleet::Fleet;
use penstock_control::plan::StartRecord;

/// The gateway learns anew this often how long requests take.
const LEARN_EVERY: Duration = Duration::from_secs(1);

/// What is known of the requests so far.
#[derive(Debug, Default)]
pub(super) struct Shedding {
    served: TimeHistogram,
    left: u64,
    work: Option<Work>,
    work_at: Option<Duration>,
}

impl Shedding {
    /// A request ended for which a worker took so long.
    pub(super) fn served(&mut self, took: Duration) {
        self.served.counts[TimeHistogram::bucket(took)] += 1;
    }

    /// So many requests left the queue before their turn.
    pub(super) fn left(&mut self, count: u64) {
        self.left += count;
    }

    /// How long a request waits at least that joins the queue now, when there may be `max` workers.
    pub(super) fn least_wait(
        &mut self,
        fleet: &Fleet,
        starts: &StartRecord,
        max: u32,
        now: Duration,
    ) -> Duration {
        let crew = best_crew(fleet, starts, max, now);
        let ahead = fleet.queued();
        let has_work_ahead = crew.now > 0.0 && ahead as f64 >= crew.now;
        let work = has_work_ahead.then(|| self.work(now)).flatten();
        least_wait(ahead, &crew, work)
    }

    fn work(&mut self, now: Duration) -> Option<&Work> {
        let is_new = |at: Duration| now.saturating_sub(at) < LEARN_EVERY;
        if !self.work_at.is_some_and(is_new) {
            self.work = Work::learn(&self.served.at_least(), self.left);
            self.work_at = Some(now);
        }
        self.work.as_ref()
    }
}

/// The most places there can be, now and later: whoever is there may take requests, and as many may
/// come as are allowed.
fn best_crew(fleet: &Fleet, starts: &StartRecord, max: u32, now: Duration) -> Crew {
    let starting = fleet.starting();
    let all = u32::try_from(fleet.workers.len()).unwrap_or(u32::MAX);
    let there = all - starting;
    let most = all.max(max);
    let least = starts.least().unwrap_or_default();
    let soonest = fleet.oldest_start().map_or(least, |started_at| {
        least.saturating_sub(now.saturating_sub(started_at))
    });
    Crew {
        now: fleet.places(there),
        later: (most > there).then(|| (soonest, fleet.places(most))),
    }
}
