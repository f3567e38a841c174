//! A decision, and why it was made.

use std::{fmt, sync::Arc, time::Duration};

use penstock_config::ClockTime;

use super::{observation::HoldCause, wish::Wish, words::Seconds};

/// How many workers there should be, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The count from now on.
    pub desired: u32,
    /// The count until now.
    pub before: u32,
    /// Why.
    pub reason: Reason,
    /// What each rule asked for, in the order of the rules. One that had nothing to say is not here.
    pub wishes: Vec<Wish>,
    /// What kept the count from being the largest wish, in the order it was applied.
    pub clamps: Vec<Clamp>,
}

impl Decision {
    /// A decision that no load had a part in.
    pub fn fixed(before: u32, desired: u32, reason: Reason) -> Self {
        Self {
            desired,
            before,
            reason,
            wishes: Vec::new(),
            clamps: Vec::new(),
        }
    }

    /// The wish that counts: the largest, unless it asks for fewer workers than there were and no
    /// rule may.
    pub fn winner(&self) -> Option<&Wish> {
        let largest = self.wishes.iter().max_by_key(|wish| wish.workers)?;
        let may_shrink = || self.wishes.iter().any(|wish| wish.shrinks);
        (largest.workers >= self.before.max(1) || may_shrink()).then_some(largest)
    }
}

/// Something that kept the desired count from being the largest wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clamp {
    /// `scaling.min`.
    Minimum(u32),
    /// `scaling.max`.
    Maximum(u32),
    /// The `min` of a schedule.
    ScheduledMinimum(u32),
    /// The `max` of a schedule.
    ScheduledMaximum(u32),
    /// `scaling.up`: the most that the rolling period allows.
    UpPace(u32),
    /// `scaling.down.percent`: the least that the rolling period allows.
    DownPace(u32),
    /// `scaling.down.step`: the least that one change may lead to.
    DownStep(u32),
}

impl Clamp {
    /// A stable name for the API.
    pub fn label(self) -> &'static str {
        match self {
            Self::Minimum(_) => "min",
            Self::Maximum(_) => "max",
            Self::ScheduledMinimum(_) => "scheduled_min",
            Self::ScheduledMaximum(_) => "scheduled_max",
            Self::UpPace(_) => "up_pace",
            Self::DownPace(_) => "down_pace",
            Self::DownStep(_) => "down_step",
        }
    }

    /// The count that it allows, at most or at least.
    pub fn workers(self) -> u32 {
        match self {
            Self::Minimum(n)
            | Self::Maximum(n)
            | Self::ScheduledMinimum(n)
            | Self::ScheduledMaximum(n)
            | Self::UpPace(n)
            | Self::DownPace(n)
            | Self::DownStep(n) => n,
        }
    }
}

impl fmt::Display for Clamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Minimum(n) => write!(f, "min is {n}"),
            Self::Maximum(n) => write!(f, "max is {n}"),
            Self::ScheduledMinimum(n) => write!(f, "min is {n} by schedule"),
            Self::ScheduledMaximum(n) => write!(f, "max is {n} by schedule"),
            Self::UpPace(n) => write!(f, "up pace allows {n}"),
            Self::DownPace(n) => write!(f, "down pace allows {n}"),
            Self::DownStep(n) => write!(f, "one step leads to {n}"),
        }
    }
}

/// Why a decision is as it is.
#[derive(Debug, Clone, PartialEq)]
pub enum Reason {
    /// No worker, and nothing asks for one.
    Asleep,
    /// The first request at zero.
    Wake {
        /// Requests now in flight or queued.
        current: u32,
        /// Requests that came since the last look.
        arrivals: u64,
    },
    /// A mirrored copy at zero.
    WokenByCopies,
    /// The load asks for just what there is.
    Steady,
    /// The load asks for more.
    LoadRose {
        /// Averaged concurrency.
        concurrency: f64,
        /// Concurrency one worker should have.
        target: f64,
    },
    /// A rule that does not measure concurrency asks for more.
    RuleAsked {
        /// The type of the rule.
        rule: &'static str,
        /// What it asks for.
        wish: u32,
    },
    /// More load is expected soon.
    LoadExpected {
        /// The concurrency that is expected.
        load: f64,
        /// When, on the clocks of the rule.
        at: ClockTime,
    },
    /// The last worker would go, but load is expected soon.
    Expecting {
        /// The concurrency that is expected.
        load: f64,
        /// When, on the clocks of the rule.
        at: ClockTime,
    },
    /// The load asks for more, but the pace allows no more yet.
    Paced {
        /// What the load asks for.
        wish: u32,
    },
    /// The load asks for more than `max`.
    AtMaximum {
        /// What the load asks for.
        wish: u32,
    },
    /// The load has fitted fewer workers for long enough.
    LoadFell {
        /// For how long.
        stable: Duration,
    },
    /// The load fits fewer workers, but not for long enough yet.
    Settling {
        /// What the load asks for.
        wish: u32,
        /// For how long it would have fitted one less.
        stable: Duration,
        /// For how long it must.
        needed: Duration,
    },
    /// The load seems to fit fewer workers, but the measurement cannot be trusted yet.
    Held(HoldCause),
    /// Fewer workers are not allowed by the pace yet.
    PacedDown,
    /// As few as `min` allows.
    AtMinimum,
    /// The last worker waits for the end of `idle_timeout`.
    Idling {
        /// Since when there has been nothing to do.
        idle: Duration,
        /// When the worker goes.
        timeout: Duration,
    },
    /// Nothing to do for `idle_timeout`: to zero.
    Idle {
        /// For how long.
        idle: Duration,
    },
    /// `min` or `max` moved the count.
    Bounds,
    /// The `min` or `max` of a schedule moved the count.
    Scheduled,
    /// Starting failed for good; none is wanted until it is tried again.
    StartFailed,
    /// What the rules decide is only told.
    Advising {
        /// The count that stays.
        kept: u32,
    },
    /// The workers are given by address.
    Given,
    /// An operator has stopped the deployment; until when, by whom and why, in words.
    Paused(Arc<str>),
    /// An operator set the count; how many, by whom and why, in words.
    Scaled(Arc<str>),
    /// The deployment is no longer configured.
    Removed,
    /// Control shuts down.
    Shutdown,
}

