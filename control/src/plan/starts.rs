//! How starts of one deployment went: back-off after failures, and when to give up for a while.

mod times;

use std::{sync::Arc, time::Duration};

pub use self::times::StartTimes;
pub(crate) use self::times::TIMES_MAX;
use self::times::Times;
use super::facts::StartFacts;

/// The first pause after a failed start; each further one is twice as long.
const BACK_OFF_FIRST: Duration = Duration::from_secs(1);

/// The longest pause; Kubernetes' CrashLoopBackOff ends at the same.
const BACK_OFF_MAX: Duration = Duration::from_secs(300);

/// Starts that fail in a row until waiting requests are refused.
const FAILURES_UNTIL_REFUSAL: u32 = 3;

/// A worker that was ready for this long was a good start, whatever happens to it later.
pub const PROVEN_AFTER: Duration = Duration::from_secs(10);

/// After no room was found: when to look again if nothing was stopped before.
const NO_ROOM_RETRY: Duration = Duration::from_secs(1);

/// The record of starts of one deployment.
#[derive(Debug, Clone, Default)]
pub struct StartRecord {
    /// Failures since the last start that proved good. Starts that were under way at the same time
    /// and fail too are one: the pause must not depend on how many workers are missing.
    failures: u32,
    /// When the last of these failures became known.
    failed_at: Option<Duration>,
    /// What the last of these failures was, for people.
    failure: Option<Arc<str>>,
    facts: StartFacts,
    failed: Option<Failed>,
    times: Times,
}

/// Starting failed for good: requests are refused until the time `until`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// What went wrong, for people.
    pub reason: Arc<str>,
    /// When it may be tried again.
    pub until: Duration,
}

impl StartRecord {
    /// What `plan` needs to know.
    pub fn facts(&self) -> &StartFacts {
        &self.facts
    }

    /// Starts that failed since the last one that proved good.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// What went wrong the last time and when, until a start proves good.
    pub fn last_failure(&self) -> Option<(&Arc<str>, Duration)> {
        Some((self.failure.as_ref()?, self.failed_at?))
    }

    /// Whether starting failed for good and must not be tried at `now`.
    pub fn failed(&self, now: Duration) -> Option<&Failed> {
        self.failed.as_ref().filter(|failed| now < failed.until)
    }

    /// Why starting failed for good, until a worker is ready.
    pub fn given_up(&self) -> Option<&Arc<str>> {
        self.failed.as_ref().map(|failed| &failed.reason)
    }

    /// How long a start takes by experience; `None` before the first.
    pub fn times(&self) -> Option<StartTimes> {
        self.times.usual()
    }

    /// Less than any start of what would be started now has to be expected to take; `None` while there is
    /// too little experience.
    pub fn least(&self) -> Option<Duration> {
        self.times.least()
    }

    /// A worker that runs `of` became ready `took` after its start, in an earlier run.
    pub fn remember(&mut self, took: Duration, of: &str) {
        self.times.remember(took, of);
    }

    /// Whether a worker that runs what would be started now has ever become ready, maybe in an earlier run.
    pub fn has_been_ready(&self) -> bool {
        self.times.any_current()
    }

    /// From now on this is started, which may be quicker than what was.
    pub fn revised(&mut self, to: &str) {
        self.times.revised(to);
    }

    /// A worker became ready `took` after its start at `began`. It runs what would be started now.
    pub fn ready(&mut self, began: Duration, took: Duration) {
        self.is_ready(began);
        self.times.remember_current(took);
    }

    /// The same of a worker that runs `of`.
    pub fn ready_as(&mut self, of: &str, began: Duration, took: Duration) {
        self.is_ready(began);
        self.times.remember(took, of);
    }

    fn is_ready(&mut self, began: Duration) {
        self.failed = None;
        // One that was on its way already when another one failed does not end the pause after it.
        if self.failed_at.is_none_or(|failed_at| began > failed_at) {
            self.facts.not_before = None;
        }
        self.found_room();
        self.facts.gave_way = false;
    }

    /// A worker of an older revision was asked to make room for a newer one.
    pub fn gave_way(&mut self) {
        self.facts.gave_way = true;
    }

