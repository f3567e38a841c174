//! What workers cost.

use metrics::{Gauge, gauge};

/// Says what the metrics mean.
pub(super) fn describe() {
    metrics::describe_gauge!(
        "penstock_cost_per_hour",
        "What the workers that are there cost in an hour, in the currency of the prices."
    );
    metrics::describe_gauge!(
        "penstock_cost_total",
        "What workers have cost, in the currency of the prices."
    );
    metrics::describe_gauge!(
        "penstock_idle_cost_total",
        "Of penstock_cost_total, what workers cost while they were ready and had no request."
    );
}

/// What the workers of one deployment cost; only where they have a price. The sums are counters that need not
/// be whole numbers.
#[derive(Default)]
pub(super) struct CostMetrics(Option<[Gauge; 3]>);

impl CostMetrics {
    pub(super) fn add(&mut self, service: &str, deployment: &str, [rate, sum, idle]: [f64; 3]) {
        let handles = self.0.get_or_insert_with(|| {
            let labels = [
                ("service", service.to_owned()),
                ("deployment", deployment.to_owned()),
            ];
            [
                gauge!("penstock_cost_per_hour", &labels),
                gauge!("penstock_cost_total", &labels),
                gauge!("penstock_idle_cost_total", &labels),
            ]
        });
        handles[0].set(rate);
        handles[1].increment(sum);
        handles[2].increment(idle);
    }
}
