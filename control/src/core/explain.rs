//! Answers who asks why.

use std::time::Duration;

use super::{Core, deployment::Turn};
use crate::explain::{Present, Unknown};

/// Names of a deployment and its decision.
pub type Explained = Vec<(String, Present)>;

impl Core {
    /// The decisions about all deployments of a service, or about one of them.
    pub(super) fn explain(
        &self,
        service: &str,
        deployment: Option<&str>,
    ) -> Result<Explained, Unknown> {
        let turn = self.turn_at(self.now.at);
        let Some(found) = self.services.get(service) else {
            return Err(Unknown::Service {
                name: service.to_owned(),
                there_are: self.services.keys().map(ToString::to_string).collect(),
            });
        };
        let names = found.deployments.keys().map(ToString::to_string);
        if let Some(name) = deployment
            && !found.deployments.contains_key(name)
        {
            return Err(Unknown::Deployment {
                service: service.to_owned(),
                name: name.to_owned(),
                there_are: names.collect(),
            });
        }
        let asked = names
            .zip(found.deployments.values())
            .filter(|(name, _)| deployment.is_none_or(|wanted| wanted == name));
        Ok(asked
            .map(|(name, deployment)| (name, deployment.present(turn)))
            .collect())
    }

    /// What holds for all deployments at this time.
    pub(super) fn turn_at(&self, now: Duration) -> Turn<'_> {
        Turn {
            now,
            wall_ms: self.now.wall_ms,
            gateways: &self.gateways,
            shutting_down: self.shutting_down,
            starts_wait: self.adopting > 0,
        }
    }
}