    /// A worker that runs what would be started now became ready at `ready_at` and was so until
    /// `now`. It proves nothing about failures that came after it was ready.
    pub fn up_since(&mut self, ready_at: Duration, now: Duration) {
        let is_newer = self.failed_at.is_none_or(|failed_at| ready_at > failed_at);
        if is_newer && now.saturating_sub(ready_at) >= PROVEN_AFTER {
            self.forget_failures();
        }
    }

    /// As many workers as are wanted are ready at `now`, and run what would be started now. The last
    /// failure is no trouble any more, but the pause after the next one is none the shorter.
    pub fn all_there(&mut self, now: Duration) {
        let since = self
            .failed_at
            .map(|failed_at| now.saturating_sub(failed_at));
        if since.is_some_and(|since| since >= PROVEN_AFTER) {
            self.failure = None;
            self.facts.failing = false;
        }
    }

    /// A start that began at `began` failed in a way that may go away: the worker ended before it
    /// proved good.
    pub fn crashed(&mut self, reason: Arc<str>, began: Duration, now: Duration) {
        let pause = self.fail(&reason, began, now);
        if self.failures >= FAILURES_UNTIL_REFUSAL {
            self.refuse(reason, now + pause);
        }
    }

    /// A start that began at `began` failed in a way that is not likely to go away.
    pub fn failed_for_good(&mut self, reason: Arc<str>, began: Duration, now: Duration) {
        let pause = self.fail(&reason, began, now);
        self.refuse(reason, now + pause);
    }

    /// There was no room for a worker.
    pub fn no_room(&mut self, reason: Arc<str>, now: Duration) {
        self.facts.no_room = Some(reason);
        self.facts.not_before = Some(now + NO_ROOM_RETRY);
    }

    /// There is no GPU for a worker. Whoever shares them out says when there is.
    pub fn lacks_gpus(&mut self, reason: Arc<str>, giving_way_is_vain: bool) {
        self.facts.no_room = Some(reason);
        self.facts.lacks_gpus = true;
        self.facts.giving_way_is_vain = giving_way_is_vain;
    }

    /// A worker exists, so there was room for it; or there are GPUs for it.
    pub fn found_room(&mut self) {
        self.facts.no_room = None;
        self.facts.lacks_gpus = false;
        self.facts.giving_way_is_vain = false;
    }

    /// A start that began at `began` failed for a reason outside of the worker: try again after a
    /// pause, refuse nobody.
    pub fn pause(&mut self, reason: &Arc<str>, began: Duration, now: Duration) {
        self.fail(reason, began, now);
    }

    /// There may be room again.
    pub fn room_may_exist(&mut self) {
        if self.facts.no_room.is_some() && !self.facts.lacks_gpus {
            self.facts.not_before = None;
        }
    }

    /// The deployment changed: what failed before says nothing.
    pub fn reset(&mut self) {
        self.forget_failures();
        self.failed = None;
        self.facts = StartFacts::default();
    }

    fn forget_failures(&mut self) {
        self.failures = 0;
        self.failed_at = None;
        self.failure = None;
        self.facts.failing = false;
    }

    /// Counts a failure; how long to pause because of it.
    fn fail(&mut self, reason: &Arc<str>, began: Duration, now: Duration) -> Duration {
        self.failure = Some(Arc::clone(reason));
        self.facts.failing = true;
        let known = self.failed_at.is_some_and(|at| began <= at);
        if !known || self.failures == 0 {
            self.failures = self.failures.saturating_add(1);
            self.failed_at = Some(now);
        }
        let doublings = self.failures.saturating_sub(1).min(16);
        let pause = BACK_OFF_FIRST
            .saturating_mul(1 << doublings)
            .min(BACK_OFF_MAX);
        self.facts.not_before = self.facts.not_before.max(Some(now + pause));
        self.found_room();
        pause
    }

