//! What speaks for and against a canary.

use std::fmt;

use penstock_config::fleet::{LatencyHistogram, Outcomes};

/// How well a canary and its siblings answered over the same time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    /// The deployment on trial.
    pub canary: Outcomes,
    /// All deployments that share the traffic with it.
    pub siblings: Outcomes,
}

impl Evidence {
    /// What has come since `base`.
    pub fn since(&self, base: &Self) -> Self {
        Self {
            canary: since(&self.canary, &base.canary),
            siblings: since(&self.siblings, &base.siblings),
        }
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { canary, siblings } = self;
        write!(
            f,
            "{} requests succeeded and {} failed, of the siblings {} and {}",
            canary.succeeded, canary.failed, siblings.succeeded, siblings.failed
        )
    }
}

/// The difference of two sums.
pub(crate) fn since(now: &Outcomes, base: &Outcomes) -> Outcomes {
    let mut first_byte = LatencyHistogram::default();
    let pairs = now.first_byte.counts.iter().zip(&base.first_byte.counts);
    for (count, (now, base)) in first_byte.counts.iter_mut().zip(pairs) {
        *count = now.saturating_sub(*base);
    }
    Outcomes {
        succeeded: now.succeeded.saturating_sub(base.succeeded),
        failed: now.failed.saturating_sub(base.failed),
        first_byte,
    }
}

/// Adds `more` to a sum.
pub(crate) fn add(sum: &mut Outcomes, more: &Outcomes) {
    sum.succeeded += more.succeeded;
    sum.failed += more.failed;
    let counts = sum.first_byte.counts.iter_mut();
    for (count, more) in counts.zip(&more.first_byte.counts) {
        *count += more;
    }
}
