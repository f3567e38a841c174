//! Why a service may be slow: how its requests did of late, and which are open.

use std::sync::Arc;

use penstock_config::{
    DeploymentName,
    fleet::{OpenRequest, ServiceInsight},
};

use crate::{
    count::open::{Oldest, Row},
    fleet::deployment::DeploymentState,
    listen::server::Asker,
    settle::thread::Shared,
};

/// Tells it to whoever asks. Requests wait for none of this.
#[derive(Clone)]
pub struct Insight {
    shared: Arc<Shared>,
    threads: Asker,
}

impl Insight {
    pub(crate) fn new(shared: Arc<Shared>, threads: Asker) -> Self {
        Self { shared, threads }
    }

    /// Of one service, with the oldest `max` of its open requests. A service that the gateway does not
    /// know has none.
    pub async fn of(&self, service: &str, max: usize) -> ServiceInsight {
        let deployments = self.deployments(service);
        let addresses = deployments.iter().map(DeploymentState::address).collect();
        let Oldest { mut rows, all } = self.threads.oldest(addresses, max).await;
        rows.sort_by_key(|row| row.started);
        rows.truncate(max);
        let now = self.shared.clock.now();
        let name = |address: usize| {
            let mut known = deployments.iter();
            let found = known.find(|deployment| deployment.address() == address);
            found.map(|deployment| deployment.name.clone())
        };
        let told = rows
            .into_iter()
            .filter_map(|row| Some(open_request(&row, name(row.deployment)?, now)));
        ServiceInsight {
            oldest: told.collect(),
            open: all,
            deployments: deployments
                .iter()
                .map(|deployment| deployment.insight(now))
                .collect(),
        }
    }

    /// Those of a service, and those that were removed from it and are not over yet.
    fn deployments(&self, service: &str) -> Vec<Arc<DeploymentState>> {
        let table = self.shared.table.load();
        let services = table.services().iter();
        let listed = services
            .filter(|known| known.spec.name.as_str() == service)
            .flat_map(|known| &known.deployments);
        let removed = self.shared.removed(&table).into_iter();
        let leaving = removed
            .filter(|deployment| deployment.service.as_str() == service && !deployment.is_over());
        listed.cloned().chain(leaving).collect()
    }
}

fn open_request(row: &Row, deployment: DeploymentName, now: std::time::Duration) -> OpenRequest {
    OpenRequest {
        id: row.id.to_string(),
        method: row.method.to_string(),
        path: row.path.to_string(),
        client: row.client,
        deployment,
        worker: row.worker,
        age: now.saturating_sub(row.started),
        stage: row.stage,
        in_stage: now.saturating_sub(row.since),
    }
}
