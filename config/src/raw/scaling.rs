//! `scaling` of a deployment.

mod rule;

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub(crate) use self::rule::{Adjustment, Rule, Statistic, Step, anticipate, headroom, window};
use super::text::{HumanDuration, PositiveDuration};

/// How many workers a deployment should have.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Scaling {
    /// Whether decisions of the rules are followed ("act") or only told ("advise").
    pub(crate) mode: ScalingMode,
    /// Fewest workers. 0 allows scale to zero.
    #[schemars(range(max = 10_000))]
    pub(crate) min: u32,
    /// Most workers, at least `min` and at least 1. Default: the larger of `min` and 1.
    #[schemars(range(max = 10_000))]
    pub(crate) max: Option<u32>,
    /// With min = 0: how long there may have been no request before the last worker is stopped.
    pub(crate) idle_timeout: PositiveDuration,
    /// Each rule asks for a number of workers; the largest wins, and fewer there are only when all
    /// agree. Default: one of type "concurrency".
    #[schemars(length(min = 1))]
    pub(crate) rules: Option<Vec<Rule>>,
    /// How fast the number of workers may grow.
    pub(crate) up: UpPace,
    /// When and how fast the number of workers may shrink.
    pub(crate) down: DownPace,
}

impl Default for Scaling {
    fn default() -> Self {
        Self {
            mode: ScalingMode::Act,
            min: 1,
            max: None,
            idle_timeout: PositiveDuration(Duration::from_secs(300)),
            rules: None,
            up: UpPace::default(),
            down: DownPace::default(),
        }
    }
}

/// Whether decisions of the rules are followed.
#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ScalingMode {
    /// They are.
    #[default]
    Act,
    /// They are only told. The number of workers stays, within `min` and `max`, and never falls to
    /// zero.
    Advise,
}

/// How fast the number of workers may grow.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct UpPace {
    /// Growth allowed in any `period`, in percent of the number of workers at its start, rounded up.
    /// Default: no limit but `max`.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(crate) percent: Option<u32>,
    /// Length of the rolling period. At most 1d.
    pub(crate) period: PositiveDuration,
    /// Whether, from zero, as many workers as the queued requests need may start at once.
    pub(crate) burst_from_zero: bool,
}

impl Default for UpPace {
    fn default() -> Self {
        Self {
            percent: None,
            period: PositiveDuration(Duration::from_secs(60)),
            burst_from_zero: false,
        }
    }
}

/// When and how fast the number of workers may shrink.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DownPace {
    /// How long the load must have fitted fewer workers. At most 1d. Default: half as long as a worker
    /// takes to start, at least 10s; 1m while that is not known.
    pub(crate) stable_for: Option<HumanDuration>,
    /// Most workers taken away in a second. Default: no limit.
    #[schemars(range(min = 1, max = 10_000))]
    pub(crate) step: Option<u32>,
    /// Most workers taken away in any `period`, in percent of their number at its start; at least
    /// one.
    #[schemars(range(min = 1, max = 100))]
    pub(crate) percent: u32,
    /// Length of the rolling period. At most 1d.
    pub(crate) period: PositiveDuration,
}

impl Default for DownPace {
    fn default() -> Self {
        Self {
            stable_for: None,
            step: None,
            percent: 100,
            period: PositiveDuration(Duration::from_secs(60)),
        }
    }
}
