//! What the gateway of the harness reports.

use std::sync::Arc;

use penstock_config::{
    ServiceName,
    fleet::{
        DeploymentFleet, DeploymentLoad, LoadReport, Outcomes, ServiceFleet, WorkerId, WorkerLoad,
    },
};

use super::Harness;
use crate::loads::{busy, idle};

impl Harness {
    /// A gateway that obeys the snapshot of this generation reports this load.
    pub(crate) async fn report(
        &mut self,
        generation: u64,
        queued: u32,
        workers: &[(&WorkerId, u32)],
    ) {
        self.arrivals += u64::from(queued);
        let in_flight: u32 = workers.iter().map(|(_, in_flight)| in_flight).sum();
        let load = DeploymentLoad {
            current: in_flight + queued,
            queued,
            arrivals: self.arrivals,
            workers: workers
                .iter()
                .map(|(id, in_flight)| WorkerLoad {
                    id: (*id).clone(),
                    in_flight: *in_flight,
                    copies: 0,
                    answered: 0,
                    failed: 0,
                    ejected: false,
                })
                .collect(),
            ..idle(&chat(), &"stable".try_into().expect("a name"))
        };
        let report = self.next_report(generation, vec![load]);
        self.send(report).await;
    }

    /// As a gateway without load that obeys the newest snapshot.
    pub(crate) async fn report_nothing(&mut self) {
        let generation = self.generation();
        self.report(generation, 0, &[]).await;
    }

    /// As a gateway that knows every deployment of the snapshot and has no load.
    pub(crate) async fn report_everything(&mut self) {
        let report = self.report_of_all(|idle, _| idle);
        self.send(report).await;
    }

    /// What a gateway says of every deployment of the snapshot in this second, with load on every
    /// worker.
    pub(crate) fn busy_report(&mut self, second: u64) -> LoadReport {
        self.report_of_all(|idle, found| {
            if found.workers.is_empty() {
                idle
            } else {
                busy(idle, found, second)
            }
        })
    }

    /// A gateway that obeys the newest snapshot reports that deployments of `chat` have answered
    /// so much more.
    pub(crate) async fn report_outcomes(&mut self, news: &[(&str, &Outcomes)]) {
        let mut deployments = Vec::new();
        for (name, more) in news {
            let sum = self.outcomes.entry((*name).to_owned()).or_default();
            sum.succeeded += more.succeeded;
            sum.failed += more.failed;
            let counts = sum.first_byte.counts.iter_mut();
            counts
                .zip(more.first_byte.counts)
                .for_each(|(count, more)| *count += more);
            deployments.push(DeploymentLoad {
                outcomes: sum.clone(),
                ..idle(&chat(), &(*name).try_into().expect("a name"))
            });
        }
        let report = self.next_report(self.generation(), deployments);
        self.send(report).await;
    }

    pub(crate) async fn send(&self, report: LoadReport) {
        self.reports.send(report).await.expect("control listens");
    }

    /// What is said of every deployment of the newest snapshot, made from one without load.
    fn report_of_all(
        &mut self,
        load: impl Fn(DeploymentLoad, &DeploymentFleet) -> DeploymentLoad,
    ) -> LoadReport {
        let fleet = self.fleet.borrow().clone();
        let of_service = |service: &Arc<ServiceFleet>| {
            let name = &service.spec.name;
            let load = |found: &DeploymentFleet| load(idle(name, &found.spec.name), found);
            service.deployments.iter().map(load).collect::<Vec<_>>()
        };
        let deployments = fleet.services.iter().flat_map(of_service).collect();
        self.next_report(fleet.generation, deployments)
    }

    fn next_report(&mut self, generation: u64, deployments: Vec<DeploymentLoad>) -> LoadReport {
        self.sequence += 1;
        LoadReport {
            gateway: 1,
            sequence: self.sequence,
            generation,
            at: self.began.elapsed(),
            deployments,
            services: Vec::new(),
        }
    }
}

fn chat() -> ServiceName {
    "chat".try_into().expect("a name")
}
