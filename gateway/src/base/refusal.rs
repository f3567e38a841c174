//! Why a request is answered by the gateway itself.

use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::HeaderValue;

use crate::base::{reason::Reason, wait_notice::WaitNotice};

/// The shortest and the longest time after which a client is sent back by a mere prediction. Beyond
/// ten minutes too much may change.
const PREDICTED_MIN: Duration = Duration::from_secs(1);
const PREDICTED_MAX: Duration = Duration::from_secs(600);

/// Clients that are refused together come back spread over this share of their time, or over a second
/// if that is more, so that they do not all come at the same moment.
const SPREAD: f64 = 0.2;
const SPREAD_MIN: f64 = 1.0;

/// Most lines of the log in a second that say why requests were refused: a failing worker fails every
/// request that comes.
const LOGGED_PER_SECOND: u64 = 10;

/// A request that gets no worker's answer, and why.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    /// The class, as metrics and clients see it.
    pub(crate) reason: Reason,
    /// What happened, in words for the client: nothing of addresses, paths and programs.
    pub(crate) detail: Cow<'static, str>,
    /// The cause, in words for the operator: it may name all of these.
    pub(crate) cause: Option<Arc<str>>,
    /// When trying again makes sense.
    pub(crate) retry_after: Option<Duration>,
    /// What few refusals have.
    rare: Option<Box<Rare>>,
    /// Whether that is a prediction, which many may have been told.
    is_predicted: bool,
    /// What the request would have had to expect of the queue.
    pub(crate) wait_notice: Option<WaitNotice>,
}

/// What few refusals have, so that the others do not carry it along.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rare {
    /// Where to go instead.
    pub(crate) location: Option<HeaderValue>,
    /// The parameter of the request that it is about.
    pub(crate) param: Option<&'static str>,
    /// Methods that there are instead.
    pub(crate) allow: Option<&'static str>,
}

impl Refusal {
    /// A refusal after which the client may try again whenever it likes.
    pub(crate) fn new(reason: Reason, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            reason,
            detail: detail.into(),
            cause: None,
            retry_after: None,
            rare: None,
            is_predicted: false,
            wait_notice: None,
        }
    }

    /// Adds what only the operator is told, unless `gateway.error_details` says otherwise.
    pub(crate) fn because(mut self, cause: impl Into<Arc<str>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// What happened, with the cause where there is one.
    pub(crate) fn in_full(&self) -> Cow<'_, str> {
        match &self.cause {
            Some(cause) => format!("{}: {cause}", self.detail).into(),
            None => Cow::Borrowed(&self.detail),
        }
    }

    /// What few refusals have, if it has any of that.
    pub(crate) fn rare(&self) -> Option<&Rare> {
        self.rare.as_deref()
    }

    /// Names the parameter of the request that it is about.
    pub(crate) fn about(mut self, param: &'static str) -> Self {
        self.rare.get_or_insert_default().param = Some(param);
        self
    }

    /// Names the methods that there are instead.
    pub(crate) fn allows(mut self, methods: &'static str) -> Self {
        self.rare.get_or_insert_default().allow = Some(methods);
        self
    }

    /// Tells the client where to go instead.
    pub(crate) fn elsewhere(mut self, location: HeaderValue) -> Self {
        self.rare.get_or_insert_default().location = Some(location);
        self
    }

    /// Tells the client when trying again makes sense.
    pub(crate) fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// Tells the client when trying again most likely makes sense, if that is known.
    pub(crate) fn predicted(mut self, after: Option<Duration>) -> Self {
        self.retry_after = after.map(|after| after.clamp(PREDICTED_MIN, PREDICTED_MAX));
        self.is_predicted = true;
        self
    }

    /// When this client should try again. `chance` is between 0 and 1.
    pub(crate) fn told_retry_after(&self, chance: f64) -> Option<Duration> {
        let after = self.retry_after?;
        if !self.is_predicted {
            return Some(after);
        }
        let spread = (after.as_secs_f64() * SPREAD).max(SPREAD_MIN);
        Some(after + Duration::from_secs_f64(spread * chance.clamp(0.0, 1.0)))
    }
}

/// Bounds how many refusals are logged.
#[derive(Debug, Default)]
pub(crate) struct RefusalLog {
    /// The second of the gateway's clock that `written` is about.
    second: AtomicU64,
    written: AtomicU64,
    left_out: AtomicU64,
}

impl RefusalLog {
    /// Whether another line may be written at `now`, and how many were left out before it. Threads that
    /// ask at the same moment may get a line too many or miss one.
    pub(crate) fn line(&self, now: Duration) -> Option<u64> {
        let second = now.as_secs();
        if self.second.swap(second, Ordering::Relaxed) != second {
            self.written.store(0, Ordering::Relaxed);
        }
        if self.written.fetch_add(1, Ordering::Relaxed) < LOGGED_PER_SECOND {
            return Some(self.left_out.swap(0, Ordering::Relaxed));
        }
        self.left_out.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_told_in_full_only_beside_what_the_client_may_know() {
        let refusal = Refusal::new(Reason::StartFailed, "no worker could be started");
        assert_eq!(refusal.in_full(), "no worker could be started");
        let refusal = refusal.because("program vllmm not found");
        assert_eq!(refusal.detail, "no worker could be started");
        let full = "no worker could be started: program vllmm not found";
        assert_eq!(refusal.in_full(), full);
    }

    #[test]
    fn a_storm_of_refusals_gets_ten_lines_a_second_and_the_next_tells_of_the_others() {
        let log = RefusalLog::default();
        let lines = |millis| log.line(Duration::from_millis(millis));
        let first: Vec<_> = (0..100).filter_map(|_| lines(500)).collect();
        assert_eq!(first, [0; 10]);
        assert_eq!(lines(999), None);
        assert_eq!(lines(1000), Some(91));
        assert_eq!(lines(1001), Some(0));
    }

    fn told(after: u64, chance: f64) -> f64 {
        let refusal = Refusal::new(Reason::QueueFull, "");
        let refusal = refusal.predicted(Some(Duration::from_secs(after)));
        let told = refusal.told_retry_after(chance).unwrap();
        told.as_secs_f64()
    }

    #[test]
    fn clients_that_are_refused_together_come_back_one_after_the_other_and_none_too_early() {
        assert_eq!(
            [0.0, 0.5, 1.0].map(|chance| told(30, chance)),
            [30.0, 33.0, 36.0]
        );
        assert_eq!(
            [0.0, 0.5, 1.0].map(|chance| told(2, chance)),
            [2.0, 2.5, 3.0]
        );
        assert_eq!((told(0, 0.0), told(100_000, 0.0)), (1.0, 600.0));
    }

    #[test]
    fn what_is_known_is_told_as_it_is() {
        let day = Duration::from_secs(86_400);
        let refusal = Refusal::new(Reason::RateLimited, "");
        assert_eq!(refusal.told_retry_after(1.0), None);
        assert_eq!(refusal.retry_after(day).told_retry_after(1.0), Some(day));
    }
}
