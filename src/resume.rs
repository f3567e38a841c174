//! `penstock resume`: takes a pause back.

use clap::Args;
use http::Method;

use crate::{admin_client::block_on, pause, target::Target, who::ChangeArgs};

/// Take back what `penstock pause` did: `min` workers start at once.
///
/// With `min = 0` the first request wakes one, as after any idle time.
#[derive(Args)]
pub(crate) struct ResumeArgs {
    /// The service, or one of its deployments: whichever was paused.
    #[arg(value_name = "SERVICE[/DEPLOYMENT]")]
    target: Target,
    /// Print what is paused as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Asks for it, and says what came of it.
pub(crate) fn run(args: &ResumeArgs) -> anyhow::Result<()> {
    let client = args.change.client();
    let (page, who) = (args.target.page("pause"), args.change.who());
    let status = block_on(client.change(Method::DELETE, &page, &who))?;
    pause::print(&status, &args.target, args.json)
}
