//! `penstock weights`: how a service's traffic is shared, and changing it at runtime.

mod table;

use std::{collections::BTreeMap, io::Write};

use anyhow::bail;
use clap::Args;
use http::Method;
use penstock_config::{DeploymentName, ServiceName};
use penstock_control::{status::WeightsStatus, weights::Amount};
use serde::Serialize;

use crate::{
    admin_client::block_on,
    output::print_json,
    who::{Asked, TrafficArgs},
};

/// Show how a service's traffic is shared between its deployments, or share it differently.
///
/// A share (`canary=10%`) is a share of the traffic; deployments that are not named share the rest as they
/// did before. Bare numbers are weights in relation to each other, and then all are named (`stable=9 canary=1`).
/// What is set here overrides the file, also across restarts, until `--reset`.
#[derive(Args)]
pub(crate) struct WeightsArgs {
    /// The service.
    #[arg(value_parser = |text: &str| ServiceName::try_from(text))]
    service: ServiceName,
    /// New shares, such as `canary=10%`, or new weights of all, such as `stable=9 canary=1`.
    #[arg(value_name = "DEPLOYMENT=SHARE", value_parser = parse_amount)]
    weights: Vec<(DeploymentName, Amount)>,
    /// Follow the file again.
    #[arg(long, conflicts_with = "weights")]
    reset: bool,
    /// Print them as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    change: TrafficArgs,
}

#[derive(Serialize)]
struct Set<'a> {
    weights: BTreeMap<&'a str, Amount>,
    #[serde(flatten)]
    asked: Asked,
}

fn parse_amount(text: &str) -> Result<(DeploymentName, Amount), String> {
    let (name, amount) = text
        .split_once('=')
        .ok_or("must be DEPLOYMENT=SHARE, such as canary=10%")?;
    let name = DeploymentName::try_from(name).map_err(|error| error.to_string())?;
    Ok((name, amount.parse()?))
}

/// Asks for the change, if there is one, and prints the weights as they are then.
pub(crate) fn run(args: &WeightsArgs) -> anyhow::Result<()> {
    let status = block_on(ask(args))?;
    if args.json {
        return print_json(&status);
    }
    print(&status, args.change.is_dry())
}

async fn ask(args: &WeightsArgs) -> anyhow::Result<WeightsStatus> {
    let client = args.change.client();
    let path = format!("/api/v1/services/{}/weights", args.service);
    let asked = args.change.asked();
    if args.reset {
        return client.change(Method::DELETE, &path, &asked).await;
    }
    if args.weights.is_empty() {
        return client.get_json(&path).await;
    }
    let mut weights = BTreeMap::new();
    for (name, amount) in &args.weights {
        if weights.insert(name.as_str(), *amount).is_some() {
            bail!("{name} is named twice");
        }
    }
    let body = Set { weights, asked };
    client.change(Method::PUT, &path, &body).await
}

/// Prints the weights of a service, as they are or as they would be.
pub(crate) fn print(status: &WeightsStatus, is_dry: bool) -> anyhow::Result<()> {
    Ok(anstream::stdout().write_all(table::weights(status, is_dry).as_bytes())?)
}
