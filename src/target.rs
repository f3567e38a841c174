//! What a command is about: a service, or one of its deployments.

use std::{fmt, str::FromStr};

use penstock_config::{DeploymentName, ServiceName};

/// `SERVICE` or `SERVICE/DEPLOYMENT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) service: ServiceName,
    pub(crate) deployment: Option<DeploymentName>,
}

impl Target {
    /// The page of the API with this name about it.
    pub(crate) fn page(&self, name: &str) -> String {
        let service = &self.service;
        match &self.deployment {
            None => format!("/api/v1/services/{service}/{name}"),
            Some(deployment) => {
                format!("/api/v1/services/{service}/deployments/{deployment}/{name}")
            }
        }
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (service, deployment) = match text.split_once('/') {
            Some((service, deployment)) => (service, Some(deployment)),
            None => (text, None),
        };
        let service = ServiceName::try_from(service).map_err(|error| error.to_string())?;
        let deployment = deployment.map(DeploymentName::try_from).transpose();
        let deployment = deployment.map_err(|error| error.to_string())?;
        Ok(Self {
            service,
            deployment,
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.deployment {
            None => self.service.fmt(f),
            Some(deployment) => write!(f, "{}/{deployment}", self.service),
        }
    }
}

/// One worker: `SERVICE/DEPLOYMENT#NUMBER`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WorkerTarget {
    pub(crate) service: ServiceName,
    pub(crate) deployment: DeploymentName,
    pub(crate) slot: u32,
}

impl FromStr for WorkerTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "must be SERVICE/DEPLOYMENT#NUMBER, such as chat/stable#0".to_owned();
        let (target, slot) = text.split_once('#').ok_or_else(wrong)?;
        let Target {
            service,
            deployment,
        } = target.parse()?;
        Ok(Self {
            service,
            deployment: deployment.ok_or_else(wrong)?,
            slot: slot.parse().map_err(|_| wrong())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_named_by_its_deployment_and_its_number() {
        let worker: WorkerTarget = "chat/stable#12".parse().expect("a worker");
        assert_eq!((worker.deployment.as_str(), worker.slot), ("stable", 12));
        for text in [
            "chat/stable",
            "chat#1",
            "chat/stable#",
            "chat/stable#-1",
            "#1",
            "chat/#1",
        ] {
            assert!(text.parse::<WorkerTarget>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_service_or_one_of_its_deployments_is_named_and_nothing_else() {
        for text in ["chat", "chat/canary"] {
            let target: Target = text.parse().expect("a target");
            assert_eq!(target.to_string(), text);
        }
        for text in [
            "",
            "/",
            "chat/",
            "/canary",
            "chat/canary/0",
            "Chat",
            "chat canary",
        ] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }
}
