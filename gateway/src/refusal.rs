//! Why a request is answered by the gateway itself.

use std::{borrow::Cow, time::Duration};

use crate::reason::Reason;

/// A request that gets no worker's answer, and why.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    /// The class, as metrics and clients see it.
    pub(crate) reason: Reason,
    /// What exactly happened, for people.
    pub(crate) detail: Cow<'static, str>,
    /// When trying again makes sense.
    pub(crate) retry_after: Option<Duration>,
}

impl Refusal {
    /// A refusal after which the client may try again whenever it likes.
    pub(crate) fn new(reason: Reason, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            reason,
            detail: detail.into(),
            retry_after: None,
        }
    }

    /// Tells the client when trying again makes sense.
    pub(crate) fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }
}