impl Reason {
    /// A stable name for metrics and the API.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Asleep => "asleep",
            Self::Wake { .. } | Self::WokenByCopies => "wake",
            Self::Steady => "steady",
            Self::LoadRose { .. } => "load_rose",
            Self::RuleAsked { rule, .. } => rule,
            Self::LoadExpected { .. } => "forecast",
            Self::Expecting { .. } => "expecting",
            Self::Paced { .. } => "paced",
            Self::AtMaximum { .. } => "at_maximum",
            Self::LoadFell { .. } => "load_fell",
            Self::Settling { .. } => "settling",
            Self::Held(_) => "held",
            Self::PacedDown => "paced_down",
            Self::AtMinimum => "at_minimum",
            Self::Idling { .. } => "idling",
            Self::Idle { .. } => "idle",
            Self::Bounds => "bounds",
            Self::Scheduled => "schedule",
            Self::StartFailed => "start_failed",
            Self::Advising { .. } => "advise",
            Self::Given => "given",
            Self::Paused(_) => "paused",
            Self::Scaled(_) => "scaled",
            Self::Removed => "removed",
            Self::Shutdown => "shutdown",
        }
    }
}

impl Reason {
    /// The reasons that are about how long the load has been low.
    fn fmt_patience(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LoadFell { stable } => {
                write!(
                    f,
                    "the load has fitted fewer workers for {}",
                    Seconds(*stable)
                )
            }
            Self::Settling {
                wish,
                stable,
                needed,
            } => write!(
                f,
                "the load asks for {wish}, one less would have done for {} of {}",
                Seconds(*stable),
                Seconds(*needed)
            ),
            Self::Idling { idle, timeout } => {
                write!(
                    f,
                    "nothing to do for {} of {}",
                    Seconds(*idle),
                    Seconds(*timeout)
                )
            }
            Self::Idle { idle } => write!(f, "nothing to do for {}", Seconds(*idle)),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asleep => f.write_str("nothing to do"),
            Self::Wake { current, arrivals } => {
                write!(f, "woken: {current} requests waiting, {arrivals} arrived")
            }
            Self::WokenByCopies => f.write_str("woken for mirrored copies"),
            Self::Steady => f.write_str("the load fits"),
            Self::LoadRose {
                concurrency,
                target,
            } => {
                write!(
                    f,
                    "concurrency rose to {concurrency:.1}, {target} per worker"
                )
            }
            Self::RuleAsked { rule, wish } => write!(f, "the {rule} rule asks for {wish}"),
            Self::LoadExpected { load, at } => {
                write!(f, "concurrency {load:.1} is expected at {at}")
            }
            Self::Expecting { load, at } => {
                write!(
                    f,
                    "nothing to do, but concurrency {load:.1} is expected at {at}"
                )
            }
            Self::Paced { wish } => write!(
                f,
                "the load asks for {wish}, the up pace allows no more yet"
            ),
            Self::AtMaximum { wish } => write!(f, "the load asks for {wish}, max is reached"),
            Self::LoadFell { .. }
            | Self::Settling { .. }
            | Self::Idling { .. }
            | Self::Idle { .. } => self.fmt_patience(f),
            Self::Held(cause) => write!(f, "no fewer for now: {cause}"),
            Self::PacedDown => f.write_str("the down pace allows no fewer yet"),
            Self::AtMinimum => f.write_str("nothing to do, min is reached"),
            Self::Bounds => f.write_str("min or max asks for it"),
            Self::Scheduled => f.write_str("a schedule asks for it"),
            Self::StartFailed => f.write_str("starting failed, next try later"),
            Self::Advising { kept } => {
                write!(f, "mode is advise: the count is kept at {kept}")
            }
            Self::Given => f.write_str("addresses are given"),
            Self::Paused(about) => write!(f, "paused{about}"),
            Self::Scaled(about) => f.write_str(about),
            Self::Removed => f.write_str("no longer configured"),
            Self::Shutdown => f.write_str("shutting down"),
        }
    }
}
