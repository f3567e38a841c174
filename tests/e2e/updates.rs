//! Revisions, updates, and what operators ask of workers, with the real binary.

mod by_hand;
mod failing;
mod under_load;

use serde_json::Value;

use crate::support::{
    eventually,
    penstock::{Penstock, simulated},
};

/// A service of two workers that differ from round to round in their environment.
fn chat(round: u32, args: &str) -> String {
    let command = simulated(args);
    format!(
        r#"
        [services.chat.deployments.main]
        process = {{ {command}, env = {{ ROUND = "{round}" }}, stop_grace = "1s" }}
        probes.ready = {{ http = "/health", period = "1s" }}
        scaling = {{ min = 2, max = 4 }}
        "#
    )
}

impl Penstock {
    /// How a deployment is.
    pub(crate) async fn deployment(&self, service: &str, name: &str) -> Value {
        let status = self.admin().get("/api/v1/status").await.json();
        let services = status["services"].as_array().unwrap();
        let service = services.iter().find(|known| known["name"] == service);
        let deployments = service.unwrap()["deployments"].as_array().unwrap();
        let deployment = deployments.iter().find(|known| known["name"] == name);
        deployment.unwrap().clone()
    }

    /// Waits until a deployment has exactly so many workers, all ready and of this revision.
    pub(crate) async fn until_all_run(&self, service: &str, revision: u64, workers: usize) {
        let what = format!("{service}: {workers} workers of revision {revision} and no other");
        eventually(&what, async || {
            let deployment = self.deployment(service, "main").await;
            let all = deployment["workers"].as_array().unwrap();
            let good = |worker: &&Value| {
                worker["state"] == "ready" && worker["revision"].as_u64() == Some(revision)
            };
            (all.len() == workers && all.iter().all(|worker| good(&worker))).then_some(())
        })
        .await;
    }
}
