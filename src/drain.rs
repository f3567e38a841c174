//! `penstock drain`: ends one worker.

use clap::Args;
use http::Method;

use crate::{admin_client::block_on, revisions, target::WorkerTarget, who::ChangeArgs};

/// End one worker as soon as its requests have finished; it is replaced if it is still needed.
///
/// It gets no new requests from now on, and no more time than `voluntary_drain_timeout` of the file.
#[derive(Args)]
pub(crate) struct DrainArgs {
    /// The worker, by its number in `penstock status`.
    #[arg(value_name = "SERVICE/DEPLOYMENT#NUMBER")]
    worker: WorkerTarget,
    /// Print all about it as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Asks for it, and says what came of it.
pub(crate) fn run(args: &DrainArgs) -> anyhow::Result<()> {
    let client = args.change.client();
    let WorkerTarget {
        service,
        deployment,
        slot,
    } = &args.worker;
    let page = format!("/api/v1/services/{service}/deployments/{deployment}/workers/{slot}/drain");
    let who = args.change.who();
    let status = block_on(client.change(Method::POST, &page, &who))?;
    revisions::print_done(&status, args.json)
}
