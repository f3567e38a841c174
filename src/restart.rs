//! `penstock restart`: the same revision anew.

use clap::Args;
use http::Method;

use crate::{admin_client::block_on, revisions, target::Target, who::ChangeArgs};

/// Replace the workers of a service, or of one deployment, by others that run the same.
///
/// A few at a time, as `update` in the file says: no request is lost. Workers at given addresses stay as
/// they are.
#[derive(Args)]
pub(crate) struct RestartArgs {
    /// The service, or one of its deployments.
    #[arg(value_name = "SERVICE[/DEPLOYMENT]")]
    target: Target,
    /// Print all about it as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Asks for it, and says what came of it.
pub(crate) fn run(args: &RestartArgs) -> anyhow::Result<()> {
    let (client, page) = (args.change.client(), args.target.page("restart"));
    let who = args.change.who();
    let status = block_on(client.change(Method::POST, &page, &who))?;
    revisions::print_done(&status, args.json)
}
