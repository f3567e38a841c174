//! What workers cost: the price of each from its start until nothing is left of it. A look once a second decides
//! whether a worker that is ready has something to do.

use std::{collections::HashMap, sync::Arc, time::Duration};

use penstock_config::fleet::WorkerId;

use super::{Core, deployment::DeploymentState, gpus::Ledger};
use crate::status::CostStatus;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// What the workers of one deployment cost.
#[derive(Debug, Default)]
pub(super) struct Bill {
    per_hour: f64,
    /// Since the start.
    all: Spent,
    today: Spent,
    /// Days since 1970.
    day: u64,
}

/// What was spent, and for nothing.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
struct Spent {
    sum: f64,
    idle: f64,
}

impl Spent {
    fn add(&mut self, more: Self) {
        self.sum += more.sum;
        self.idle += more.idle;
    }
}

/// What the workers of a deployment cost in an hour now.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
struct Rate {
    all: f64,
    /// Of that, those that are ready and have nothing to do.
    idle: f64,
}

impl Bill {
    /// Adds what was spent in this time. Gives what is new to tell: the rate, and what was spent.
    fn add(&mut self, rate: Rate, time: Duration, wall_ms: u64) -> Option<[f64; 3]> {
        let hours = time.as_secs_f64() / 3600.0;
        let more = Spent {
            sum: rate.all * hours,
            idle: rate.idle * hours,
        };
        let day = wall_ms / DAY_MS;
        if std::mem::replace(&mut self.day, day) != day {
            self.today = Spent::default();
        }
        self.all.add(more);
        self.today.add(more);
        let before = std::mem::replace(&mut self.per_hour, rate.all);
        (rate.all > 0.0 || before > 0.0).then_some([rate.all, more.sum, more.idle])
    }

    fn describe(&self) -> CostStatus {
        CostStatus {
            per_hour: self.per_hour,
            since_start: self.all.sum,
            idle_since_start: self.all.idle,
            today: self.today.sum,
            idle_today: self.today.idle,
        }
    }
}

impl Core {
    /// Notes what the workers cost since the last time.
    pub(super) fn note_costs(&mut self) {
        let now = self.now.at;
        let before = self.costs_at.replace(now).unwrap_or(now);
        let time = now.saturating_sub(before);
        let prices = Prices::of(&self.gpus);
        let deployments = self.services.values_mut();
        for deployment in deployments.flat_map(|service| service.deployments.values_mut()) {
            let Some(rate) = deployment.rate(&prices, &self.gpus) else {
                deployment.bill = None;
                continue;
            };
            let bill = deployment.bill.get_or_insert_default();
            if let Some(news) = bill.add(rate, time, self.now.wall_ms) {
                deployment.tally.cost(news);
            }
        }
    }
}

/// The GPUs that have a price.
struct Prices(HashMap<Arc<str>, f64>);

impl Prices {
    fn of(ledger: &Ledger) -> Self {
        let priced = ledger.groups().iter().filter_map(|group| {
            let price = group.spec.price_per_hour?;
            Some(
                group
                    .devices
                    .iter()
                    .map(move |device| (Arc::clone(&device.name), price)),
            )
        });
        Self(priced.flatten().collect())
    }

    /// What the GPUs of a worker cost in an hour; `None` where that is not known of any.
    fn of_worker(&self, id: &WorkerId, ledger: &Ledger) -> Option<f64> {
        let prices = ledger.of(id).filter_map(|name| self.0.get(name));
        prices.copied().reduce(|sum, price| sum + price)
    }
}

impl DeploymentState {
    /// What its workers cost; `None` where they have no price.
    fn rate(&self, prices: &Prices, ledger: &Ledger) -> Option<Rate> {
        let own = self.spec.price_per_hour;
        // Without workers it costs nothing, if what it had or would have has a price.
        let has_price = own.is_some() || self.bill.is_some();
        let may_have = !prices.0.is_empty() && self.spec.source.gpus().is_some();
        if !has_price && !may_have {
            return None;
        }
        let mut rate = Rate::default();
        for worker in &self.workers {
            let price = own.or_else(|| prices.of_worker(worker.id(), ledger));
            let price = price.unwrap_or_default();
            rate.all += price;
            if worker.is_ready() && self.tracker.in_flight(worker.id()) == 0 {
                rate.idle += price;
            }
        }
        Some(rate)
    }

    /// What its workers cost, where that is known.
    pub(super) fn describe_cost(&self) -> Option<CostStatus> {
        self.bill.as_ref().map(|bill| bill.describe())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spent_adds_up_and_the_day_begins_at_midnight() {
        let mut bill = Bill::default();
        let rate = Rate {
            all: 7.2,
            idle: 3.6,
        };
        let before_midnight = DAY_MS * 20_000 - 1000;
        for second in 0..3 {
            let news = bill.add(
                rate,
                Duration::from_secs(1),
                before_midnight + second * 1000,
            );
            let [per_hour, spent, idle] = news.expect("there is something to tell");
            assert_eq!(per_hour, 7.2);
            assert!((spent - 0.002).abs() < 1e-9 && (idle - 0.001).abs() < 1e-9);
        }
        let told = bill.describe();
        assert!((told.since_start - 0.006).abs() < 1e-9, "{told:?}");
        assert!((told.today - 0.004).abs() < 1e-9, "{told:?}");
        assert!((told.idle_today - 0.002).abs() < 1e-9, "{told:?}");
        // The end is told once.
        let none = Rate::default();
        let second = Duration::from_secs(1);
        assert_eq!(bill.add(none, second, before_midnight), Some([0.0; 3]));
        assert_eq!(bill.add(none, second, before_midnight), None);
    }
}
