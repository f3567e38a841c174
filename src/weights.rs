//! `penstock weights`: how a service's traffic is shared, and changing it at runtime.

mod table;

use std::{collections::BTreeMap, io::Write};

use anyhow::bail;
use clap::Args;
use http::Method;
use penstock_config::{DeploymentName, ServiceName};
use penstock_control::status::WeightsStatus;
use serde::Serialize;

use crate::{
    admin_client::block_on,
    output::print_json,
    who::{ChangeArgs, Who},
};

/// Show how a service's traffic is shared between its deployments, or share it differently.
///
/// Weights that are set here override the file, also across restarts, until `--reset`.
#[derive(Args)]
pub(crate) struct WeightsArgs {
    /// The service.
    #[arg(value_parser = |text: &str| ServiceName::try_from(text))]
    service: ServiceName,
    /// New weights, in relation to each other; deployments that are not named keep theirs.
    #[arg(value_name = "DEPLOYMENT=WEIGHT", value_parser = parse_weight)]
    weights: Vec<(DeploymentName, u32)>,
    /// Follow the file again.
    #[arg(long, conflicts_with = "weights")]
    reset: bool,
    /// Print them as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Serialize)]
struct Set<'a> {
    weights: BTreeMap<&'a str, u32>,
    #[serde(flatten)]
    who: Who,
}

fn parse_weight(text: &str) -> Result<(DeploymentName, u32), String> {
    let (name, weight) = text
        .split_once('=')
        .ok_or("must be DEPLOYMENT=WEIGHT, such as canary=10")?;
    let name = DeploymentName::try_from(name).map_err(|error| error.to_string())?;
    let weight = weight
        .parse()
        .map_err(|_| format!("the weight \"{weight}\" must be a whole number from 0 on"))?;
    Ok((name, weight))
}

/// Asks for the change, if there is one, and prints the weights as they are then.
pub(crate) fn run(args: &WeightsArgs) -> anyhow::Result<()> {
    let status = block_on(ask(args))?;
    if args.json {
        return print_json(&status);
    }
    print(&status)
}

async fn ask(args: &WeightsArgs) -> anyhow::Result<WeightsStatus> {
    let client = args.change.client();
    let path = format!("/api/v1/services/{}/weights", args.service);
    let who = args.change.who();
    if args.reset {
        return client.change(Method::DELETE, &path, &who).await;
    }
    if args.weights.is_empty() {
        return client.get_json(&path).await;
    }
    let mut weights = BTreeMap::new();
    for (name, weight) in &args.weights {
        if weights.insert(name.as_str(), *weight).is_some() {
            bail!("{name} is given two weights");
        }
    }
    let body = Set { weights, who };
    client.change(Method::PUT, &path, &body).await
}

/// Prints the weights of a service.
pub(crate) fn print(status: &WeightsStatus) -> anyhow::Result<()> {
    Ok(anstream::stdout().write_all(table::weights(status).as_bytes())?)
}
