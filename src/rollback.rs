//! `penstock rollback`: the weights as they were before they were last changed.

use clap::Args;
use http::Method;
use penstock_config::ServiceName;

use crate::{
    admin_client::{AdminArgs, AdminClient, block_on},
    weights,
    who::{Who, WhyArgs},
};

/// Take back the last change of a service's weights.
#[derive(Args)]
pub(crate) struct RollbackArgs {
    /// The service.
    #[arg(value_parser = |text: &str| ServiceName::try_from(text))]
    service: ServiceName,
    #[command(flatten)]
    why: WhyArgs,
    #[command(flatten)]
    admin: AdminArgs,
}

/// Asks for it, and prints the weights as they are then.
pub(crate) fn run(args: &RollbackArgs) -> anyhow::Result<()> {
    let client = AdminClient::new(&args.admin);
    let path = format!("/api/v1/services/{}/rollback", args.service);
    let status = block_on(client.change(Method::POST, &path, &Who::new(&args.why)))?;
    weights::print(&status)
}
