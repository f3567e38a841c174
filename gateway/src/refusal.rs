//! Why a request is answered by the gateway itself.

use std::{borrow::Cow, time::Duration};

use crate::{outlook::Outlook, reason::Reason};

/// The shortest and the longest time after which a client is sent back by a mere prediction. Beyond
/// ten minutes too much may change.
const PREDICTED_MIN: Duration = Duration::from_secs(1);
const PREDICTED_MAX: Duration = Duration::from_secs(600);

/// Clients that are refused together come back spread over this share of their time, or over a second
/// if that is more, so that they do not all come at the same moment.
const SPREAD: f64 = 0.2;
const SPREAD_MIN: f64 = 1.0;

/// A request that gets no worker's answer, and why.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    /// The class, as metrics and clients see it.
    pub(crate) reason: Reason,
    /// What exactly happened, for people.
    pub(crate) detail: Cow<'static, str>,
    /// When trying again makes sense.
    pub(crate) retry_after: Option<Duration>,
    /// Whether that is a prediction, which many may have been told.
    is_predicted: bool,
    /// What the request would have had to expect of the queue.
    pub(crate) outlook: Option<Outlook>,
}

impl Refusal {
    /// A refusal after which the client may try again whenever it likes.
    pub(crate) fn new(reason: Reason, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            reason,
            detail: detail.into(),
            retry_after: None,
            is_predicted: false,
            outlook: None,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

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