    fn refuse(&mut self, reason: Arc<str>, until: Duration) {
        self.failed = Some(Failed { reason, until });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn pauses_double_up_to_five_minutes_and_the_third_failure_refuses() {
        let mut record = StartRecord::default();
        let mut now = at(100);
        for (failure, pause) in [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
            .into_iter()
            .enumerate()
        {
            record.crashed("exit status 1".into(), now, now);
            assert_eq!(record.facts().not_before, Some(now + at(pause)));
            assert_eq!(record.failed(now).is_some(), failure >= 2);
            now += at(pause);
            assert_eq!(
                record.failed(now),
                None,
                "after the pause it may be tried again"
            );
        }
    }

    #[test]
    fn workers_that_were_started_together_and_fail_together_are_one_failure() {
        let mut record = StartRecord::default();
        for millis in 0..8 {
            let now = at(20) + Duration::from_millis(millis);
            record.crashed("no such device".into(), at(10), now);
        }
        assert_eq!(record.failed(at(21)), None, "it happened once");
        let last = at(21) + Duration::from_millis(7);
        assert_eq!(record.facts().not_before, Some(last));
        record.crashed("no such device".into(), at(22), at(30));
        assert_eq!(record.facts().not_before, Some(at(32)));
    }

    #[test]
    fn a_start_that_proved_good_clears_the_record_and_one_that_did_not_does_not() {
        let mut record = StartRecord::default();
        for second in 0..2 {
            record.crashed("crash".into(), at(second), at(second));
        }
        record.ready(at(2), at(3));
        record.up_since(at(5), at(6));
        record.crashed("crash".into(), at(6), at(9));
        assert!(record.failed(at(9)).is_some(), "three in a row");
        assert_eq!(record.last_failure(), Some((&"crash".into(), at(9))));
        record.ready(at(10), at(3));
        record.up_since(at(13), at(23));
        assert_eq!((record.failures(), record.last_failure()), (0, None));
        record.crashed("crash".into(), at(24), at(30));
        assert!(record.failed(at(30)).is_none());
        assert_eq!(record.facts().not_before, Some(at(31)));
    }

    #[test]
    fn a_worker_that_was_ready_before_a_failure_proves_nothing_about_it() {
        let mut record = StartRecord::default();
        let mut now = at(100);
        // One worker has been well for a long time while another one fails again and again.
        for pause in [1, 2, 4, 8, 16] {
            record.crashed("exit status 1".into(), now, now);
            assert_eq!(record.facts().not_before, Some(now + at(pause)));
            record.up_since(at(20), now + at(pause));
            now += at(pause);
        }
        assert_eq!(record.failures(), 5);
        assert!(record.facts().failing);
        record.up_since(now, now + PROVEN_AFTER);
        assert!(!record.facts().failing);
    }

    #[test]
    fn a_failure_is_no_trouble_when_no_more_workers_are_wanted_but_is_not_forgotten() {
        let mut record = StartRecord::default();
        record.crashed("exit status 1".into(), at(100), at(100));
        record.all_there(at(109));
        assert!(record.facts().failing);
        record.all_there(at(110));
        assert_eq!(
            (record.last_failure(), record.facts().failing),
            (None, false)
        );
        record.crashed("exit status 1".into(), at(120), at(120));
        assert_eq!(
            record.facts().not_before,
            Some(at(122)),
            "the second in a row"
        );
    }

    #[test]
    fn a_start_that_began_before_a_failure_does_not_end_the_pause_after_it() {
        let mut record = StartRecord::default();
        record.crashed("exit status 1".into(), at(100), at(101));
        record.ready(at(100), at(1));
        assert_eq!(record.facts().not_before, Some(at(102)));
        record.ready(at(102), at(1));
        assert_eq!(record.facts().not_before, None);
    }

    #[test]
    fn a_reload_forgets_failures_at_once() {
        let mut record = StartRecord::default();
        record.failed_for_good("no such program".into(), at(5), at(5));
        assert!(record.failed(at(5)).is_some());
        record.reset();
        assert_eq!(
            (record.failed(at(5)), record.facts()),
            (None, &StartFacts::default())
        );
    }

    #[test]
    fn no_room_is_not_a_failure() {
        let mut record = StartRecord::default();
        for _ in 0..10 {
            record.no_room("no GPU free".into(), at(1));
        }
        assert_eq!(record.failed(at(1)), None);
        assert_eq!(record.facts().not_before, Some(at(2)));
        record.room_may_exist();
        assert_eq!(record.facts().not_before, None);
    }
}
