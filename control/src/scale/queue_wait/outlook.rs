//! At which queue and at which rate of requests the rule would ask for another count.
//!
//! Both are found by asking the rule itself about other numbers, and halving: what it asks for never
//! falls when more wait or more come.

use penstock_config::QueueWaitRule;

use super::{Need, QueueWaitState};
use crate::scale::{Edge, Outlook, Threshold};

const QUEUE: &str = "the number of queued requests";
const ARRIVALS: &str = "the number of requests per second";
const ARRIVALS_ALONE: &str = "the number of requests per second, with none queued,";

/// Rates beyond this make no difference.
const ARRIVALS_MAX: f64 = 1e9;

/// Halvings of a range of rates: what is left is less than a request in a year.
const HALVINGS: u32 = 64;

impl QueueWaitState {
    /// The queue and the rate from which on it asks for more than `desired`, and that at which it lets
    /// one go.
    pub(in super::super) fn outlook(&self, rule: &QueueWaitRule, desired: u32) -> Vec<Outlook> {
        let Some(need) = self.asked else {
            return Vec::new();
        };
        let threshold = |measure: &str, edge| Threshold {
            rule: "queue_wait",
            than: desired,
            to: None,
            measure: measure.to_owned(),
            edge,
        };
        let asks = |need: Need| need.workers(rule) > desired;
        let more = need.queue_with(asks).map(|queued| {
            let edge = Edge::AtLeast(f64::from(queued));
            Outlook::More(threshold(QUEUE, edge))
        });
        let faster = need.rate_with(asks, ARRIVALS_MAX).map(|rate| {
            let edge = Edge::Above(rate);
            Outlook::More(threshold(ARRIVALS, edge))
        });
        let fewer = need.lets_go(rule, desired);
        let fewer = fewer.map(|(measure, edge)| Outlook::Agrees(threshold(measure, edge)));
        [more, faster, fewer].into_iter().flatten().collect()
    }
}

impl Need {
    /// What must shrink, and to where, until fewer will do; `None` when they do already or never.
    fn lets_go(self, rule: &QueueWaitRule, desired: u32) -> Option<(&'static str, Edge)> {
        let holds = |need: Self| need.workers(rule) >= desired;
        if !holds(self) {
            return None;
        }
        let without_queue = Self { queued: 0, ..self };
        if !holds(without_queue) {
            // Some queue holds it, so there is a smallest that does.
            let least = self.queue_with(holds)?;
            return Some((QUEUE, Edge::Below(f64::from(least))));
        }
        let rate = without_queue.rate_with(holds, self.arrivals)?;
        let measure = if self.queued > 0 {
            ARRIVALS_ALONE
        } else {
            ARRIVALS
        };
        Some((measure, Edge::Below(rate)))
    }

    /// The shortest queue with which something holds, if it does not hold without any.
    fn queue_with(self, holds: impl Fn(Self) -> bool) -> Option<u32> {
        let with = |queued| holds(Self { queued, ..self });
        let (mut without, mut least) = (0, u32::MAX);
        if with(without) || !with(least) {
            return None;
        }
        while least - without > 1 {
            let middle = without + (least - without) / 2;
            if with(middle) {
                least = middle;
            } else {
                without = middle;
            }
        }
        Some(least)
    }

    /// The rate from which on something holds, if it does not hold at none but does at `most`.
    fn rate_with(self, holds: impl Fn(Self) -> bool, most: f64) -> Option<f64> {
        let with = |arrivals| holds(Self { arrivals, ..self });
        let (mut without, mut least) = (0.0, most);
        if with(without) || !with(least) {
            return None;
        }
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(without, least);
            if with(middle) {
                least = middle;
            } else {
                without = middle;
            }
        }
        Some(least)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn rule(target: u64) -> QueueWaitRule {
        QueueWaitRule {
            target: Duration::from_secs(target),
            concurrency: 4.0,
        }
    }

    /// A little less, or a little more.
    fn off(edge: Edge) -> (f64, f64) {
        (edge.value() * 0.999, edge.value() * 1.001)
    }

    #[test]
    fn at_each_value_that_is_told_the_rule_itself_changes_its_mind() {
        let rule = rule(10);
        for (arrivals, queued, ready, start) in [
            (2.0, 0, 3, 30),
            (2.0, 40, 3, 5),
            (0.01, 0, 1, 90),
            (300.0, 7, 400, 0),
        ] {
            let need = Need {
                arrivals,
                service_time: 5.0,
                queued,
                ready,
                start: Duration::from_secs(start),
            };
            let desired = need.workers(&rule);
            let state = QueueWaitState {
                asked: Some(need),
                ..QueueWaitState::new()
            };
            let told = state.outlook(&rule, desired);
            assert!(told.len() >= 2, "{need:?}: {told:?}");
            for outlook in told {
                let (Outlook::More(threshold) | Outlook::Agrees(threshold)) = &outlook else {
                    panic!("{outlook:?}");
                };
                let asks = |value: f64| match threshold.measure.as_str() {
                    QUEUE => Need {
                        queued: value as u32,
                        ..need
                    },
                    _ => Need {
                        arrivals: value,
                        queued: if matches!(outlook, Outlook::Agrees(_)) {
                            0
                        } else {
                            queued
                        },
                        ..need
                    },
                };
                let at = threshold.edge.value();
                let (less, more) = match threshold.measure.as_str() {
                    QUEUE => (at - 1.0, at),
                    _ => off(threshold.edge),
                };
                let (less, more) = (asks(less).workers(&rule), asks(more).workers(&rule));
                let mind = if matches!(outlook, Outlook::More(_)) {
                    less <= desired && more > desired
                } else {
                    less < desired && more >= desired
                };
                assert!(mind, "{need:?}: {outlook}: {less}, {more}");
            }
        }
    }

    #[test]
    fn nothing_is_told_before_it_is_known_how_long_requests_take() {
        assert_eq!(QueueWaitState::new().outlook(&rule(1), 1), []);
    }
}
