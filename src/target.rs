//! What a command is about: a service, or one of its deployments.

use std::{fmt, str::FromStr};

use penstock_config::{DeploymentName, ServiceName};

/// `SERVICE` or `SERVICE/DEPLOYMENT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) service: ServiceName,
    pub(crate) deployment: Option<DeploymentName>,
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

#[cfg(test)]
mod tests {
    use super::*;

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
