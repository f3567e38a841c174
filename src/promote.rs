//! `penstock promote`: all traffic to one deployment.

use clap::Args;
use http::Method;
use penstock_config::{DeploymentName, ServiceName};
use serde::Serialize;

use crate::{
    admin_client::block_on,
    weights,
    who::{Asked, TrafficArgs},
};

/// Send all traffic of a service to one deployment, until `penstock rollback` or `penstock weights --reset`.
///
/// New requests go there from the next moment on; those in flight finish where they began.
#[derive(Args)]
pub(crate) struct PromoteArgs {
    /// The service.
    #[arg(value_parser = |text: &str| ServiceName::try_from(text))]
    service: ServiceName,
    /// The deployment that gets everything.
    #[arg(value_parser = |text: &str| DeploymentName::try_from(text))]
    deployment: DeploymentName,
    #[command(flatten)]
    change: TrafficArgs,
}

#[derive(Serialize)]
struct Promote<'a> {
    deployment: &'a str,
    #[serde(flatten)]
    asked: Asked,
}

/// Asks for it, and prints the weights as they are then.
pub(crate) fn run(args: &PromoteArgs) -> anyhow::Result<()> {
    let client = args.change.client();
    let body = Promote {
        deployment: args.deployment.as_str(),
        asked: args.change.asked(),
    };
    let path = format!("/api/v1/services/{}/promote", args.service);
    let status = block_on(client.change(Method::POST, &path, &body))?;
    weights::print(&status, args.change.is_dry())
}
