//! What a gateway tells besides the load.

use crate::{DeploymentName, ServiceName};

/// What is told of one service for people: nothing is decided by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceLoad {
    /// Which service.
    pub service: ServiceName,
    /// Requests of each class that wait now, by name; empty where it has no classes.
    pub classes: Vec<(Box<str>, u32)>,
    /// What became of mirrored copies, where there are to be any.
    pub mirror: Option<MirrorLoad>,
    /// What went from one tier to another, by deployment; empty where there is but one.
    pub overflow: Vec<OverflowLoad>,
}

/// What one deployment gives to higher tiers and takes from lower ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverflowLoad {
    /// Which deployment.
    pub deployment: DeploymentName,
    /// Of its load now, requests that a worker of a higher tier has.
    pub away: u32,
    /// Requests so far that came to it first.
    pub came: u64,
    /// Requests so far that it served because no lower tier could in time.
    pub taken: u64,
}

/// What became of the copies for the deployment that a service's requests are mirrored to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MirrorLoad {
    /// Copies that wait or are in flight now.
    pub in_flight: u32,
    /// Copies so far that got a worker.
    pub sent: u64,
    /// Copies so far that were not answered to the end.
    pub dropped: u64,
    /// Pairs of original and copy so far whose statuses agree.
    pub same: u64,
    /// Those whose do not.
    pub different: u64,
}

impl std::ops::AddAssign for MirrorLoad {
    fn add_assign(&mut self, other: Self) {
        self.in_flight = self.in_flight.saturating_add(other.in_flight);
        self.sent += other.sent;
        self.dropped += other.dropped;
        self.same += other.same;
        self.different += other.different;
    }
}
