//! One decision with everything that it was made from.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Serialize};

use crate::{
    scale::{Clamp, Decision, Wish},
    status::OverflowStatus,
};

/// One decision: its inputs, what each rule asked for, what limited it, and what was planned.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Why, in words.
    pub reason: String,
    /// What it was made from.
    pub inputs: Inputs,
    /// What each rule asked for, in the order of the rules.
    pub wishes: Vec<WishRecord>,
    /// What kept the count from being the largest wish, in the order it was applied.
    pub clamps: Vec<ClampRecord>,
    /// What was done at once.
    pub plan: Vec<Step>,
}

/// What a decision was made from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Inputs {
    /// Requests on workers; those on draining ones, which need no other worker, are left out.
    pub in_flight: u32,
    /// Requests waiting for a worker.
    pub queued: u32,
    /// What went from one tier to another, if anything did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overflow: Option<OverflowStatus>,
    /// Requests per second that came, by the newest reports.
    pub arrivals_per_second: f64,
    /// The same over the last minute; absent before anything was measured.
    pub mean_arrivals_per_second: Option<f64>,
    /// Requests in flight and queued, averaged over the last minute; absent before anything was
    /// measured.
    pub mean_concurrency: Option<f64>,
    /// Workers that took requests.
    pub ready: u32,
    /// Workers on their way.
    pub starting: u32,
    /// Workers that took no new requests.
    pub draining: u32,
    /// How long a start takes in half of the cases, in seconds, as learned from the last ones.
    pub start_p50_seconds: Option<f64>,
    /// How long it takes at most in nine of ten cases, in seconds.
    pub start_p90_seconds: Option<f64>,
    /// Why a measurement that says "fewer" was not trusted.
    pub hold: Option<String>,
}

/// What one rule asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WishRecord {
    /// The type of the rule.
    pub rule: Cow<'static, str>,
    /// The count; 0 when it asked for nothing.
    pub workers: u32,
    /// Whether it agreed to fewer workers than there were.
    pub shrinks: bool,
    /// Whether it was the one that counted.
    pub won: bool,
    /// The whole wish in words.
    pub words: String,
}

/// Something that kept the count from being the largest wish.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClampRecord {
    /// Which one: `min`, `max`, `scheduled_min`, `scheduled_max`, `up_pace`, `down_pace` or
    /// `down_step`.
    pub clamp: Cow<'static, str>,
    /// The count that it allowed, at most or at least.
    pub workers: u32,
    /// In words.
    pub words: String,
}

/// One thing that is done, or that is waited for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// `start`, `drain`, `undrain` or `stop`; or `wait`.
    pub action: Cow<'static, str>,
    /// The number of the worker, if it is about one.
    pub worker: Option<u32>,
    /// In words.
    pub words: String,
}

impl Record {
    /// The record of a decision.
    pub fn new(decision: &Decision, inputs: Inputs, plan: Vec<Step>) -> Self {
        Self {
            reason: decision.reason.to_string(),
            inputs,
            wishes: wishes(decision),
            clamps: decision.clamps.iter().map(ClampRecord::new).collect(),
            plan,
        }
    }
}

/// What each rule asked for, the winner marked.
pub(super) fn wishes(decision: &Decision) -> Vec<WishRecord> {
    let winner = decision.winner();
    let record = |wish: &Wish| WishRecord {
        rule: wish.rule.into(),
        workers: wish.workers,
        shrinks: wish.shrinks,
        won: winner.is_some_and(|winner| std::ptr::eq(winner, wish)),
        words: wish.to_string(),
    };
    decision.wishes.iter().map(record).collect()
}

impl ClampRecord {
    pub(super) fn new(clamp: &Clamp) -> Self {
        Self {
            clamp: clamp.label().into(),
            workers: clamp.workers(),
            words: clamp.to_string(),
        }
    }
}

impl fmt::Display for Inputs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            in_flight,
            queued,
            arrivals_per_second,
            ready,
            starting,
            draining,
            ..
        } = self;
        write!(f, "{in_flight} in flight, {queued} queued")?;
        if let Some(mean) = self.mean_concurrency {
            write!(f, " ({mean:.1} over the last minute)")?;
        }
        match &self.overflow {
            Some(overflow) if overflow.away > 0 => {
                write!(f, ", {} served by higher tiers", overflow.away)?;
            }
            _ => {}
        }
        write!(f, ", {arrivals_per_second:.1} requests per second")?;
        if let Some(mean) = self.mean_arrivals_per_second {
            write!(f, " ({mean:.1})")?;
        }
        write!(f, "; {ready} ready, {starting} starting")?;
        if *draining > 0 {
            write!(f, ", {draining} draining")?;
        }
        if let (Some(p50), Some(p90)) = (self.start_p50_seconds, self.start_p90_seconds) {
            write!(
                f,
                "; starts take {p50:.1} s, nine of ten at most {p90:.1} s"
            )?;
        }
        match &self.hold {
            Some(hold) => write!(f, "; not trusted when it says fewer: {hold}"),
            None => Ok(()),
        }
    }
}
