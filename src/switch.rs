//! `penstock switch`: goes to another revision.

use anyhow::bail;
use clap::Args;
use http::Method;
use serde::Serialize;

use crate::{
    admin_client::block_on,
    revisions,
    target::Target,
    who::{ChangeArgs, Who},
};

/// Go to another revision of a deployment's workers without interruption, or try an update again that has
/// stopped.
///
/// Workers are replaced as `update` in the file says. The revision stays in force, also across restarts,
/// until another switch, or until the file changes what its workers run. `penstock revisions` shows which
/// there are.
#[derive(Args)]
pub(crate) struct SwitchArgs {
    /// The deployment; the service alone where it has but one.
    #[arg(value_name = "SERVICE/DEPLOYMENT")]
    target: Target,
    /// The number of the revision.
    #[arg(value_name = "REVISION", allow_negative_numbers = true)]
    revision: Option<i64>,
    /// Go to what the file says.
    #[arg(long, conflicts_with = "revision")]
    reset: bool,
    /// Print all about it as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Serialize)]
struct Switch {
    revision: u64,
    #[serde(flatten)]
    who: Who,
}

/// Asks for it, and says what came of it.
pub(crate) fn run(args: &SwitchArgs) -> anyhow::Result<()> {
    let (client, page) = (args.change.client(), args.target.page("switch"));
    let who = args.change.who();
    let status = match args.revision {
        Some(revision) => {
            let Ok(revision) = u64::try_from(revision) else {
                bail!(
                    "{revision} is no revision: they count from 1, penstock revisions {} shows them",
                    args.target
                );
            };
            let body = Switch { revision, who };
            block_on(client.change(Method::POST, &page, &body))?
        }
        None if args.reset => block_on(client.change(Method::DELETE, &page, &who))?,
        None => bail!(
            "which revision? penstock revisions {} shows them; --reset goes back to that of the file",
            args.target
        ),
    };
    revisions::print_done(&status, args.json)
}
