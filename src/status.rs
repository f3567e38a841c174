//! `penstock status`: how services, deployments and workers are.

mod table;
mod watch;

use std::io::Write;

use clap::Args;
use penstock_config::ServiceName;
use penstock_control::status::{ServiceDetail, Status};
use serde::Serialize;

pub(crate) use self::table::{about_by_hand, about_rollout, at, printable, since};
use crate::admin_client::{AdminArgs, AdminClient, block_on};

/// Show services, deployments and workers, and why there are as many as there are.
#[derive(Args)]
pub(crate) struct StatusArgs {
    /// Only this service, with its last decisions and events.
    #[arg(value_parser = |text: &str| ServiceName::try_from(text))]
    service: Option<ServiceName>,
    /// Print it as JSON; with --watch, one object per line.
    #[arg(long)]
    json: bool,
    /// Show it again every second until Ctrl-C.
    #[arg(short, long)]
    watch: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

/// Prints the status, once or every second.
pub(crate) fn run(args: &StatusArgs) -> anyhow::Result<()> {
    let client = AdminClient::new(&args.admin);
    block_on(async {
        if args.watch {
            watch::watch(&client, args).await
        } else {
            let text = text(&client, args).await?;
            Ok(anstream::stdout().write_all(text.as_bytes())?)
        }
    })
}

/// What is printed, with colours.
async fn text(client: &AdminClient, args: &StatusArgs) -> anyhow::Result<String> {
    if args.json {
        return json(client, args).await;
    }
    let status: Status = client.get_json("/api/v1/status").await?;
    let Some(name) = &args.service else {
        return Ok(table::overview(&status));
    };
    let detail: ServiceDetail = client.get_json(&format!("/api/v1/services/{name}")).await?;
    Ok(table::detail(&status, &detail))
}

async fn json(client: &AdminClient, args: &StatusArgs) -> anyhow::Result<String> {
    match &args.service {
        None => to_json(
            &client.get_json::<Status>("/api/v1/status").await?,
            args.watch,
        ),
        Some(name) => to_json(
            &client
                .get_json::<ServiceDetail>(&format!("/api/v1/services/{name}"))
                .await?,
            args.watch,
        ),
    }
}

/// In one line when there will be more, so that a program can read them as they come.
fn to_json(value: &impl Serialize, in_one_line: bool) -> anyhow::Result<String> {
    let text = if in_one_line {
        serde_json::to_string(value)
    } else {
        serde_json::to_string_pretty(value)
    };
    Ok(text? + "\n")
}
