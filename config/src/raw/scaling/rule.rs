//! `scaling.rules`.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::raw::text::{HumanDuration, MetricName, PositiveDuration};

/// A scaling rule.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Rule {
    /// Workers in proportion to the requests in flight and queued.
    Concurrency {
        /// Requests in flight and queued that one worker should have. Default: 100, or
        /// `max_concurrency` when that is smaller.
        #[schemars(extend("exclusiveMinimum" = 0), range(max = 1_000_000))]
        target: Option<f64>,
        /// The long averaging window. At least 1s and at most 1h.
        #[serde(default = "window")]
        window: PositiveDuration,
        /// The short averaging window, which catches bursts. At least 1s and at most `window`.
        /// Default: 6s, or `window` when that is shorter.
        burst_window: Option<PositiveDuration>,
    },
    /// Workers in proportion to a metric, averaged over a minute, with pauses between changes.
    TargetTracking {
        /// What is measured.
        metric: MetricName,
        /// How much of it one worker should have.
        #[schemars(extend("exclusiveMinimum" = 0), range(max = 1_000_000_000))]
        target: f64,
        /// After more were started: for so long only a larger step up follows, and none down. At
        /// most 1d.
        #[serde(default = "cooldown")]
        scale_out_cooldown: HumanDuration,
        /// After some were stopped: for so long no more are. A step up ends it. At most 1d.
        #[serde(default = "cooldown")]
        scale_in_cooldown: HumanDuration,
        /// Whether this rule never asks for fewer workers.
        #[serde(default)]
        disable_scale_in: bool,
    },
    /// Workers in proportion to the requests in flight and queued now, not averaged.
    Backlog {
        /// Requests in flight and queued that one worker should have.
        #[schemars(extend("exclusiveMinimum" = 0), range(max = 1_000_000))]
        target: f64,
    },
}

/// Also the default of the rule that stands in when there is none.
pub(crate) fn window() -> PositiveDuration {
    PositiveDuration(Duration::from_secs(60))
}

/// That of AWS and of most who copied it.
fn cooldown() -> HumanDuration {
    HumanDuration(Duration::from_secs(300))
}
