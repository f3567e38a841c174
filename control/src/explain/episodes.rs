//! When something begins to hold the count back, and when that is news.

use std::time::Duration;

use crate::scale::{Clamp, Decision, Reason};

/// A limit that has not mattered for so long is news again when it does: a load that swings around
/// it would fill the journal otherwise.
const QUIET: Duration = Duration::from_secs(300);

/// A hold is news only when it lasts longer than every start of control or of a gateway makes one
/// last with the default settings: their window of a minute, or half of a start of three minutes.
const HELD_FOR: Duration = Duration::from_secs(90);

/// What holds the count back from what the load asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Limit {
    Maximum,
    UpPace,
    DownPace,
    Hold,
}

/// One stretch of time in which a limit mattered.
#[derive(Debug, Clone, Copy)]
struct Episode {
    limit: Limit,
    began: Duration,
    last: Duration,
    told: bool,
}

/// The limits that matter, or did lately; never more than there are kinds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Episodes(Vec<Episode>);

impl Episodes {
    /// Takes in a decision; whether what limits it is to be told now. `changed`: whether the decision
    /// is told anyway, because it changes the count.
    pub(crate) fn note(&mut self, decision: &Decision, changed: bool, now: Duration) -> bool {
        let Some(limit) = Limit::of(decision) else {
            return false;
        };
        self.0
            .retain(|known| now.saturating_sub(known.last) < QUIET);
        let known = self.0.iter().position(|known| known.limit == limit);
        let place = known.unwrap_or_else(|| {
            self.0.push(Episode {
                limit,
                began: now,
                last: now,
                told: false,
            });
            self.0.len() - 1
        });
        let episode = &mut self.0[place];
        episode.last = now;
        let lasts = now.saturating_sub(episode.began);
        let is_news = !episode.told && (limit != Limit::Hold || lasts >= HELD_FOR);
        episode.told |= is_news || changed;
        is_news && !changed
    }
}

impl Limit {
    fn of(decision: &Decision) -> Option<Self> {
        if matches!(decision.reason, Reason::Held(_)) {
            return Some(Self::Hold);
        }
        decision.clamps.iter().rev().find_map(|clamp| match clamp {
            Clamp::Maximum(_) | Clamp::ScheduledMaximum(_) => Some(Self::Maximum),
            Clamp::UpPace(_) => Some(Self::UpPace),
            Clamp::DownPace(_) => Some(Self::DownPace),
            // One step after the other, and `min`, are how it is meant to be.
            Clamp::DownStep(_) | Clamp::Minimum(_) | Clamp::ScheduledMinimum(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scale::HoldCause;

    fn limited(clamp: Clamp) -> Decision {
        Decision {
            clamps: vec![clamp],
            ..Decision::fixed(3, 3, Reason::AtMaximum { wish: 7 })
        }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_limit_is_told_once_per_episode_and_again_after_a_long_time_without_it() {
        let mut episodes = Episodes::default();
        let (max, none) = (
            limited(Clamp::Maximum(3)),
            Decision::fixed(3, 3, Reason::Steady),
        );
        let mut told = Vec::new();
        for second in 0..2_000 {
            // It swings around the limit for ten minutes, and later again.
            let matters = !(600..=1_500).contains(&second) && second % 20 < 10;
            let decision = if matters { &max } else { &none };
            if episodes.note(decision, false, at(second)) {
                told.push(second);
            }
        }
        assert_eq!(told, [0, 1_501]);
    }

    #[test]
    fn what_a_change_of_the_count_has_told_is_not_told_again() {
        let mut episodes = Episodes::default();
        assert!(!episodes.note(&limited(Clamp::UpPace(3)), true, at(0)));
        assert!(!episodes.note(&limited(Clamp::UpPace(3)), false, at(1)));
        assert!(episodes.note(&limited(Clamp::Maximum(3)), false, at(2)));
        assert!(!episodes.note(&limited(Clamp::DownStep(3)), false, at(3)));
    }

    #[test]
    fn a_hold_is_told_when_it_outlives_those_that_every_start_brings() {
        let mut episodes = Episodes::default();
        let held = Decision::fixed(3, 3, Reason::Held(HoldCause::GatewaySilent));
        let told = (0..1_000).filter(|second| episodes.note(&held, false, at(*second)));
        assert_eq!(told.collect::<Vec<_>>(), [90]);
    }
}
