//! How well a deployment answered, over all gateways and their restarts.

use penstock_config::fleet::Outcomes;

use super::gateways::{Base, Gateways};
use crate::rollout::evidence::{add, since};

/// Sums that only grow, whatever happens to the gateways that report them.
#[derive(Debug, Default)]
pub struct OutcomeSums {
    total: Outcomes,
    /// The newest words of every gateway.
    sources: Vec<(u64, Outcomes)>,
}

impl OutcomeSums {
    /// Takes in what a gateway reports. What it counted before the first report that is seen here
    /// is left out, unless it is known to be new too.
    pub fn take(&mut self, gateway: u64, reported: &Outcomes, base: Base) {
        let known = self.sources.iter_mut().find(|(id, _)| *id == gateway);
        let Some((_, last)) = known else {
            if base == Base::Zero {
                add(&mut self.total, reported);
            }
            self.sources.push((gateway, reported.clone()));
            return;
        };
        let went_back = reported.succeeded < last.succeeded || reported.failed < last.failed;
        match base {
            Base::This => {}
            // The gateway forgot the deployment in between and began again.
            Base::Last { .. } | Base::Zero if went_back => add(&mut self.total, reported),
            Base::Last { .. } | Base::Zero => add(&mut self.total, &since(reported, last)),
        }
        last.clone_from(reported);
    }

    /// Forgets what gateways that were given up have said last; what they counted stays counted.
    pub fn forget_silent(&mut self, gateways: &Gateways) {
        self.sources
            .retain(|(gateway, _)| gateways.sequence(*gateway).is_some());
    }

    /// Everything so far.
    pub fn total(&self) -> &Outcomes {
        &self.total
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LAST: Base = Base::Last {
        gap: Duration::from_secs(1),
    };

    fn outcomes(succeeded: u64, failed: u64) -> Outcomes {
        let mut outcomes = Outcomes {
            succeeded,
            failed,
            ..Outcomes::default()
        };
        outcomes.first_byte.counts[7] = succeeded;
        outcomes
    }

    #[test]
    fn sums_grow_over_gateways_and_their_restarts() {
        let mut sums = OutcomeSums::default();
        sums.take(1, &outcomes(10, 1), Base::Zero);
        sums.take(1, &outcomes(15, 1), LAST);
        sums.take(2, &outcomes(100, 5), Base::This);
        sums.take(2, &outcomes(103, 5), LAST);
        // Another run of the first one.
        sums.take(3, &outcomes(2, 0), Base::Zero);
        assert_eq!(sums.total(), &outcomes(20, 1));
    }

    #[test]
    fn what_was_before_the_first_report_is_left_out() {
        let mut sums = OutcomeSums::default();
        sums.take(1, &outcomes(1_000, 50), LAST);
        assert_eq!(sums.total(), &outcomes(0, 0));
        sums.take(1, &outcomes(1_001, 50), LAST);
        assert_eq!(sums.total(), &outcomes(1, 0));
    }

    #[test]
    fn a_gateway_that_returns_after_a_silence_counts_from_then_on() {
        let mut sums = OutcomeSums::default();
        sums.take(1, &outcomes(10, 0), Base::Zero);
        sums.forget_silent(&Gateways::new(false, Duration::ZERO));
        sums.take(1, &outcomes(50, 0), Base::This);
        sums.take(1, &outcomes(51, 0), LAST);
        assert_eq!(sums.total(), &outcomes(11, 0));
    }

    #[test]
    fn a_deployment_that_begins_again_is_counted_from_zero() {
        let mut sums = OutcomeSums::default();
        sums.take(1, &outcomes(10, 3), Base::Zero);
        sums.take(1, &outcomes(2, 0), LAST);
        assert_eq!(sums.total(), &outcomes(12, 3));
    }
}
