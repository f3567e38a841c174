//! What would change the count next: for people who wait for it.

mod threshold;
mod words;

use std::time::Duration;

use penstock_config::Scaling;

pub use self::threshold::{Edge, Threshold};
use super::{
    ScaleState,
    decision::{Clamp, Decision, Reason},
    down,
    forecast::{Expectation, Learned},
    observation::Hold,
    pace,
    wish::{Basis, Pause, Wish},
};

/// One way in which the count may change next.
#[derive(Debug, Clone, PartialEq)]
pub enum Outlook {
    /// There is none, and the first request brings one.
    Wake,
    /// A rule asks for more when a measure passes a value.
    More(Threshold),
    /// More when the pace allows it.
    UpPace(Duration),
    /// No more, whatever the load.
    NoMore(Clamp),
    /// A rule agrees to fewer when a measure passes a value.
    Agrees(Threshold),
    /// A rule agrees to no fewer for a time, whatever it measures.
    Cooldown {
        /// The type of the rule.
        rule: &'static str,
        /// Which cooldown, and for how long still.
        pause: Pause,
    },
    /// Fewer after this time, if the load stays as it is.
    Fewer {
        /// The count then.
        to: u32,
        /// In how long.
        left: Duration,
    },
    /// Fewer when the pace allows it.
    DownPace(Duration),
    /// Not fewer for so long at least, because the measurement is not trusted.
    Held(Duration),
    /// None after this time, if no request comes.
    Zero(Duration),
    /// No fewer, whatever the load.
    NoFewer(Clamp),
    /// What a `forecast` rule knows by now, and whether that counts.
    Learned(Learned),
    /// What a `forecast` rule expects.
    Expects(Expectation),
}

impl ScaleState {
    /// What would change the count next after this decision, the last one made. `hold`: why the
    /// measurements may say too little.
    pub fn outlook(
        &self,
        decision: &Decision,
        scaling: &Scaling,
        hold: Option<Hold>,
        now: Duration,
    ) -> Vec<Outlook> {
        let rules = self.rules.iter();
        let rules = rules.flat_map(|rule| rule.outlook(self.desired, self.past.as_deref(), now));
        let rules: Vec<Outlook> = rules.collect();
        let of = |is: fn(&Outlook) -> bool| rules.iter().filter(move |next| is(next)).cloned();
        let mut next = self.more(decision, scaling, now);
        if next.iter().all(Outlook::is_a_way) {
            next.extend(of(|next| matches!(next, Outlook::More(_))));
        }
        let fewer = self.fewer(decision, scaling, hold, now);
        if self.desired > 1 && !matches!(fewer, Some(Outlook::NoFewer(_))) {
            next.extend(of(Outlook::is_of_fewer));
        }
        next.extend(fewer);
        next.extend(of(|next| {
            matches!(next, Outlook::Learned(_) | Outlook::Expects(_))
        }));
        next
    }

    fn more(&self, decision: &Decision, scaling: &Scaling, now: Duration) -> Vec<Outlook> {
        let bounds = self.bounds();
        if self.desired >= bounds.max {
            return vec![Outlook::NoMore(bounds.max_clamp())];
        }
        if self.desired == 0 {
            return vec![Outlook::Wake];
        }
        if matches!(decision.reason, Reason::Paced { .. }) {
            let at = self.history.lowest_until(scaling.up.period, now);
            let left = at.map(|at| at.saturating_sub(now));
            return left.map(Outlook::UpPace).into_iter().collect();
        }
        let wishes = decision.wishes.iter();
        let more = wishes.filter_map(|wish| threshold(wish, self.desired));
        more.collect()
    }

    fn fewer(
        &self,
        decision: &Decision,
        scaling: &Scaling,
        hold: Option<Hold>,
        now: Duration,
    ) -> Option<Outlook> {
        let bounds = self.bounds();
        if self.desired == 0 {
            return None;
        }
        if self.desired <= bounds.min {
            return Some(Outlook::NoFewer(bounds.min_clamp()));
        }
        match decision.reason {
            Reason::Settling { stable, needed, .. } => Some(Outlook::Fewer {
                to: self.after_settling(scaling, now)?,
                left: needed.saturating_sub(stable),
            }),
            Reason::Held(_) => {
                let until = hold?.since + down::hold_window(self);
                Some(Outlook::Held(until.saturating_sub(now)))
            }
            Reason::PacedDown => {
                let at = self.history.highest_until(scaling.down.period, now)?;
                Some(Outlook::DownPace(at.saturating_sub(now)))
            }
            Reason::Idling { idle, timeout } => Some(Outlook::Zero(timeout.saturating_sub(idle))),
            _ => None,
        }
    }

    /// The count after the load has fitted fewer workers for long enough, if it stays as it is.
    fn after_settling(&self, scaling: &Scaling, now: Duration) -> Option<u32> {
        let before = self.desired;
        let fits = self.recent.largest_below(before)?;
        let least = pace::least(&scaling.down, &self.history, before, now);
        let least = least.max(before.saturating_sub(scaling.down.step));
        Some(fits.max(least).max(self.bounds().min).max(1).min(before))
    }
}

impl Outlook {
    /// Whether more may come otherwise too.
    fn is_a_way(&self) -> bool {
        !matches!(self, Self::NoMore(_) | Self::UpPace(_))
    }

    fn is_of_fewer(&self) -> bool {
        matches!(self, Self::Agrees(_) | Self::Cooldown { .. })
    }
}

/// From where on a rule asks for more than so many workers, where that is a matter of its measure and
/// its target alone. Rules that remember more tell it
/// themselves: `RuleState::outlook`.
fn threshold(wish: &Wish, than: u32) -> Option<Outlook> {
    let (measure, target) = match &wish.basis {
        Basis::Concurrency { target, .. } => {
            ("concurrency (with the room for chance)".to_owned(), *target)
        }
        Basis::TargetTracking { metric, target, .. } => {
            (format!("{metric} of all workers"), *target)
        }
        Basis::Backlog { target, .. } => ("requests in flight or queued".to_owned(), *target),
        _ => return None,
    };
    Some(Outlook::More(Threshold {
        rule: wish.rule,
        than,
        to: None,
        measure,
        edge: Edge::Above(target * f64::from(than)),
    }))
}

#[cfg(test)]
mod tests;
