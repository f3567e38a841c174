//! `penstock rollout`: how far a canary has come, and what an operator may ask of it.

use anyhow::bail;
use clap::Args;
use http::Method;
use penstock_config::{DeploymentName, ServiceName};
use penstock_control::status::WeightsStatus;
use serde::Serialize;

use crate::{
    admin_client::block_on,
    output::print_json,
    weights,
    who::{Asked, TrafficArgs},
};

/// Show how far the rollout of a service has come, pause it, or begin it again.
///
/// To take one back use `penstock rollback`.
#[derive(Args)]
pub(crate) struct RolloutArgs {
    /// The service.
    #[arg(value_parser = |text: &str| ServiceName::try_from(text))]
    service: ServiceName,
    /// The deployment with the rollout, to be sure that it is this one.
    #[arg(value_parser = |text: &str| DeploymentName::try_from(text))]
    deployment: Option<DeploymentName>,
    /// Keep its share. Should it turn out bad it is taken back all the same.
    #[arg(long, group = "action")]
    pause: bool,
    /// Go on after a pause.
    #[arg(long, group = "action")]
    resume: bool,
    /// Begin again with the first step, also after it was taken back because it failed.
    #[arg(long, group = "action")]
    restart: bool,
    /// Print it as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    change: TrafficArgs,
}

#[derive(Serialize)]
struct Ask<'a> {
    action: &'static str,
    deployment: Option<&'a str>,
    #[serde(flatten)]
    asked: Asked,
}

/// Asks for it, if anything, and prints how things are then.
pub(crate) fn run(args: &RolloutArgs) -> anyhow::Result<()> {
    let status = block_on(ask(args))?;
    let rolling = status
        .deployments
        .iter()
        .find(|found| found.rollout.is_some());
    let Some(rolling) = rolling else {
        bail!("no deployment of {} has a rollout", args.service);
    };
    if let Some(wanted) = &args.deployment
        && *wanted.as_str() != *rolling.name
    {
        bail!("{wanted} has no rollout; {} has", rolling.name);
    }
    if args.json {
        return print_json(&rolling.rollout);
    }
    weights::print(&status, args.change.is_dry())
}

async fn ask(args: &RolloutArgs) -> anyhow::Result<WeightsStatus> {
    let client = args.change.client();
    let action = match (args.pause, args.resume, args.restart) {
        (true, ..) => "pause",
        (_, true, _) => "resume",
        (.., true) => "restart",
        _ => {
            let path = format!("/api/v1/services/{}/weights", args.service);
            return client.get_json(&path).await;
        }
    };
    let body = Ask {
        action,
        deployment: args.deployment.as_ref().map(DeploymentName::as_str),
        asked: args.change.asked(),
    };
    let path = format!("/api/v1/services/{}/rollout", args.service);
    client.change(Method::POST, &path, &body).await
}
