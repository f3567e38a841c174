//! `penstock rollback`: the weights as they were before they were last changed.

use clap::Args;
use http::Method;
use penstock_config::ServiceName;

use crate::{admin_client::block_on, weights, who::TrafficArgs};

/// Take back the last change of a service's weights, or its rollout.
///
/// What was taken back before gets no traffic again: that needs `--force`. `--dry-run` shows what would happen.
#[derive(Args)]
pub(crate) struct RollbackArgs {
    /// The service.
    #[arg(value_parser = |text: &str| ServiceName::try_from(text))]
    service: ServiceName,
    #[command(flatten)]
    change: TrafficArgs,
}

/// Asks for it, and prints the weights as they are then.
pub(crate) fn run(args: &RollbackArgs) -> anyhow::Result<()> {
    let client = args.change.client();
    let path = format!("/api/v1/services/{}/rollback", args.service);
    let status = block_on(client.change(Method::POST, &path, &args.change.asked()))?;
    weights::print(&status, args.change.is_dry())
}
