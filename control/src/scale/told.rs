//! What workers tell of themselves on their own pages, and what is done without it.
//!
//! It is late, and may be missing: a scrape sees a moment of seconds ago, and nothing of a worker that
//! is too busy to answer. So it only corrects what the gateway counts, and what is missing never has
//! fewer workers wanted:
//!
//! - For *more* workers a missing value counts as nothing. For *fewer* it counts as what a worker
//!   should have, as in Kubernetes' HPA. A `step` rule, which looks at one worker on average, takes no
//!   step down by values some of which are missing.
//! - A rule that no worker tells anything asks for nothing.
//! - A page that cannot be read costs its own rule a say and no other: what the gateway counts is known
//!   as well as ever, and a broken page must not keep GPUs for as long as it is broken.

use std::{fmt, sync::Arc, time::Duration};

use penstock_config::{Metric, WorkerMetric};

use super::{observation::Observation, words::Seconds};

/// A metric by the workers' own pages.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// Which.
    pub metric: Arc<WorkerMetric>,
    /// Sum of the fresh values of ready workers.
    pub sum: f64,
    /// Of how many workers that is the sum.
    pub fresh: u32,
    /// Age of the oldest of these values.
    pub oldest: Duration,
}

/// How far a value can be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tellers {
    /// Ready workers that told a fresh value.
    pub fresh: u32,
    /// Ready workers.
    pub ready: u32,
    /// Age of the oldest value.
    pub oldest: Duration,
}

impl Observation {
    /// What workers tell of a metric, if any of them does.
    pub(super) fn told(&self, metric: &WorkerMetric) -> Option<&Told> {
        let told = self.told.iter().find(|told| *told.metric == *metric);
        told.filter(|told| told.fresh > 0)
    }

    /// How many of the ready workers told how old a value, if the metric is one that workers tell.
    pub(super) fn tellers(&self, metric: &Metric) -> Option<Tellers> {
        self.told(metric.of_worker()?).map(|told| Tellers {
            fresh: told.fresh,
            ready: self.ready,
            oldest: told.oldest,
        })
    }
}

impl fmt::Display for Tellers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            fresh,
            ready,
            oldest,
        } = self;
        write!(
            f,
            "told by {fresh} of {ready} workers, the oldest value {} old",
            Seconds(*oldest)
        )
    }
}
