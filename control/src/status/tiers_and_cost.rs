//! What went from one tier of a service to another, and what its workers cost.

use penstock_config::{DeploymentName, fleet::ServiceLoad};
use serde::{Deserialize, Serialize};

/// What a deployment took from lower tiers, by the newest reports.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct OverflowStatus {
    /// Requests that it took since the gateways began because no lower tier could serve them in time.
    pub taken: u64,
    /// Of all that came to the service, in percent.
    pub percent: f64,
    /// Requests that came to this deployment and that workers of a higher tier have now.
    pub away: u32,
}

/// What workers cost, in the currency of the prices. Counted once a second since Penstock's start, from a worker's
/// start until nothing is left of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct CostStatus {
    /// What those that are there now cost in an hour.
    pub per_hour: f64,
    /// What all have cost since Penstock's start.
    pub since_start: f64,
    /// Of that, what workers cost while they were ready and had no request.
    pub idle_since_start: f64,
    /// What all have cost since midnight (UTC), or since the start if that is later.
    pub today: f64,
    /// Of that, as above.
    pub idle_today: f64,
}

impl std::iter::Sum for CostStatus {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            per_hour: sum.per_hour + one.per_hour,
            since_start: sum.since_start + one.since_start,
            idle_since_start: sum.idle_since_start + one.idle_since_start,
            today: sum.today + one.today,
            idle_today: sum.idle_today + one.idle_today,
        })
    }
}

impl std::fmt::Display for CostStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            per_hour,
            since_start,
            idle_since_start,
            today,
            idle_today,
        } = self;
        write!(
            f,
            "costs {per_hour:.2} an hour; {today:.2} today, of which {idle_today:.2} idle; \
             {since_start:.2} since the start, of which {idle_since_start:.2} idle"
        )
    }
}

/// What a deployment took and gave, by what each gateway tells; `None` where nothing can overflow.
pub(crate) fn overflow<'a>(
    deployment: &DeploymentName,
    told: impl Iterator<Item = &'a ServiceLoad> + Clone,
) -> Option<OverflowStatus> {
    let all = || told.clone().flat_map(|told| &told.overflow);
    let own = || all().filter(|load| load.deployment == *deployment);
    own().next()?;
    let taken: u64 = own().map(|load| load.taken).sum();
    let came: u64 = all().map(|load| load.came).sum();
    Some(OverflowStatus {
        taken,
        percent: match came {
            0 => 0.0,
            came => 100.0 * taken as f64 / came as f64,
        },
        away: own().map(|load| load.away).sum(),
    })
}
