//! `scaling.rules`.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::raw::text::{CronText, HumanDuration, MetricName, PositiveDuration, TimeZoneName};

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
        /// Over which the concurrency is averaged, and how much it varies by chance. At least 1s and
        /// at most 1h.
        #[serde(default = "window")]
        window: PositiveDuration,
        /// Over which the concurrency is averaged to see a rise at once. At least 1s and at most
        /// `window`. Default: 2s, or `window` when that is shorter.
        burst_window: Option<PositiveDuration>,
        /// Within which workers should clear a queue, once they are there: the shorter, the more of
        /// them are started for one, and the fewer requests wait. At most 1d. Default: as long as a
        /// worker takes to start, so that a queue which grew in that time about doubles their number.
        clear_within: Option<PositiveDuration>,
        /// How long a queue is expected to go on growing while workers start, as a multiple of the
        /// time for which it has been there: more makes fewer requests wait when load rises for long,
        /// and costs more when it does not. 0 counts only what is there.
        #[serde(default = "anticipate")]
        #[schemars(range(min = 0, max = 10))]
        anticipate: f64,
        /// Room for requests that come at random, in standard deviations of the concurrency: more
        /// makes fewer requests wait and costs more.
        #[serde(default = "headroom")]
        #[schemars(range(min = 0, max = 10))]
        headroom: f64,
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
    /// Workers more or fewer by how far a metric is from a threshold.
    Step {
        /// What is measured.
        metric: MetricName,
        /// From where `steps` count.
        #[schemars(range(max = 1_000_000_000))]
        threshold: f64,
        /// What is made of the values within a period. Default: "average", but "sum" for
        /// `no_capacity_requests`.
        statistic: Option<Statistic>,
        /// Length of a period. 1s to 1h.
        #[serde(default = "window")]
        period: PositiveDuration,
        /// How many periods in a row must be in a step, on the same side of the threshold.
        #[serde(default = "one")]
        #[schemars(range(min = 1, max = 100))]
        datapoints: u32,
        /// What `by` means: workers more or fewer, percent more or fewer, or the count itself.
        adjustment: Adjustment,
        /// With adjustment = "percent": fewest workers that are added or taken away.
        #[schemars(range(min = 1, max = 10_000))]
        min_adjustment: Option<u32>,
        /// What to do for which distance from the threshold.
        #[schemars(length(min = 1))]
        steps: Vec<Step>,
        /// After a change: for so long workers that were added count toward what is asked for, and
        /// none are taken away. At most 1d.
        #[serde(default = "cooldown")]
        cooldown: HumanDuration,
    },
    /// Other bounds at certain times. A rule of another type still says how many workers there are.
    Schedule {
        /// When it begins: minute, hour, day of month, month and day of week.
        cron: CronText,
        /// By whose clocks.
        #[serde(default = "utc")]
        time_zone: TimeZoneName,
        /// How long it lasts.
        duration: PositiveDuration,
        /// Fewest workers meanwhile. Default: as outside. The largest of all that last counts.
        #[schemars(range(max = 10_000))]
        min: Option<u32>,
        /// Most workers meanwhile. Default: as outside. The largest of all that last counts.
        #[schemars(range(min = 1, max = 10_000))]
        max: Option<u32>,
    },
    /// As many workers as keep the wait of 95 % of the requests in the queue within the target.
    QueueWait {
        /// How long a request may wait.
        target: PositiveDuration,
    },
    /// Workers in proportion to the requests in flight and queued now, not averaged.
    Backlog {
        /// Requests in flight and queued that one worker should have.
        #[schemars(extend("exclusiveMinimum" = 0), range(max = 1_000_000))]
        target: f64,
    },
    /// Workers for the load that is expected when a worker started now would be ready. Asks only for
    /// more, beside a rule of another type, and only while its forecasts come true.
    Forecast {
        /// Requests in flight and queued that one worker should have. Default: 100, or
        /// `max_concurrency` when that is smaller.
        #[schemars(extend("exclusiveMinimum" = 0), range(max = 1_000_000))]
        target: Option<f64>,
        /// Room for requests that come at random, in standard deviations of what is expected.
        #[serde(default = "forecast_headroom")]
        #[schemars(range(min = 0, max = 10))]
        headroom: f64,
        /// Whether it looks for what comes at the same time every day.
        #[serde(default = "yes")]
        daily: bool,
        /// Whether it looks for what comes at the same time every week.
        #[serde(default = "yes")]
        weekly: bool,
        /// Whether it carries on how the load has grown in the last minutes.
        #[serde(default = "yes")]
        slope: bool,
        /// By whose clocks days and weeks repeat.
        #[serde(default = "utc")]
        time_zone: TimeZoneName,
        /// How far ahead it looks. At most 6h. Default: as long as a worker takes to start in nine of
        /// ten cases, and 5m more, because times of the day are learned in steps of 5m.
        ahead: Option<PositiveDuration>,
    },
}

/// What is made of the values within a period.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Statistic {
    Average,
    Maximum,
    Minimum,
    Sum,
}

/// What `by` means.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Adjustment {
    Change,
    Percent,
    Exact,
}

/// What to do for values in an interval.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Step {
    /// Lower bound, from the threshold. Default: none.
    #[schemars(range(max = 1_000_000_000))]
    pub(crate) from: Option<f64>,
    /// Upper bound, from the threshold. Default: none.
    #[schemars(range(max = 1_000_000_000))]
    pub(crate) to: Option<f64>,
    /// Workers or percent more, fewer when negative, or the count.
    #[schemars(range(min = -10_000, max = 10_000))]
    pub(crate) by: i32,
}

fn utc() -> TimeZoneName {
    TimeZoneName(jiff::tz::TimeZone::UTC)
}

fn yes() -> bool {
    true
}

fn one() -> u32 {
    1
}

/// Also the default of the rule that stands in when there is none.
pub(crate) fn window() -> PositiveDuration {
    PositiveDuration(Duration::from_secs(60))
}

/// What is usual at a time of day is an average of days already.
fn forecast_headroom() -> f64 {
    1.0
}

/// With a normal distribution, what is beyond two standard deviations comes in one of 44 cases.
pub(crate) fn headroom() -> f64 {
    2.0
}

/// What has lasted for a while is as likely as not to last as long again (Gott 1993); twice as long
/// one time in three. For interactive requests the waits of a load that stays are worse than workers
/// that come for one that has gone.
pub(crate) fn anticipate() -> f64 {
    2.0
}

/// That of AWS and of most who copied it.
fn cooldown() -> HumanDuration {
    HumanDuration(Duration::from_secs(300))
}
