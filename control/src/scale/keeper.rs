//! Advisory mode: the count stays, and what the rules decide is only told.
//!
//! With `mode = "advise"` decisions are made as ever, and go on from each other as if they were
//! followed: pace, cooldowns and `stable_for` are measured along the advised counts. What is observed
//! is real. With fewer workers than advised there is a queue, and it counts as it would if workers
//! were still starting, so that the advice does not run away; a rule that corrects step by step
//! goes on correcting, for nothing gets better.
//!
//! The operator's own bounds are orders, not advice, and hold at once: `min` and `max` of the file
//! move the count for good (which is how it is moved by hand), those of schedules and rollouts for
//! as long as they last. So does a pause, after which the count is back that was kept. There is always one worker at least, also with `min = 0`: to wake a
//! deployment is a decision that nobody could take in time, and a request that would have been
//! served must not fail because of a setting that changes nothing.

use penstock_config::Scaling;

use super::{
    bounds::Bounds,
    decision::{Clamp, Decision, Reason},
};

/// The count that stays while decisions are only advice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keeper {
    kept: u32,
}

impl Keeper {
    /// Keeps this count from now on.
    pub fn new(kept: u32) -> Self {
        Self { kept: kept.max(1) }
    }

    /// The count that stays, whatever schedules and rollouts make of it meanwhile.
    pub fn kept(self) -> u32 {
        self.kept
    }

    /// The decision in force instead of an advised one. `scaling`: the settings of the file;
    /// `bounds`: those in force; `before`: the count until now.
    pub fn keep(&mut self, scaling: &Scaling, bounds: Bounds, before: u32) -> Decision {
        let moved = self.follow(scaling);
        let kept = self.kept;
        let (desired, clamp) = if kept < bounds.min {
            (bounds.min, Some(bounds.min_clamp()))
        } else if kept > bounds.max {
            (bounds.max, Some(bounds.max_clamp()))
        } else {
            (kept, moved)
        };
        let reason = clamp.map_or(Reason::Advising { kept }, Bounds::reason);
        Decision {
            clamps: clamp.into_iter().collect(),
            ..Decision::fixed(before, desired, reason)
        }
    }

    /// Moves the count into the bounds of the file.
    fn follow(&mut self, scaling: &Scaling) -> Option<Clamp> {
        if self.kept < scaling.min {
            self.kept = scaling.min;
            Some(Clamp::Minimum(scaling.min))
        } else if self.kept > scaling.max {
            self.kept = scaling.max;
            Some(Clamp::Maximum(scaling.max))
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn scaling(settings: &str) -> Scaling {
        let text = format!(
            "listeners = [{{ address = \"127.0.0.1:0\" }}]
            [services.chat.deployments.main]
            process = {{ command = [\"true\"] }}
            scaling = {{ mode = \"advise\", {settings} }}"
        );
        let config = penstock_config::parse(&text, Path::new("/test.toml"));
        let config = config.unwrap_or_else(|errors| panic!("{errors}"));
        config.services["chat"].deployments["main"].scaling.clone()
    }

    /// Ten minutes past midnight, 2023-11-15.
    const NIGHT_MS: u64 = 1_700_006_400_000 + 600_000;

    /// The decision, and its reason in words.
    fn kept(keeper: &mut Keeper, settings: &str, before: u32) -> (u32, String) {
        let scaling = scaling(settings);
        let decision = keeper.keep(&scaling, Bounds::at(&scaling, NIGHT_MS), before);
        assert_eq!(decision.before, before);
        (decision.desired, decision.reason.to_string())
    }

    #[test]
    fn the_file_moves_the_count_for_good_and_a_schedule_while_it_lasts() {
        let mut keeper = Keeper::new(4);
        let stays = |count| {
            (
                count,
                format!("mode is advise: the count is kept at {count}"),
            )
        };
        let moved = |count, who: &str| (count, format!("{who} asks for it"));
        assert_eq!(kept(&mut keeper, "min = 1, max = 9", 4), stays(4));
        let schedule = |bounds: &str| {
            format!(
                "min = 1, max = 9, rules = [{{ type = \"schedule\", cron = \"0 0 * * *\", duration = \"1h\", {bounds} }}]"
            )
        };
        let (night, day) = (schedule("max = 2"), schedule("min = 7"));
        assert_eq!(kept(&mut keeper, &night, 4), moved(2, "a schedule"));
        assert_eq!(kept(&mut keeper, &day, 2), moved(7, "a schedule"));
        assert_eq!(kept(&mut keeper, "min = 1, max = 9", 7), stays(4));
        assert_eq!(
            kept(&mut keeper, "min = 6, max = 9", 4),
            moved(6, "min or max")
        );
        assert_eq!(kept(&mut keeper, "min = 1, max = 9", 6), stays(6));
        assert_eq!(
            kept(&mut keeper, "min = 0, max = 3", 6),
            moved(3, "min or max")
        );
        assert_eq!(kept(&mut keeper, "min = 1, max = 9", 3), stays(3));
    }

    #[test]
    fn one_worker_stays_even_if_none_must() {
        let mut keeper = Keeper::new(0);
        let (count, _) = kept(&mut keeper, "min = 0, max = 9", 0);
        assert_eq!((count, keeper.kept()), (1, 1));
    }
}
