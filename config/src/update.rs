//! How workers are replaced when what they run changes.

/// How workers of one revision make place for those of the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Update {
    /// A few at a time, old beside new.
    Rolling {
        /// Most workers above the desired count; a percentage is rounded up.
        max_surge: Part,
        /// Most workers that may be missing from the desired count; a percentage is rounded down.
        max_unavailable: Part,
    },
    /// All old ones first: they cannot stand beside new ones.
    Recreate,
}

/// A part of the workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// So many.
    Workers(u32),
    /// So many of a hundred.
    Percent(u32),
}

impl Default for Update {
    fn default() -> Self {
        Self::Rolling {
            max_surge: Part::Percent(25),
            max_unavailable: Part::Percent(0),
        }
    }
}

impl Update {
    /// Most workers that there may be while `desired` are.
    pub fn most(&self, desired: usize) -> usize {
        match self {
            Self::Recreate => desired,
            Self::Rolling { max_surge, .. } => desired.saturating_add(max_surge.up(desired)),
        }
    }

    /// Fewest workers that must be ready while `desired` are.
    pub fn fewest(&self, desired: usize) -> usize {
        match self {
            Self::Recreate => 0,
            Self::Rolling {
                max_surge,
                max_unavailable,
            } => {
                let unavailable = match (max_unavailable.down(desired), max_surge.up(desired)) {
                    // Both come to nothing of so few, and the update is to go on.
                    (0, 0) => 1,
                    (unavailable, _) => unavailable,
                };
                desired.saturating_sub(unavailable)
            }
        }
    }
}

impl Part {
    /// Whether it is nothing, of however many workers.
    pub fn is_nothing(self) -> bool {
        matches!(self, Self::Workers(0) | Self::Percent(0))
    }

    fn up(self, all: usize) -> usize {
        match self {
            Self::Workers(count) => count as usize,
            Self::Percent(percent) => all.saturating_mul(percent as usize).div_ceil(100),
        }
    }

    fn down(self, all: usize) -> usize {
        match self {
            Self::Workers(count) => count as usize,
            Self::Percent(percent) => all.saturating_mul(percent as usize) / 100,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rolling(max_surge: Part, max_unavailable: Part) -> Update {
        Update::Rolling {
            max_surge,
            max_unavailable,
        }
    }

    #[test]
    fn a_surge_is_rounded_up_and_what_may_be_missing_down() {
        let update = rolling(Part::Percent(25), Part::Percent(25));
        for (desired, most, fewest) in [(0, 0, 0), (1, 2, 1), (3, 4, 3), (4, 5, 3), (10, 13, 8)] {
            assert_eq!(
                (update.most(desired), update.fewest(desired)),
                (most, fewest)
            );
        }
        assert_eq!(rolling(Part::Percent(10), Part::Percent(0)).most(10), 11);
        assert_eq!(rolling(Part::Percent(0), Part::Percent(20)).fewest(10), 8);
    }

    #[test]
    fn an_update_of_few_workers_goes_on_although_both_round_to_nothing() {
        let update = rolling(Part::Workers(0), Part::Percent(10));
        assert_eq!((update.most(3), update.fewest(3)), (3, 2));
        assert_eq!((update.most(30), update.fewest(30)), (30, 27));
    }

    #[test]
    fn more_may_not_be_missing_than_there_are() {
        let update = rolling(Part::Workers(0), Part::Workers(5));
        assert_eq!(update.fewest(3), 0);
    }
}
