//! `penstock logs`: what the workers of a service wrote.

use std::io::Write;

use clap::Args;
use http_body_util::BodyExt;
use penstock_config::{DeploymentName, ServiceName};

use crate::admin_client::{AdminArgs, AdminClient, block_on};

/// Show what the workers of a service wrote.
#[derive(Args)]
pub(crate) struct LogsArgs {
    /// The service.
    #[arg(value_parser = |text: &str| ServiceName::try_from(text))]
    service: ServiceName,
    /// Only workers of this deployment.
    #[arg(long, value_parser = |text: &str| DeploymentName::try_from(text))]
    deployment: Option<DeploymentName>,
    /// Only workers with this number: the N of `#N` in `penstock status`.
    #[arg(long, value_name = "N")]
    worker: Option<u32>,
    /// How many of the last lines.
    #[arg(short = 'n', long, default_value_t = 100)]
    lines: u32,
    /// Go on with new lines as they come.
    #[arg(short, long)]
    follow: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

/// Prints the lines.
pub(crate) fn run(args: &LogsArgs) -> anyhow::Result<()> {
    block_on(print(args))
}

async fn print(args: &LogsArgs) -> anyhow::Result<()> {
    let mut body = AdminClient::new(&args.admin).get(&path(args)).await?;
    let mut out = std::io::stdout();
    let mut empty = true;
    while let Some(frame) = body.frame().await {
        let Ok(bytes) = frame
            .map_err(|_| anyhow::anyhow!("penstock has ended"))?
            .into_data()
        else {
            continue;
        };
        out.write_all(&bytes)?;
        out.flush()?;
        empty = false;
    }
    if empty {
        eprintln!(
            "no lines: no worker of {} has written anything yet",
            args.service
        );
    }
    Ok(())
}

fn path(args: &LogsArgs) -> String {
    let LogsArgs {
        service,
        deployment,
        worker,
        lines,
        follow,
        ..
    } = args;
    let mut path = format!("/api/v1/services/{service}/logs?lines={lines}&follow={follow}");
    if let Some(deployment) = deployment {
        path += &format!("&deployment={deployment}");
    }
    if let Some(worker) = worker {
        path += &format!("&worker={worker}");
    }
    path
}
