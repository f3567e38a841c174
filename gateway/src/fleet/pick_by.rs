//! Which worker a request gets: the service's rule, and what the request itself brings to it.

use penstock_balancer::{Overflow, Policy};
use penstock_config::{Balance, Service};

use crate::request::request_key::RequestHead;

/// What a request brings to the choice of its worker. Read from its head once, because a retry no
/// longer has the head.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PickBy {
    /// Hash of what binds the request to a worker, where workers are picked by hash.
    pub(crate) hash: Option<u64>,
}

impl PickBy {
    /// That of a request to `service`. Looks at nothing the service does not ask for.
    pub(crate) fn of(head: &RequestHead<'_>, service: &Service) -> Self {
        let by_hash = service.balance == Balance::Hash;
        let hash = service.hash.as_ref().filter(|_| by_hash);
        Self {
            hash: hash.and_then(|hash| head.hash(&hash.by)),
        }
    }
}

/// How the workers of a service's deployments are picked.
pub(crate) fn policy(service: &Service) -> Policy {
    match service.balance {
        Balance::RoundRobin => Policy::RoundRobin,
        Balance::LeastConnections => Policy::LeastConnections,
        Balance::Random => Policy::Random,
        Balance::PeakEwma => Policy::PeakEwma,
        Balance::Hash => {
            let overflow = service.hash.as_ref().map(|hash| hash.overflow);
            Policy::Hash(match overflow {
                Some(penstock_config::Overflow::AboveMean(factor)) => Overflow::AboveMean(factor),
                Some(penstock_config::Overflow::Never) => Overflow::Never,
                // A checked service that hashes says how.
                Some(penstock_config::Overflow::WhenFull) | None => Overflow::WhenFull,
            })
        }
    }
}
