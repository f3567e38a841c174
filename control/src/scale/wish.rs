//! What a rule asks for, and from what.

use std::{fmt, time::Duration};

use penstock_config::{ClockTime, Metric};

use super::{forecast::Foresight, told::Tellers, words::Seconds};

/// A wish is rounded up only when it passes a whole number by this share of a worker; without it
/// the last digit of a floating-point sum could cost a GPU.
const ROUNDING: f64 = 1e-3;

/// What one rule asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Wish {
    /// The type of the rule.
    pub rule: &'static str,
    /// The count; 0 when the rule asks for nothing.
    pub workers: u32,
    /// Whether the rule agrees to fewer workers than there are. With `false` the count only ever
    /// asks for more, and says nothing when it is lower.
    pub shrinks: bool,
    /// From what it follows.
    pub basis: Basis,
}

/// From what a wish follows.
#[derive(Debug, Clone, PartialEq)]
pub enum Basis {
    /// `concurrency`.
    Concurrency {
        /// Averaged concurrency.
        concurrency: f64,
        /// What is added for chance.
        room: f64,
        /// Concurrency one worker should have.
        target: f64,
        /// Requests that are counted although they do not wait yet: they will when the missing
        /// workers come.
        growth: f64,
        /// Waiting requests that do not count because workers for the others will clear them.
        left_out: f64,
    },
    /// `target_tracking`.
    TargetTracking {
        /// What was measured.
        metric: Metric,
        /// Its value for all workers together.
        total: f64,
        /// What one worker should have of it.
        target: f64,
        /// What the measure alone would ask for, and what holds it back.
        held: Option<(u32, Pause)>,
        /// Who told, when the workers did.
        tellers: Option<Tellers>,
    },
    /// `step`.
    Step {
        /// What was measured.
        metric: Metric,
        /// Its value over the last period.
        value: f64,
        /// From where the steps count.
        threshold: f64,
        /// The count that a step led to and that is not reached yet.
        goal: Option<u32>,
        /// What holds it back.
        held: Option<Pause>,
        /// Who told, when the workers did.
        tellers: Option<Tellers>,
    },
    /// A rule on what workers tell, and none of them does.
    NothingTold {
        /// What they should tell.
        metric: Metric,
        /// Workers that should.
        ready: u32,
    },
    /// `queue_wait`.
    QueueWait {
        /// The wait in seconds that 95 % of the requests stayed below in the last minute or two.
        p95: f64,
        /// What it should be at most.
        target: Duration,
        /// Requests that wait now.
        queued: u32,
        /// Requests that come in a second.
        arrivals: f64,
        /// How long a worker has a request, in seconds.
        service_time: f64,
        /// How long it takes until a further worker takes requests.
        start: Duration,
    },
    /// `backlog`.
    Backlog {
        /// Requests in flight and queued.
        current: u32,
        /// How many one worker should have.
        target: f64,
    },
    /// `forecast`.
    Forecast {
        /// What is expected.
        foresight: Foresight,
        /// Concurrency one worker should have.
        target: f64,
    },
}

/// Why a rule does not ask for what its measure asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    /// The cooldown after more workers were asked for, for so long still.
    ScaleOut(Duration),
    /// The cooldown after fewer were asked for, for so long still.
    ScaleIn(Duration),
    /// It is too close to the target to ask for fewer.
    Tolerance,
}

impl Pause {
    /// How long it lasts still, where that is a matter of time.
    pub fn left(self) -> Option<Duration> {
        match self {
            Self::ScaleOut(left) | Self::ScaleIn(left) => Some(left),
            Self::Tolerance => None,
        }
    }
}

impl Wish {
    /// The load that it expects beyond that of the moment, and when.
    pub(super) fn expects(&self) -> Option<(f64, ClockTime)> {
        match self.basis {
            Basis::Forecast {
                foresight: Foresight::More { load, at, .. },
                ..
            } => Some((load, at)),
            _ => None,
        }
    }
}

/// Workers that a load needs: the total divided by what one worker should have; never `current ×
/// metric / target`, which multiplies the error by the workers that are still starting. At least
/// one: zero follows from idleness only.
pub(super) fn workers_for(total: f64, target: f64) -> u32 {
    let workers = (total / target - ROUNDING).ceil().max(1.0);
    if workers >= f64::from(u32::MAX) {
        u32::MAX
    } else {
        workers as u32
    }
}

impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.workers == 0 {
            return write!(f, "nothing {}", self.basis);
        }
        write!(f, "{} {}", self.workers, self.basis)?;
        // That a forecast is no reason for fewer goes without saying.
        if !self.shrinks && !matches!(self.basis, Basis::Forecast { .. }) {
            f.write_str(", but no fewer than there are")?;
        }
        Ok(())
    }
}

impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Concurrency {
                concurrency,
                room,
                target,
                growth,
                left_out,
            } => {
                write!(
                    f,
                    "for concurrency {concurrency:.1} (and {room:.1} for chance) at {target} per worker"
                )?;
                if *growth >= 0.5 {
                    write!(f, ", {growth:.0} more will wait until these are ready")?;
                }
                if *left_out >= 0.5 {
                    write!(f, ", {left_out:.0} waiting will be cleared by these")?;
                }
                Ok(())
            }
            Self::TargetTracking { .. } | Self::Step { .. } | Self::NothingTold { .. } => {
                self.of_metric(f)
            }
            Self::QueueWait {
                p95,
                target,
                queued,
                arrivals,
                service_time,
                start,
            } => write!(
                f,
                "for waits of at most {} (now {p95:.1} s, {queued} queued), {arrivals:.1} requests \
                 per second of {service_time:.1} s, {} to start a worker",
                Seconds(*target),
                Seconds(*start)
            ),
            Self::Backlog { current, target } => write!(
                f,
                "for {current} requests in flight or queued at {target} per worker"
            ),
            Self::Forecast { foresight, target } => foresight.write(f, *target),
        }
    }
}

impl Basis {
    /// Those that follow from a metric of the user's choice.
    fn of_metric(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TargetTracking {
                metric,
                total,
                target,
                held,
                tellers,
            } => {
                let of_all = if metric.is_per_worker() {
                    " of all workers"
                } else {
                    ""
                };
                write!(
                    f,
                    "for {metric} {total:.1}{of_all} at {target} for each worker"
                )?;
                told_by(f, *tellers)?;
                match held {
                    Some((need, pause)) => write!(f, ", which asks for {need}: {pause}"),
                    None => Ok(()),
                }
            }
            Self::Step {
                metric,
                value,
                threshold,
                goal,
                held,
                tellers,
            } => {
                write!(f, "for {metric} {value:.1}, threshold {threshold}")?;
                told_by(f, *tellers)?;
                if let Some(goal) = goal {
                    write!(f, ", which leads to {goal}")?;
                }
                match held {
                    Some(pause) => write!(f, ": {pause}"),
                    None => Ok(()),
                }
            }
            Self::NothingTold { metric, ready } => write!(
                f,
                "for {metric}: none of {ready} workers has told it lately"
            ),
            _ => Ok(()),
        }
    }
}

fn told_by(f: &mut fmt::Formatter<'_>, tellers: Option<Tellers>) -> fmt::Result {
    match tellers {
        Some(tellers) => write!(f, " ({tellers})"),
        None => Ok(()),
    }
}

impl fmt::Display for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ScaleOut(left) => write!(f, "scale-out cooldown for {} more", Seconds(*left)),
            Self::ScaleIn(left) => write!(f, "scale-in cooldown for {} more", Seconds(*left)),
            Self::Tolerance => f.write_str("too close to the target to shrink"),
        }
    }
}
