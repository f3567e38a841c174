//! `penstock scale`: a number of workers by hand.

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

/// Have so many workers, whatever the rules and `min` say, until `--auto`.
///
/// It holds across restarts of Penstock and changes of the file. `max` of the file and the devices of the
/// machine still hold. For no workers at all there is `penstock pause`.
#[derive(Args)]
pub(crate) struct ScaleArgs {
    /// The deployment; the service alone where it has but one.
    #[arg(value_name = "SERVICE/DEPLOYMENT")]
    target: Target,
    /// How many.
    #[arg(value_name = "WORKERS", allow_negative_numbers = true)]
    workers: Option<i64>,
    /// Let the rules decide again.
    #[arg(long, conflicts_with = "workers")]
    auto: bool,
    /// Print all about it as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Serialize)]
struct Scale {
    workers: u32,
    #[serde(flatten)]
    who: Who,
}

/// Asks for it, and says what came of it.
pub(crate) fn run(args: &ScaleArgs) -> anyhow::Result<()> {
    let (client, page) = (args.change.client(), args.target.page("scale"));
    let who = args.change.who();
    let status = match args.workers {
        Some(workers) => {
            let Ok(workers) = u32::try_from(workers) else {
                bail!(
                    "{workers} is no number of workers: 1 to `max` of the file, or --auto to let the rules decide"
                );
            };
            let body = Scale { workers, who };
            block_on(client.change(Method::POST, &page, &body))?
        }
        None if args.auto => block_on(client.change(Method::DELETE, &page, &who))?,
        None => bail!(
            "how many workers? penstock scale {} 2, or --auto to let the rules decide",
            args.target
        ),
    };
    revisions::print_done(&status, args.json)
}
